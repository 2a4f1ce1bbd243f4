"""brenier fit on a file that is to stay on disk: killed, resumed, the same bits."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from brenier.cli.main import cli
from brenier.cli.sizes import Size
from brenier.data import NoisedLatents, open_source
from brenier.report import fitting
from brenier.solve import memory
from brenier.solve.checkpoint import read
from brenier.solve.streamed_potential import StreamedPotential
from click import BadParameter
from click.testing import CliRunner

ROWS, SIDE = 1200, 24
PIXELS = np.random.default_rng(0).integers(0, 256, (ROWS, 3, SIDE, SIDE), dtype=np.uint8)
# the least that a streamed fit of these may be given, so that a file of 2 MB counts as too large
LEAST = memory.stream_plan(ROWS, 3 * SIDE * SIDE, memory.COLUMN_STEP).total


def arguments(folder: Path, out: str) -> list[str]:
    options = [
        "--sigma",
        "0.3",
        "--tol",
        "0.05",
        "--max-memory",
        "2GiB",
        "--checkpoint",
        str(folder / f"{out}.state"),
    ]
    return [
        "fit",
        str(folder / "x.npy"),
        "--out",
        str(folder / f"{out}.safetensors"),
        "--resume",
        "--json",
        *options,
    ]


def run(folder: Path, out: str) -> subprocess.Popen:
    code = (
        "import sys; from brenier.report import fitting; from brenier.solve import fitting as solving, checkpoint;"
        "checkpoint.SECONDS = 0; fitting.must_stream = solving.must_stream = lambda *_: True;"
        "from brenier.cli.main import run; run()"
    )
    command = [sys.executable, "-c", code, *arguments(folder, out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_fit_killed_without_warning_resumes_and_ends_with_the_bits_of_an_unbroken_one(
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "x.npy", PIXELS)
    whole = run(tmp_path, "whole")
    broken = run(tmp_path, "broken")
    deadline = time.monotonic() + 60
    while not (tmp_path / "broken.state").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    broken.send_signal(signal.SIGKILL)
    broken.communicate()
    text, errors = whole.communicate(timeout=120)
    assert whole.returncode == 0, errors
    resumed = run(tmp_path, "broken")
    _, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors
    record = json.loads(text)
    assert record["converged"]
    assert record["value_range"].startswith("streamed")
    source = NoisedLatents(open_source(tmp_path / "x.npy"), sigma=0.3)
    one, two = (
        StreamedPotential.load(tmp_path / f"{name}.safetensors", source) for name in ("whole", "broken")
    )
    assert torch.equal(one.heights, two.heights)
    assert os.path.getsize(tmp_path / "whole.safetensors") < 100_000


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_fit_that_is_told_to_end_writes_its_state_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    np.save(tmp_path / "x.npy", PIXELS)
    told = run(tmp_path, "told")
    deadline = time.monotonic() + 60
    while not (tmp_path / "told.state").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    told.send_signal(number)
    _, errors = told.communicate(timeout=60)
    assert told.returncode == code, errors
    assert f"interrupted by {number.name}; the potential so far is written; the state is in" in errors
    assert "--resume" in errors
    state, _ = read(tmp_path / "told.state")
    assert len(state["heights"]) == ROWS


def test_a_checkpoint_of_other_targets_is_refused_with_both_fingerprints(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", PIXELS[:64])
    small = ["--max-samples", "2000", "--quiet"]
    assert CliRunner().invoke(cli, [*arguments(tmp_path, "p"), *small]).exit_code == 0
    np.save(tmp_path / "x.npy", PIXELS[64:128])
    refused = CliRunner().invoke(cli, [*arguments(tmp_path, "p"), *small])
    assert refused.exit_code == 2
    assert re.search(r"targets = [0-9a-f]{32} as in this fit, got [0-9a-f]{32}; resume with", refused.stderr)


def test_flips_double_the_targets_in_memory_and_streamed(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", PIXELS[:40])
    options = ["--flips", "--max-samples", "2000", "--quiet"]
    invoked = CliRunner().invoke(cli, [*arguments(tmp_path, "p"), *options])
    assert invoked.exit_code == 0, invoked.stderr
    record = json.loads((tmp_path / "p.json").read_text())
    assert record["targets"].startswith("80 rows")
    assert "mirror images" in record["value_range"]
    source, note = fitting.read_or_stream(
        tmp_path / "x.npy", LEAST, flips=True, value_range=None, layout="nchw", tensor=None
    )
    assert source.shape == (80, 3 * SIDE * SIDE)
    assert "mirror images" in note
    np.save(tmp_path / "x.npy", PIXELS[:40].reshape(40, -1))
    assert (
        "flips: expected a file of images"
        in CliRunner().invoke(cli, [*arguments(tmp_path, "p"), *options]).stderr
    )


def test_too_little_memory_is_a_mistake_that_says_how_much_is_needed(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", PIXELS)
    result = CliRunner().invoke(cli, [*arguments(tmp_path, "p"), "--max-memory", "1MiB"])
    assert result.exit_code != 0
    assert f"{LEAST:,}" in str(result.exception) + result.stderr


@pytest.mark.parametrize(("text", "size"), [("6GiB", 6 << 30), ("1.5 mib", 3 << 19), ("4096", 4096)])
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["6GB", "lots", "-1", "0"])
def test_a_size_without_a_known_unit_is_refused(text: str) -> None:
    with pytest.raises(BadParameter, match="size"):
        Size().convert(text, None, None)
