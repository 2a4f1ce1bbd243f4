"""Heun's sampler against data whose denoiser is known exactly."""

import math
from itertools import pairwise

import pytest
import torch
from brenier.diffusion import edm_sigmas, evaluations, sample_heun
from brenier.errors import InputError
from torch import Tensor

SPREAD = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)


def gaussian(x: Tensor, sigma: Tensor | float) -> Tensor:
    """D(x; σ) for data N(0, diag(SPREAD²))."""
    return x * SPREAD**2 / (SPREAD**2 + float(sigma) ** 2)


def exact(x: Tensor, start: float, end: float) -> Tensor:
    """The probability-flow path of that data: x/√(s² + σ²) is constant."""
    return x * ((SPREAD**2 + end**2) / (SPREAD**2 + start**2)).sqrt()


def test_the_error_falls_with_the_square_of_the_steps() -> None:
    x = torch.randn(16, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 80
    errors = []
    for steps in (64, 128, 256):
        sigmas = edm_sigmas(steps + 1)[:-1]  # ends at 0.002: every step is a full Heun step
        errors.append((sample_heun(gaussian, x, sigmas) - exact(x, 80.0, 0.002)).abs().max().item())
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(1.8 < order < 2.3 for order in orders), (errors, orders)


def test_samples_of_gaussian_data_have_its_spread() -> None:
    x = 80 * torch.randn(20_000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    samples = sample_heun(gaussian, x, edm_sigmas(32))
    torch.testing.assert_close(samples.std(dim=0), SPREAD, rtol=0.03, atol=0)


def test_one_data_point_is_reached_in_a_single_step() -> None:
    point = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    x = point + 80 * torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for steps in (1, 2, 7):
        samples = sample_heun(lambda rows, _sigma: point.expand_as(rows), x, edm_sigmas(steps))
        torch.testing.assert_close(samples, point.expand(5, 3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_it_evaluates_as_often_as_stated(steps: int) -> None:
    calls = []

    def counted(x: Tensor, sigma: float) -> Tensor:
        calls.append(float(sigma))
        return x * 0

    sample_heun(counted, torch.ones(2, 3), edm_sigmas(steps))
    assert len(calls) == evaluations(steps) == 2 * steps - 1
    assert min(calls) > 0


def test_the_trajectory_starts_at_x_and_ends_at_the_sample() -> None:
    x = torch.randn(4, 3, dtype=torch.float64)
    samples, states = sample_heun(gaussian, x, edm_sigmas(5), trajectory=True)
    assert states.shape == (6, 4, 3)
    assert torch.equal(states[0], x)
    assert torch.equal(states[-1], samples)


def test_a_sample_depends_on_its_own_row_and_images_keep_their_shape() -> None:
    x = torch.randn(6, 1, 1, 3, dtype=torch.float64)
    before = x.clone()
    together = sample_heun(gaussian, x, edm_sigmas(4))
    assert together.shape == x.shape
    assert torch.equal(torch.cat([sample_heun(gaussian, row[None], edm_sigmas(4)) for row in x]), together)
    assert torch.equal(x, before)
    assert sample_heun(gaussian, x[:0], edm_sigmas(4)).shape == (0, 1, 1, 3)


@pytest.mark.parametrize(
    ("x", "sigmas"),
    [
        (torch.ones(2, 3), torch.tensor([1.0, 2.0])),
        (torch.ones(2, 3), torch.tensor([1.0])),
        (torch.full((2, 3), math.nan), torch.tensor([1.0, 0.0])),
        (torch.ones(3), torch.tensor([1.0, 0.0])),
        (torch.ones(2, 3, dtype=torch.int64), torch.tensor([1.0, 0.0])),
    ],
)
def test_unusable_arguments_are_refused(x: Tensor, sigmas: Tensor) -> None:
    with pytest.raises(InputError):
        sample_heun(lambda rows, _sigma: rows, x, sigmas)
