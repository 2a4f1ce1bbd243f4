"""What a great circle is worth: variance of soft counts over circles against the same draws one by one.

    python benchmarks/circle_variance.py

Both estimate the cell masses at the fitted potential (χ² ≤ 0.05), ε = τ/2, bias removed as in solve/spread.py. The
ratio is that of Σ_i Var ŵ_i for equal numbers of draws; its inverse is solve.sampling.CIRCLE_GAIN.
"""

from __future__ import annotations

import brenier
import numpy as np
import torch
from brenier.data.noise import Stream, normal
from brenier.engine import candidates, prepare
from brenier.engine.circles import circle_candidates, circle_counts
from brenier.engine.soft import SoftCounts, soft_counts
from brenier.types import CIRCLE_POINTS, FIXED_POINT_ONE
from peers.problems import CASES, Case

SEED, DRAWS, ROUNDS = 7, 256, 60


def masses(counts: SoftCounts, points: int) -> np.ndarray:
    """2 w(ε/√2) − w(ε), the solver's estimate of the masses."""
    return (2 * counts.weight_sharp - counts.weight).double().numpy() / (FIXED_POINT_ONE * points)


def estimates(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """(ROUNDS, n) estimates from DRAWS draws each: row by row, and on circles."""
    heights = brenier.fit(case.targets, tol=0.05, progress=False).potential.heights.double()
    centred = torch.from_numpy(case.targets - case.targets.mean(0))
    targets, epsilon = prepare(centred), 0.5 * case.temperature
    rows, circles = [], []
    for k in range(ROUNDS):
        noise = normal(SEED, k * DRAWS, DRAWS, centred.shape[1], stream=Stream.CHECK)
        lists = candidates(noise, targets, heights, margin=8 * epsilon)
        rows.append(masses(soft_counts(lists, case.size, epsilon), DRAWS))
        found = circle_candidates(noise, targets, heights, margin=8 * epsilon)
        circles.append(masses(circle_counts(found, heights, epsilon), DRAWS // 2 * CIRCLE_POINTS))
    return np.array(rows), np.array(circles)


def main() -> None:
    for name in ("digits", "mixture"):
        rows, circles = estimates(CASES[name]())
        ratio = circles.var(axis=0).sum() / rows.var(axis=0).sum()
        print(f"{name:8} variance on circles / row by row = {ratio:.3f}: a draw is worth {1 / ratio:.2f}")


if __name__ == "__main__":
    main()
