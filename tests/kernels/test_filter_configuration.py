"""Tiles of the half-precision filter, in Triton and in CUDA: pure functions of the problem and the GPU."""

import pytest
from brenier.engine.cuda import why_module_missing
from brenier.engine.cuda_filter import module
from brenier.engine.halves import TARGET_PAD, padded, padded_width

kernels = pytest.importorskip("brenier.kernels.filter", reason="triton is not installed")
needs_module = pytest.mark.skipif(why_module_missing() is not None, reason=str(why_module_missing()))

SHARED = {(8, 0): 163, (8, 6): 99, (8, 9): 99, (9, 0): 227, (10, 0): 227, (12, 0): 99}  # KB per block
SIZES = [
    (1, 1, 1),
    (1, 10_000_000, 4096),
    (31, 63, 16),
    (65536, 65536, 128),
    (65536, 65536, 3072),
    (4096, 70_000, 196_608),
]


@pytest.mark.parametrize("capability", [(0, 0), *SHARED, (99, 0)])
@pytest.mark.parametrize(("rows", "targets", "depth"), SIZES)
def test_triton_tiles_divide_what_they_walk(
    rows: int, targets: int, depth: int, capability: tuple[int, int]
) -> None:
    width = padded_width(depth)
    config = kernels.filter_configuration(rows, targets, width, capability)
    assert TARGET_PAD % config.block_rows == 0
    assert TARGET_PAD % config.block_targets == 0
    assert width % config.block_depth == 0
    assert config.section % config.block_depth == 0
    assert config.narrow == (config.block_depth == width and width <= 256)
    assert 1 <= config.splits <= kernels.cdiv(targets, config.block_targets)
    assert config.programs >= 1


@pytest.mark.parametrize("capability", SHARED)
@pytest.mark.parametrize("width", [64, 128, 256, 320, 3072, 196_608])
def test_triton_stages_fit_in_shared_memory(width: int, capability: tuple[int, int]) -> None:
    config = kernels.filter_configuration(65536, 65536, width, capability)
    sides = config.block_targets + (0 if config.narrow else config.block_rows)
    resident = config.block_rows * width if config.narrow and capability >= (9, 0) else 0
    # The pipeline holds one stage less than it counts, and the epilogue borrows what products have left.
    held = max(1, config.stages - (1 if config.narrow else 0))
    assert 2 * (held * sides * config.block_depth + resident) <= SHARED[capability] * 1024


@needs_module
@pytest.mark.parametrize("major", [8, 9, 10, 12])
@pytest.mark.parametrize(("rows", "targets", "depth"), SIZES)
def test_cuda_tiles_stay_within_what_is_padded(rows: int, targets: int, depth: int, major: int) -> None:
    config = module().filter_configuration(rows, targets, padded_width(depth), major, 132)
    tiles, blocks = -(-targets // config.block_targets), -(-rows // config.block_rows)
    assert tiles * config.block_targets <= padded(targets, TARGET_PAD)
    assert 1 <= config.splits <= tiles
    assert 1 <= config.programs <= min(132, blocks * config.splits)
    assert (config.section > 0) == (padded_width(depth) > 4096)


@needs_module
def test_hopper_gets_its_own_kernels_and_everything_else_the_general_one() -> None:
    def kernel(width: int, major: int) -> str:
        return str(module().filter_configuration(65536, 65536, width, major, 132).kernel).rpartition(".")[2]

    assert [kernel(width, 9) for width in (64, 128, 256, 320)] == ["sm90_resident"] * 3 + ["sm90_streamed"]
    assert {kernel(128, major) for major in (8, 10, 12)} == {"sm80"}


@needs_module
def test_few_rows_split_the_targets_until_the_gpu_is_full() -> None:
    config = module().filter_configuration(64, 1_000_000, 128, 9, 132)
    assert config.programs == 132
    assert kernels.filter_configuration(64, 1_000_000, 128, (9, 0)).programs == 132


def units(blocks: int, splits: int, group: int) -> list[tuple[int, int]]:
    return [kernels.unit_place(unit, blocks, splits, group) for unit in range(blocks * splits)]


@pytest.mark.parametrize("blocks", [1, 3, 16, 17, 40])
@pytest.mark.parametrize("splits", [1, 2, 7])
@pytest.mark.parametrize("group", [1, 4, 16])
def test_every_block_meets_every_part_once_and_groups_stay_together(
    blocks: int, splits: int, group: int
) -> None:
    places = units(blocks, splits, group)
    assert sorted(places) == [(block, split) for block in range(blocks) for split in range(splits)]
    assert [block // group for block, _ in places] == sorted(block // group for block, _ in places)
