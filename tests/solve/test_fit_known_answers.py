"""Problems whose potential is known exactly."""

import brenier
import numpy as np
import pytest
import torch
from brenier.solve.check import chi_square
from helpers import known_answers as problems


def measured_error(result: brenier.FitResult, masses: np.ndarray, samples: int = 200_000) -> float:
    """χ² on samples the solver did not draw: another generator altogether."""
    noise = torch.randn(
        samples, result.potential.targets.shape[1], generator=torch.Generator().manual_seed(99)
    )
    counts = np.bincount(result.potential.assign(noise).numpy(), minlength=len(masses))
    return chi_square(counts, masses)[0]


@pytest.mark.parametrize(("n", "tol"), [(2, 0.01), (7, 0.01), (50, 0.01), (300, 0.03)])
def test_targets_on_a_line_get_cells_of_their_mass(n: int, tol: float) -> None:
    y, masses, _ = problems.line(n)
    result = brenier.fit(y, tol=tol, progress=False)
    assert result.converged
    cells = problems.line_masses(y, result.potential.heights.numpy())
    assert problems.chi_square_of(cells, masses) <= tol


def test_heights_on_a_line_match_the_normal_quantiles() -> None:
    y, masses, exact = problems.line(12)
    result = brenier.fit(y, tol=0.001, progress=False)
    heights = result.potential.heights.numpy()
    assert np.abs(heights - masses @ heights - exact).max() < 0.02 * np.ptp(exact)


def test_unequal_masses_on_a_line_are_met() -> None:
    masses = np.random.default_rng(3).dirichlet(np.ones(20))
    y, masses, _ = problems.line(20, masses)
    result = brenier.fit(y, weights=masses * 7, tol=0.02, progress=False)
    cells = problems.line_masses(y, result.potential.heights.numpy())
    assert problems.chi_square_of(cells, masses) <= 0.02


def test_a_product_grid_has_separable_heights() -> None:
    targets, exact = problems.product_grid(8, 9)
    result = brenier.fit(targets, tol=0.01, progress=False)
    assert measured_error(result, np.full(72, 1 / 72)) <= 0.012
    heights = result.potential.heights.numpy()
    assert np.corrcoef(heights, exact)[0, 1] > 0.999


@pytest.mark.parametrize("mass", [0.5, 0.9, 0.02])
def test_two_targets_split_space_at_the_quantile_of_their_mass(mass: float) -> None:
    targets, masses, difference = problems.two_targets(mass)
    result = brenier.fit(targets, weights=masses, tol=1e-4, progress=False)
    heights = result.potential.heights
    assert (heights[0] - heights[1]).item() == pytest.approx(difference, abs=0.1)


def test_orthogonal_targets_of_equal_norm_have_equal_heights() -> None:
    result = brenier.fit(problems.orthogonal(64, 3.0), tol=0.002, progress=False)
    assert result.potential.heights.std().item() < 0.1
    assert measured_error(result, np.full(64, 1 / 64)) <= 0.003


def test_permuted_targets_get_permuted_heights() -> None:
    targets = problems.image_like(200, 16)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    straight = brenier.fit(targets, tol=0.05, progress=False).potential.heights
    permuted = brenier.fit(targets[order], tol=0.05, progress=False).potential.heights
    assert torch.allclose(permuted, straight[order], atol=1e-6)


def test_a_shift_of_all_targets_changes_no_height() -> None:
    targets = torch.round(problems.image_like(200, 16) * 64) / 64
    straight = brenier.fit(targets, tol=0.05, progress=False).potential.heights
    shifted = brenier.fit(targets + 128, tol=0.05, progress=False).potential.heights
    assert torch.allclose(shifted, straight, atol=1e-3)


def test_one_target_wins_everything() -> None:
    result = brenier.fit(torch.ones(1, 3), progress=False)
    assert result.converged
    assert (result.potential.assign(torch.randn(10, 3)) == 0).all()


def test_equal_targets_share_one_cell_won_by_the_lowest_index() -> None:
    targets = problems.image_like(50, 8)
    doubled = torch.cat([targets, targets[:10]])
    result = brenier.fit(doubled, tol=0.02, progress=False)
    winners = result.potential.assign(torch.randn(100_000, 8, generator=torch.Generator().manual_seed(4)))
    counts = np.bincount(winners.numpy(), minlength=60)
    assert counts[50:].sum() == 0
    wanted = np.concatenate([np.full(10, 2 / 60), np.full(40, 1 / 60)])
    assert chi_square(counts[:50], wanted)[0] <= 0.03


def test_targets_that_float32_cannot_tell_apart_share_a_cell() -> None:
    targets = torch.tensor([[0.0, 0], [1e-12, 0], [1, 0], [0, 1]], dtype=torch.float64)
    assert brenier.fit(targets, tol=0.01, progress=False).converged
    close = torch.tensor([[1e-7, 0], [2e-7, 0], [100, 0], [0, 100]])
    assert brenier.fit(close, tol=0.01, progress=False).converged


def test_a_target_of_mass_zero_never_wins() -> None:
    targets = problems.image_like(40, 8)
    weights = torch.ones(40)
    weights[::4] = 0
    result = brenier.fit(targets, weights=weights, tol=0.02, progress=False)
    winners = result.potential.assign(torch.randn(50_000, 8, generator=torch.Generator().manual_seed(5)))
    assert (winners % 4 != 0).all()
    assert torch.isneginf(result.potential.heights[::4]).all()


def test_subspace_sampling_meets_the_masses_of_the_full_dimension() -> None:
    result = brenier.fit(problems.image_like(1500, 1024), tol=0.05, progress=False)
    assert result.sampling.startswith("subspace")
    assert result.converged
    assert measured_error(result, np.full(1500, 1 / 1500), 20_000) <= 0.06
