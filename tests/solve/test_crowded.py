"""Newton steps on candidate lists."""

import numpy as np
import torch
from brenier.engine import candidates
from brenier.solve.crowded import joined, newton_direction, probabilities, wins
from helpers import known_answers as problems


def lists():  # type: ignore[no-untyped-def]
    y, _, heights = problems.line(15)
    noise = torch.randn(400, 1, generator=torch.Generator().manual_seed(0))
    found = candidates(noise, torch.from_numpy(y), heights, margin=0.5)
    return joined([found]), found


def test_the_newton_direction_solves_the_dense_system() -> None:
    data, _ = lists()
    epsilon, ridge = 0.1, np.full(15, 0.05)
    p = np.zeros((400, 15))
    p[data.row, data.indices] = probabilities(data, epsilon)
    hessian = (np.diag(p.sum(0)) - p.T @ p) / 400 / epsilon + np.diag(ridge)
    gradient = np.random.default_rng(1).standard_normal(15)
    found = newton_direction(data, gradient, ridge, epsilon)
    assert np.allclose(found, np.linalg.solve(hessian, gradient), rtol=5e-3, atol=5e-3)


def test_probabilities_of_a_row_sum_to_one() -> None:
    data, _ = lists()
    assert np.allclose(np.add.reduceat(probabilities(data, 0.1), data.offsets[:-1]), 1)


def test_wins_count_the_lowest_index_of_the_best_candidates() -> None:
    data, found = lists()
    counts = wins(data, np.zeros(15), 15)
    best = [
        int(found.indices[lo + torch.argmax(found.scores[lo:hi])])
        for lo, hi in zip(found.offsets[:-1], found.offsets[1:], strict=True)
    ]
    assert np.array_equal(counts, np.bincount(best, minlength=15))
