"""Kernels for GPUs that are not here, through Triton's own compiler: no tf32, no flushing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

COMPILE = Path(__file__).with_name("compile_assign.py")


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["80", "90", "100"])
def test_kernels_compile_with_full_fp32_products(capability: str) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(COMPILE), capability]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["best_tiles", "list_tiles", "list_tiles", "pair_scores"]
    assert all(line.split()[1:] == ["fma", "cubin"] for line in lines), done.stdout
