"""The scripts that a user would copy run as they stand, each in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from brenier.cli.main import cli
from brenier.data import load_digits
from click.testing import CliRunner

pytest.importorskip("sklearn")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ACCELERATE = """
import torch
class Accelerator:  # what the example asks of accelerate's own, for one process on the CPU
    device = torch.device("cpu")
    def prepare(self, *parts):
        return parts
    def backward(self, loss):
        loss.backward()
    def print(self, text):
        print(text)
"""


def run(folder: Path, *command: object) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fit_and_transport", "targets of eight noises"),
        ("pair_a_batch", "optimal"),
        pytest.param("dpm_ot_families", "langevin", marks=pytest.mark.slow),
        pytest.param("dpm_ot_diffusers", "start level", marks=pytest.mark.slow),
    ],
)
def test_a_script_runs_and_says_what_it_found(name: str, said: str, tmp_path: Path) -> None:
    if name == "dpm_ot_diffusers":
        pytest.importorskip("diffusers")
    assert said in run(tmp_path, EXAMPLES / f"{name}.py")
    if name == "dpm_ot_diffusers":
        assert len(list(tmp_path.glob("dpm-ot-digits-*.png"))) == 4


@pytest.mark.slow
def test_a_training_under_torchrun_runs_and_is_resumed(tmp_path: Path) -> None:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for _ in range(2):  # the second finds it finished
        assert "400 steps with aot pairs" in run(tmp_path, *launch, EXAMPLES / "train_with_torchrun.py")


def test_the_loop_for_accelerate_learns(tmp_path: Path) -> None:
    (tmp_path / "accelerate.py").write_text(ACCELERATE)
    losses = [
        float(line.rpartition(" ")[2])
        for line in run(tmp_path, EXAMPLES / "train_with_accelerate.py").splitlines()
    ]
    assert len(losses) == 4
    assert losses[-1] < losses[0]


def test_tuning_schedules_prints_a_table_and_draws_both_arms(tmp_path: Path) -> None:
    np.save(tmp_path / "digits.npy", load_digits().images[:300])
    for coupling in ("independent", "aot"):
        options = [
            "--steps",
            30,
            "--width",
            16,
            "--depth",
            1,
            "--pool",
            128,
            "--coupling",
            coupling,
            "--quiet",
        ]
        out = tmp_path / f"{coupling}.safetensors"
        done = CliRunner().invoke(
            cli, list(map(str, ["train", tmp_path / "digits.npy", "--out", out, *options]))
        )
        assert done.exit_code == 0, done.stderr
    short = ["--steps", 3, 5, "--rhos", 2, 7, "--samples", 100, "--sigma-max", 20, "--out", "curves.png"]
    printed = run(
        tmp_path, EXAMPLES / "tune_schedules.py", "digits.npy", "independent.safetensors", "aot.safetensors", *short
    )  # fmt: skip
    assert printed.count("cheapest within 5%") == 2
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
