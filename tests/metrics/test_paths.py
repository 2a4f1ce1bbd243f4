"""Curvature where the denoised prediction is known along the whole path."""

import math

import pytest
import torch
from brenier.diffusion import edm_sigmas
from brenier.errors import BrenierError, InputError
from brenier.metrics import curvature
from torch import Tensor

NOISE = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def gaussian(x: Tensor, sigma: Tensor | float) -> Tensor:
    """D(x; σ) for data N(0, I/4): along a path D = x₀·½·½/√(¼ + σ²), where x₀ is the sample."""
    return x * 0.25 / (0.25 + float(sigma) ** 2)


def test_a_constant_prediction_has_curvature_zero() -> None:
    point = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    result = curvature(lambda x, _sigma: point.expand_as(x), 80 * NOISE)
    assert result.total == 0
    assert result.per_step.abs().max() == 0


def test_a_gaussian_has_the_curvature_of_its_exact_paths() -> None:
    sigmas = torch.logspace(1.9, -2.7, 400, dtype=torch.float64)
    start = sigmas[0] * NOISE
    sample = start * 0.5 / (0.25 + sigmas[0] ** 2).sqrt()
    predictions = sample * (0.5 / (0.25 + sigmas**2).sqrt())[:, None, None]
    expected = predictions.diff(dim=0).square().sum(dim=2).mean(dim=1)
    result = curvature(gaussian, start, sigmas)
    torch.testing.assert_close(result.per_step, expected, rtol=1e-3, atol=1e-9)
    assert result.total == pytest.approx(expected.sum().item(), rel=1e-3)
    assert result.samples == 50


def test_twice_the_steps_give_about_half() -> None:
    grids = [torch.logspace(1.9, -2.7, steps, dtype=torch.float64) for steps in (101, 201)]
    coarse, fine = (curvature(gaussian, grid[0] * NOISE, grid).total for grid in grids)
    assert coarse / fine == pytest.approx(2, rel=0.05)


def test_bins_sum_the_steps_by_their_higher_level() -> None:
    result = curvature(gaussian, 80 * NOISE)
    bins = result.bins(torch.tensor([0.0, 0.1, 1.0, 100.0]))
    assert bins.sum().item() == pytest.approx(result.total)
    inside = (result.sigmas[:-1] > 0.1) & (result.sigmas[:-1] <= 1.0)
    assert bins[1].item() == pytest.approx(result.per_step[inside].sum().item())
    assert bins[1] > bins[2]  # the prediction of this data settles around σ = ½


def test_the_default_grid_is_geometric_from_80_to_2_thousandths() -> None:
    sigmas = curvature(gaussian, 80 * NOISE[:1]).sigmas
    assert sigmas.shape == (65,)
    assert sigmas[0].item() == pytest.approx(80)
    assert sigmas[-1].item() == pytest.approx(0.002)


def test_a_grid_down_to_zero_no_samples_and_nan_are_refused() -> None:
    with pytest.raises(InputError, match="last level"):
        curvature(gaussian, NOISE, edm_sigmas(5))
    with pytest.raises(InputError, match="sample"):
        curvature(gaussian, NOISE[:0])
    with pytest.raises(InputError, match="finite"):
        curvature(gaussian, NOISE * math.nan)


@pytest.mark.parametrize("edges", [[1.0, 0.0], [1.0], [[0.0, 1.0]]])
def test_edges_that_do_not_ascend_are_refused(edges: list) -> None:
    found = curvature(lambda x, _: 0 * x, torch.ones(2, 3))
    with pytest.raises(InputError, match="edges"):
        found.bins(torch.tensor(edges))


def test_a_denoiser_that_answers_nan_is_an_error_and_no_curvature() -> None:
    with pytest.raises(BrenierError, match="samples"):
        curvature(lambda x, _: x * torch.nan, torch.ones(2, 3))
