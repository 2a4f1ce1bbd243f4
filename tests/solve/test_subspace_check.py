"""χ² from pairs across subspaces: its standard error, and the memory that it takes."""

import math
import tracemalloc

import numpy as np
import pytest
from brenier.solve.subspace_check import chi_square_across, pair_stderr

GENERATOR = np.random.default_rng(0)


def test_three_subspaces_have_no_standard_error_and_four_have() -> None:
    counts, masses = GENERATOR.poisson(20, (4, 40)), np.full(40, 1 / 40)
    assert math.isnan(chi_square_across(counts[:3], masses)[0])
    assert chi_square_across(counts[:3], masses)[1] == math.inf
    assert all(map(math.isfinite, chi_square_across(counts, masses)))


@pytest.mark.parametrize("groups", [8, 16, 64])
@pytest.mark.parametrize("common", [0.0, 0.1, 1.0], ids=["no part in common", "some", "most"])
def test_the_standard_error_is_that_of_simulations(groups: int, common: float) -> None:
    """K_st = ⟨a_s, a_t⟩ with a ~ N(μ, I): θ = |μ|², g = ⟨μ, a − μ⟩, e = ⟨a_s − μ, a_t − μ⟩."""
    off, means, squares = ~np.eye(groups, dtype=bool), [], []
    for _ in range(400):
        points = common + GENERATOR.normal(size=(groups, 100))
        kernel = points @ points.T
        means.append(kernel[off].mean())
        squares.append(pair_stderr(kernel) ** 2)
    assert 0.75 < np.mean(squares) / np.var(means) < 2.1


def test_counts_are_never_all_copied() -> None:
    counts, masses = GENERATOR.poisson(1.0, (64, 20_000)).astype(np.int32), np.full(20_000, 1 / 20_000)
    tracemalloc.start()
    chi_square_across(counts, masses)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 * 8 * 20_000
