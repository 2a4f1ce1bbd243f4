"""Density and coverage by hand, by brute force, and at their expected values."""

import pytest
import torch
from brenier.errors import InputError
from brenier.metrics import density_coverage, distances


def cloud(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


def brute(real: torch.Tensor, fake: torch.Tensor, k: int) -> tuple[float, float]:
    """The definition of Naeem et al. with full matrices."""
    radii = torch.cdist(real, real).sort(dim=1).values[:, k]
    inside = torch.cdist(fake, real) <= radii
    return inside.double().sum().item() / (k * len(fake)), inside.any(dim=0).double().mean().item()


@pytest.mark.parametrize("k", [1, 3, 5])
def test_it_is_the_definition(k: int) -> None:
    real, fake = cloud(40).double(), 0.7 * cloud(31, 1).double()
    found = density_coverage(real, fake, k)
    assert (found.density, found.coverage) == pytest.approx(brute(real, fake, k))


def test_two_samples_of_one_distribution_have_the_expected_values() -> None:
    found = [density_coverage(cloud(100, s), cloud(80, 500 + s)) for s in range(60)]
    density, coverage = (
        torch.tensor([getattr(one, name) for one in found]) for name in ("density", "coverage")
    )
    assert abs(density.mean() - 1) < 4 * density.std() / 60**0.5
    assert abs(coverage.mean() - found[0].expected_coverage) < 4 * coverage.std() / 60**0.5


def test_an_outlier_among_the_real_rows_hardly_moves_density() -> None:
    real, fake = cloud(50), cloud(50, 1)
    real[0] = 1000.0
    clean = density_coverage(real[1:], fake)
    assert density_coverage(real, fake).density < clean.density + 0.25


def test_far_samples_have_neither_and_crowded_ones_too_much_density() -> None:
    far = density_coverage(cloud(30), cloud(30, 1) + 100)
    assert (far.density, far.coverage) == (0, 0)
    crowded = density_coverage(cloud(100), torch.zeros(5, 3))
    assert crowded.density > 1.5
    assert crowded.coverage < 0.5


@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (16, 17), (40, 64)])
def test_blocks_do_not_change_it(monkeypatch, rows: int, columns: int) -> None:
    real, fake = cloud(33), cloud(17, 1)
    expected = density_coverage(real, fake)
    monkeypatch.setattr(distances, "ROWS", rows)
    monkeypatch.setattr(distances, "COLUMNS", columns)
    assert density_coverage(real, fake) == expected


def test_too_few_rows_and_an_unusable_k_are_refused() -> None:
    with pytest.raises(InputError, match="real"):
        density_coverage(cloud(5), cloud(9))
    with pytest.raises(InputError, match="k"):
        density_coverage(cloud(9), cloud(9), k=0)
