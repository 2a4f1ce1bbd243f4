"""The Fréchet distance against closed forms and scipy's matrix square root."""

import math

import numpy as np
import pytest
import torch
from brenier.errors import InputError
from brenier.metrics import frechet_distance
from torch import Tensor


def with_moments(mean: Tensor, factor: Tensor, count: int = 200) -> Tensor:
    """Rows whose sample mean and covariance are exactly `mean` and factor·factorᵀ."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(count, len(mean), dtype=torch.float64, generator=generator)
    rows -= rows.mean(dim=0)
    whitening = torch.linalg.inv(torch.linalg.cholesky(rows.T @ rows / (count - 1)))
    return mean + rows @ whitening.T @ factor.T


def random_factor(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 4, dtype=torch.float64, generator=generator)


def test_commuting_gaussians_have_the_closed_form() -> None:
    zero, spread = torch.zeros(3, dtype=torch.float64), torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    real = with_moments(zero, torch.eye(3, dtype=torch.float64))
    fake = with_moments(zero + 2, spread.diag())
    expected = 3 * 2**2 + ((spread - 1) ** 2).sum().item()
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-10)


def test_general_gaussians_agree_with_scipy() -> None:
    sqrtm = pytest.importorskip("scipy.linalg").sqrtm
    first, second, mean = random_factor(1), random_factor(2), torch.ones(4, dtype=torch.float64)
    left, right = (factor @ factor.T for factor in (first, second))
    cross = np.trace(sqrtm((left @ right).numpy()).real)
    expected = 4 + left.trace().item() + right.trace().item() - 2 * cross
    distance = frechet_distance(with_moments(0 * mean, first), with_moments(mean, second))
    assert distance == pytest.approx(expected, rel=1e-9)


def test_equal_sets_are_at_zero_and_the_distance_is_symmetric() -> None:
    generator = torch.Generator().manual_seed(3)
    real, fake = torch.randn(50, 5, generator=generator), 2 * torch.rand(40, 5, generator=generator)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(real, fake) == pytest.approx(frechet_distance(fake, real), rel=1e-10)


def test_features_that_never_vary_and_fewer_samples_than_features_are_fine() -> None:
    generator = torch.Generator().manual_seed(4)
    real = torch.randn(6, 20, generator=generator)
    real[:, 0] = 1.0
    assert frechet_distance(real, real + 1) == pytest.approx(20, rel=1e-5)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-6)


def test_images_and_arrays_are_taken_too() -> None:
    images = torch.randn(9, 1, 2, 2, generator=torch.Generator().manual_seed(5))
    assert frechet_distance(images.numpy(), images + 1) == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize(
    "real",
    [
        torch.zeros(1, 3),
        torch.zeros(5, 4),
        torch.full((5, 3), math.nan),
        torch.zeros(5, 3).int(),
        torch.zeros(5),
    ],
)
def test_unusable_features_are_refused(real: Tensor) -> None:
    with pytest.raises(InputError, match="real"):
        frechet_distance(real, torch.zeros(5, 3))
