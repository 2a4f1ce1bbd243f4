"""torchrun on the command line: ranks share a fit, the first writes and speaks, those left write the state."""

import json
import os
import subprocess
import sys
from pathlib import Path

import brenier
import numpy as np
import pytest
import torch
from brenier.solve.checkpoint import read

TARGETS = np.random.default_rng(0).standard_normal((900, 20), dtype=np.float32)
LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# brenier, whose rank 0 is killed after the third step, once rank 1 has made it too and is at other work
LOSING_RANK_0 = """
import os, signal, sys, time
from pathlib import Path
from brenier.cli.main import run
from brenier.solve import solver

advance, mark = solver.advance, Path(sys.argv.pop(1))

def three_steps(fit, bar):
    advance(fit, bar)
    if fit.state.step < 3:
        return
    if fit.ranks.rank == 1:
        mark.touch()
        time.sleep(60)
    while not mark.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

solver.advance = three_steps
run()
"""


def by_two_ranks(*program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*LAUNCHER, *program],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"BRENIER_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )


def test_torchrun_shares_a_fit_and_writes_the_potential_of_one_process(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", TARGETS)
    arguments = ["fit", str(tmp_path / "x.npy"), "--out", str(tmp_path / "p.safetensors"), "--json"]
    done = by_two_ranks("-m", "brenier", *arguments, "--tol", "0.1", "--quiet")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["converged"]  # one record: the other rank prints none
    whole = brenier.fit(TARGETS, tol=0.1, progress=False).potential
    shared = brenier.Potential.load(tmp_path / "p.safetensors")
    assert torch.equal(shared.heights, whole.heights)
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy", "p.safetensors", "p.json"}


@pytest.mark.slow  # torchrun and three processes that import torch
def test_a_rank_that_torchrun_ends_for_another_s_death_writes_the_state(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", TARGETS)
    (tmp_path / "program.py").write_text(LOSING_RANK_0)
    state = tmp_path / "state"
    arguments = ["fit", str(tmp_path / "x.npy"), "--out", str(tmp_path / "p.safetensors"), "--tol", "0.02"]
    done = by_two_ranks(
        str(tmp_path / "program.py"), str(tmp_path / "mark"), *arguments, "--checkpoint", str(state)
    )
    assert "SIGKILL" in done.stderr, done.stderr
    assert read(state)[1]["state"]["step"] == 3  # long before the first minute and the first check
    resumed = brenier.fit(TARGETS, tol=0.02, checkpoint=state, resume=True, progress=False)
    whole = brenier.fit(TARGETS, tol=0.02, progress=False)
    assert torch.equal(resumed.potential.heights, whole.potential.heights)
    assert resumed.samples == whole.samples
