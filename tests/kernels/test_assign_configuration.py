"""Tiles are a pure function of the problem and the GPU's capability."""

import pytest

kernels = pytest.importorskip("brenier.kernels.assign", reason="triton is not installed")

CAPABILITIES = [(0, 0), (8, 0), (8, 9), (9, 0), (10, 0), (12, 0), (99, 0)]
SIZES = [(1, 1), (1, 10_000_000), (31, 63), (65, 129), (65536, 65536), (4096, 70_000)]


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize(("rows", "targets"), SIZES)
def test_every_problem_gets_tiles_that_the_kernels_accept(
    rows: int, targets: int, capability: tuple[int, int]
) -> None:
    config = kernels.configuration(rows, targets, capability)
    blocks = (config.block_rows, config.block_targets, config.block_depth, config.block_pairs)
    assert all(size >= 16 and size & (size - 1) == 0 for size in blocks)  # tl.dot and tl.arange ask for this
    assert config.section % config.block_depth == 0
    assert 1 <= config.splits <= min(kernels.MOST_SPLITS, -(-targets // config.block_targets))


def test_few_rows_split_the_targets_until_the_gpu_is_full() -> None:
    assert kernels.configuration(1, 1_000_000, (9, 0)).splits == kernels.MOST_SPLITS
    assert kernels.configuration(65536, 65536, (9, 0)).splits == 1


def test_a_configuration_is_equal_and_printed_as_itself() -> None:
    first, second = (kernels.configuration(100, 1000, (9, 0)) for _ in range(2))
    assert first == second
    assert "block_rows=64" in repr(first)


@pytest.mark.parametrize(
    ("depth", "section", "expected"), [(1, 512, 3), (512, 512, 514), (513, 512, 515), (196_608, 512, 897)]
)
def test_sections_keep_the_number_of_roundings_small(depth: int, section: int, expected: int) -> None:
    assert kernels.roundings(depth, section) == expected
