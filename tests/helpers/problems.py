"""Problems for the engines: noise x (N, d), targets y (n, d), heights h (n,), hard places first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

TILE_EDGES = (0, 1, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 31, 32, 33, 47, 48, 49, 61)
DEPTH_EDGES = (0, 1, 2, 31, 32, 33, 255, 256, 257, 521)


@dataclass(frozen=True)
class Problem:
    x: Tensor
    y: Tensor
    h: Tensor

    def of(self, dtype: torch.dtype) -> Problem:
        return Problem(self.x.to(dtype), self.y.to(dtype), self.h)


def normal(rows: int, targets: int, depth: int, *, seed: int = 0) -> Problem:
    generator = torch.Generator().manual_seed(seed)
    return Problem(
        torch.randn(rows, depth, generator=generator),
        torch.randn(targets, depth, generator=generator),
        torch.randn(targets, generator=generator, dtype=torch.float64),
    )


def small_integers() -> Problem:
    """Coordinates in {-1, 0, 1} and equal heights: exact ties in every row."""
    p = normal(29, 150, 6)
    return Problem(p.x.round().clamp(-1, 1), p.y.round().clamp(-1, 1), torch.zeros(150, dtype=torch.float64))


def all_equal() -> Problem:
    """Every target the same: index 0 wins everywhere and every target is a candidate."""
    p = normal(14, 1, 40)
    return Problem(p.x, p.y.expand(500, 40), torch.zeros(500, dtype=torch.float64))


def duplicates() -> Problem:
    p = normal(14, 37, 40)
    return Problem(p.x, p.y.repeat(5, 1), p.h.repeat(5))


def near_ties() -> Problem:
    """Targets within 1e-7 of each other, which float32 scores cannot order."""
    p = normal(20, 300, 48)
    return Problem(p.x, p.y[:1] + 1e-7 * p.y, torch.zeros(300, dtype=torch.float64))


def near_tied_heights() -> Problem:
    p = normal(20, 200, 48)
    return Problem(p.x, p.y[:1].repeat(200, 1), 1e-13 * p.h)


def offset() -> Problem:
    p = normal(20, 100, 48)
    return Problem(p.x, p.y + 1000, p.h)


def offset_heights() -> Problem:
    """Heights around 1e15, where float64 scores themselves are rounded to eighths: ties by rounding."""
    p = normal(20, 300, 48)
    return Problem(p.x, p.y, 1e15 + p.h)


def scaled(x_scale: float, y_scale: float, h_scale: float) -> Problem:
    p = normal(17, 90, 40)
    return Problem(p.x * x_scale, p.y * y_scale, p.h * h_scale)


def mixed_scales() -> Problem:
    """Rows of noise and targets from 1e-38 to 1e30 side by side."""
    p = normal(21, 90, 40)
    powers = torch.linspace(-38, 30, 21)
    return Problem(p.x * 10 ** powers[:, None], p.y * 10 ** powers.repeat(5)[:90, None], p.h)


def negative_zeros() -> Problem:
    zeros = torch.zeros(5, 40)
    y = torch.zeros(66, 40)
    y[::2] = -0.0
    h = torch.zeros(66, dtype=torch.float64)
    h[::3] = -0.0
    return Problem(-zeros, y, h)


def zero_rows() -> Problem:
    p = normal(20, 70, 33)
    p.x[::3] = 0
    p.y[::4] = 0
    return p


def some_minus_infinity() -> Problem:
    p = normal(20, 70, 33)
    p.h[::2] = -torch.inf
    return p


def all_minus_infinity() -> Problem:
    p = normal(20, 70, 33)
    return Problem(p.x, p.y, torch.full_like(p.h, -torch.inf))


def enormous_heights() -> Problem:
    p = normal(9, 70, 33)
    return Problem(p.x, p.y, p.h.sign() * 1.7e308)


def huge_noise_and_heights_apart() -> Problem:
    """Half of the heights lie below what a bias of the GPU filters holds, and noise of that size could reach them."""
    p = normal(17, 90, 40)
    apart = torch.where(torch.arange(90) % 2 == 0, -(2.0**20), 0.0).double()
    return Problem(p.x * 2.0**123, p.y * 2.0**-113, apart)


def growing() -> Problem:
    """Every target beats those before it, by less and less: lists that must be pruned as they grow."""
    p = normal(13, 700, 20)
    steps = torch.arange(700, dtype=torch.float64)
    return Problem(p.x, p.y * 0.01, steps.sqrt())


HARD: dict[str, Callable[[], Problem]] = {
    "small integers": small_integers,
    "all equal": all_equal,
    "duplicates": duplicates,
    "near ties": near_ties,
    "near-tied heights": near_tied_heights,
    "offset of 1000": offset,
    "heights around 1e15": offset_heights,
    "huge": lambda: scaled(1e30, 1e30, 1e60),
    "tiny": lambda: scaled(1e-30, 1e-30, 1e-60),
    "subnormal noise": lambda: scaled(1e-41, 1.0, 0.0),
    "subnormal targets": lambda: scaled(1.0, 1e-42, 1e-42),
    "everything subnormal": lambda: scaled(1e-42, 1e-42, 1e-84),
    "tiny heights": lambda: scaled(1.0, 1.0, 1e-300),
    "heights far above": lambda: scaled(1e-20, 1e-20, 1e20),
    "mixed scales": mixed_scales,
    "negative zeros": negative_zeros,
    "zero rows": zero_rows,
    "some heights -inf": some_minus_infinity,
    "all heights -inf": all_minus_infinity,
    "enormous heights": enormous_heights,
    "huge noise, heights apart": huge_noise_and_heights_apart,
    "growing": growing,
}
