"""Straightness where the whole path is known."""

import math

import pytest
import torch
from brenier.errors import InputError
from brenier.metrics import straightness
from torch import Tensor

NOISE = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
GRID = torch.logspace(2, -2, 200, dtype=torch.float64)


def gaussian(x: Tensor, sigma: Tensor | float) -> Tensor:
    """D(x; σ) for data N(0, I/4)."""
    return x * 0.25 / (0.25 + float(sigma) ** 2)


def test_paths_to_one_point_are_straight() -> None:
    point = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    result = straightness(lambda x, _sigma: point.expand_as(x), GRID[0] * NOISE, GRID)
    assert result.value < 1e-15
    assert result.relative < 1e-15
    assert result.samples == 50


def test_a_gaussian_has_the_straightness_of_its_exact_paths() -> None:
    # x(σ) = a·√(¼ + σ²), so z(t) = a·√((1−t)²/4 + t²), differentiated and integrated here by fine differences
    t = torch.linspace(
        float(GRID[-1] / (1 + GRID[-1])), float(GRID[0] / (1 + GRID[0])), 200001, dtype=torch.float64
    )
    shape = ((1 - t) ** 2 / 4 + t**2).sqrt()
    speed = shape.diff() / t.diff()
    chord = (shape[-1] - shape[0]) / (t[-1] - t[0])
    unit = float(((speed - chord) ** 2 * t.diff()).sum())
    a = GRID[0] * NOISE / (0.25 + GRID[0] ** 2).sqrt()
    result = straightness(gaussian, GRID[0] * NOISE, GRID)
    assert result.value == pytest.approx(unit * float(a.square().sum(dim=1).mean()), rel=5e-3)
    assert result.relative == pytest.approx(unit / float(chord**2), rel=5e-3)
    assert result.stderr > 0


def test_it_hardly_depends_on_the_grid() -> None:
    coarse = straightness(gaussian, GRID[0] * NOISE, GRID[::4])
    fine = straightness(gaussian, GRID[0] * NOISE, GRID)
    assert coarse.value == pytest.approx(fine.value, rel=0.05)


def test_images_are_taken_and_levels_of_zero_refused() -> None:
    images = NOISE[:, :, None, None]
    assert straightness(gaussian, images).value > 0
    with pytest.raises(InputError, match="last level"):
        straightness(gaussian, NOISE, torch.tensor([1.0, 0.0]))
    with pytest.raises(InputError, match="finite"):
        straightness(gaussian, NOISE * math.nan)
