"""Kernels for GPUs that are not here, through Triton's own compiler: no tf32, no flushing, no spills."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

COMPILE = Path(__file__).with_name("compile_assign.py")


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["80", "90", "100"])
def test_kernels_compile_with_full_fp32_products_and_spill_nothing(capability: str) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(COMPILE), capability]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["best_tiles", "list_tiles", "list_tiles", "pair_scores"]
    assert all(line.split()[1:3] == ["fma", "cubin"] for line in lines), done.stdout
    assert not any(word in line for line in lines for word in ("tensor", "flush")), done.stdout
    assert all("STACK=0" in line and "LOCAL=0" in line for line in lines), done.stdout
