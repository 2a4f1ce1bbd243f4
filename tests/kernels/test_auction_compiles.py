"""The assignment kernels of Triton for GPUs that are not here: matrix units for halves, no spills."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

COMPILE = Path(__file__).with_name("compile_auction.py")


@pytest.mark.slow
@pytest.mark.parametrize(("capability", "unit"), [("80", "mma"), ("90", "wgmma"), ("100", "tcgen05")])
def test_kernels_compile_and_spill_nothing(capability: str, unit: str) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(COMPILE), capability]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    names = [line[0].rpartition("_")[0] for line in lines]
    assert names == ["products", *2 * ["product_costs"], "quantise", *3 * ["look"], "resolve"]
    assert {line[1] for line in lines[:3]} == {unit}
    assert all("STACK=0" in line and "LOCAL=0" in line for line in lines), done.stdout
