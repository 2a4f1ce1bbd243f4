"""The low-precision Triton kernels for GPUs that are not here: matrix units, no spills anywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

COMPILE = Path(__file__).with_name("compile_filter.py")
MATRIX = {"80": {"mma"}, "90": {"wgmma"}, "100": {"tcgen05"}}
FILTERS = {"narrow": 6, "wide": 4, "bytes": 2, "circles": 4, "rows": 0}


@pytest.mark.slow
@pytest.mark.parametrize("part", FILTERS)
@pytest.mark.parametrize("capability", MATRIX)
def test_kernels_use_matrix_units_and_spill_nothing(capability: str, part: str) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(COMPILE), capability, part]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    filters = [line for line in lines if "filter" in line[0] or "points" in line[0]]
    assert len(filters) == FILTERS[part]
    # Triton 3.6 has no int8 for the matrix units of sm_100: the older ones do it.
    units = MATRIX[capability] | ({"mma"} if (capability, part) == ("100", "bytes") else set())
    assert {line[1] for line in filters} <= units
    assert all("STACK=0" in line and "LOCAL=0" in line for line in lines), done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_launch_of_the_engine_compiles_with_the_arguments_it_has() -> None:
    """Sizes and strides of 1, types and options as they come: what a GPU would see first, on Hopper."""
    script, helpers = Path(__file__).with_name("launch_dry.py"), Path(__file__).parents[1] / "engine"
    environment = {**os.environ, "TRITON_INTERPRET": "0", "PYTHONPATH": str(helpers)}
    done = subprocess.run(
        [sys.executable, str(script), "90"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    assert all(stack == "STACK=0" for _, _, stack in lines), done.stdout
    assert {name for name, _, _ in lines} == {
        "best_points", "best_tiles", "byte_filter", "decide", "list_points", "list_tiles", "look",
        "narrow_filter", "normals", "pack_bytes", "pack_rows", "pair_scores", "product_costs", "products",
        "quantise", "resolve", "wide_filter",
    }  # fmt: skip
