"""Score matrices that are hard for one method or another, to be maximised."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Generator = np.random.Generator


def distances(n: int, rng: Generator, power: float) -> np.ndarray:
    a, b = rng.random((n, 2)), rng.random((n, 2))
    return -(((a[:, None] - b[None]) ** 2).sum(-1) ** power)


def products(n: int) -> np.ndarray:
    """Machol and Wien's matrices: every augmenting path is as long as it can be."""
    return np.outer(np.arange(1.0, n + 1), np.arange(1.0, n + 1))


def smooth_images(n: int, rng: Generator) -> np.ndarray:
    """⟨y, ε⟩ of fields with a falling spectrum against noise: what training pairs."""
    weights = 1 / np.arange(1.0, 65.0)
    return (rng.standard_normal((n, 64)) * weights) @ rng.standard_normal((64, n))


def forbidden(n: int, rng: Generator) -> np.ndarray:
    scores = rng.standard_normal((n, n))
    scores[rng.random((n, n)) < 0.6] = -np.inf
    np.fill_diagonal(scores, -3.0)  # one permutation is always left
    return scores


def blocks(n: int, rng: Generator) -> np.ndarray:
    kinds = rng.integers(0, 4, n)
    return (kinds[:, None] == kinds[None]).astype(float)


FAMILIES: dict[str, Callable[[int, Generator], np.ndarray]] = {
    "normal": lambda n, rng: rng.standard_normal((n, n)),
    "uniform float32": lambda n, rng: rng.random((n, n), dtype=np.float32),
    "small integers": lambda n, rng: rng.integers(0, 5, (n, n)),
    "large integers": lambda n, rng: rng.integers(-(10**9), 10**9, (n, n)),
    "constant": lambda n, rng: np.full((n, n), float(rng.integers(-2, 3))),
    "constant rows": lambda n, rng: np.repeat(rng.standard_normal((n, 1)), n, 1),
    "constant columns": lambda n, rng: np.repeat(rng.standard_normal((1, n)), n, 0),
    "duplicate rows": lambda n, rng: rng.standard_normal((n, n))[rng.integers(0, max(1, n // 3), n)],
    "blocks": blocks,
    "geometric": lambda n, rng: distances(n, rng, 0.5),
    "squared geometric": lambda n, rng: distances(n, rng, 1.0),
    "Machol-Wien costs": lambda n, _: -products(n),
    "Machol-Wien scores": lambda n, _: products(n),
    "rank two": lambda n, rng: rng.standard_normal((n, 2)) @ rng.standard_normal((2, n)),
    "heavy tails": lambda n, rng: rng.standard_cauchy((n, n)),
    "far from zero": lambda n, rng: 1e9 + rng.standard_normal((n, n)),
    "huge": lambda n, rng: rng.standard_normal((n, n)) * 1e304,
    "tiny": lambda n, rng: rng.standard_normal((n, n)) * 1e-300,
    "images": smooth_images,
    "forbidden pairs": forbidden,
}
"""name -> scores (n, n) from a size and a generator."""
