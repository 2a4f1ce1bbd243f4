"""torchrun on the command line: ranks share a fit, the first writes and speaks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import brenier
import numpy as np
import torch

TARGETS = np.random.default_rng(0).standard_normal((900, 20), dtype=np.float32)


def test_torchrun_shares_a_fit_and_writes_the_potential_of_one_process(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", TARGETS)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = ["fit", str(tmp_path / "x.npy"), "--out", str(tmp_path / "p.safetensors"), "--json"]
    done = subprocess.run(
        [*launcher, "-m", "brenier", *arguments, "--tol", "0.1", "--quiet"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"BRENIER_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["converged"]  # one record: the other rank prints none
    whole = brenier.fit(TARGETS, tol=0.1, progress=False).potential
    shared = brenier.Potential.load(tmp_path / "p.safetensors")
    assert torch.equal(shared.heights, whole.heights)
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy", "p.safetensors", "p.json"}
