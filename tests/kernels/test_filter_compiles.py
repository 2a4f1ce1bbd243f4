"""The half-precision Triton kernels for GPUs that are not here: matrix units, no spills in what runs per score."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

COMPILE = Path(__file__).with_name("compile_filter.py")
MATRIX = {"80": "mma", "90": "wgmma", "100": "tcgen05"}
MOST_STACK = {"80": 0, "90": 0, "100": 64}  # sm_100: a few bytes, only where a row has a hit


@pytest.mark.slow
@pytest.mark.parametrize("capability", MATRIX)
def test_kernels_use_matrix_units_and_spill_nothing(capability: str) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(COMPILE), capability]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    filters = [line for line in lines if "filter" in line[0]]
    assert len(filters) == 6
    assert {line[1] for line in filters} == {MATRIX[capability]}
    stacks = {
        line[0]: int(word.removeprefix("STACK=")) for line in lines for word in line if "STACK=" in word
    }
    assert max(stacks.values()) <= MOST_STACK[capability], stacks
