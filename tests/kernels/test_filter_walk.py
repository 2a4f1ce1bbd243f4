"""The part of the targets that a unit walks, by the code of the kernels in Triton's interpreter."""

import pytest
import torch
from brenier.engine.triton_filter import interpreted

triton = pytest.importorskip("triton")
tl = pytest.importorskip("triton.language")
filters = pytest.importorskip("brenier.kernels.filter")


@triton.jit
def walked(out, unit, rows, targets, splits):
    _, first, end = filters.walk_of(unit, rows, targets, splits, 16, 128, 128)
    tl.store(out, first)
    tl.store(out + 1, end)


@pytest.mark.skipif(not interpreted(), reason="a GPU is here, or TRITON_INTERPRET is not set")
@pytest.mark.parametrize("targets", [1, 128, 1000, 1_000_003, (1 << 31) - 512])
@pytest.mark.parametrize("splits", [1, 3, 1000])
def test_the_last_part_ends_with_the_targets_though_whole_parts_would_leave_int32(
    targets: int, splits: int
) -> None:
    ends = torch.zeros(2, dtype=torch.int64)
    walked[(1,)](ends, splits - 1, 1, targets, splits)
    first, end = ends.tolist()
    tiles = filters.cdiv(targets, 128)
    assert first == (splits - 1) * filters.cdiv(tiles, splits) * 128
    assert end == targets if first < targets else end <= first
