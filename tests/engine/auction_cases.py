"""Score matrices that assignment solvers get wrong first, and what every answer of a device auction must satisfy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from brenier.engine.auction import Bidder, Bids, Problems, Proof, certify
from scipy.optimize import linear_sum_assignment


def products(n: int, seed: int = 0, depth: int = 64) -> np.ndarray:
    """Scores of correlated rows against noise, float32."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, depth)) / np.arange(1, depth + 1) ** 0.5
    return (rows @ rng.standard_normal((depth, n))).astype(np.float32)


def repeated(scores: np.ndarray, axis: int) -> np.ndarray:
    """The second half of the rows or columns equal to the first."""
    half = len(scores) // 2
    picked = np.r_[0 : len(scores) - half, 0:half]
    return scores.take(picked, axis)


def families(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    each, random = np.arange(1.0, n + 1), rng.random((n, n))
    block = np.zeros((n, n))
    block[: n // 2, : n // 2], block[n // 2 :, n // 2 :] = random[: n // 2, : n // 2], 0.5
    wanted, spike = random.copy(), random.copy()
    wanted[:, :3] += 100
    spike[0, 0] = 1e12
    places = rng.random((2, n, 2))
    return {
        "products": products(n),
        "machol-wien": -each[:, None] * each,
        "geometric": -np.linalg.norm(places[0][:, None] - places[1], axis=2),
        "constant": np.ones((n, n)),
        "constant rows": np.repeat(rng.random((n, 1)), n, 1),
        "constant columns": np.repeat(rng.random((1, n)), n, 0),
        "integers": rng.integers(0, 10, (n, n)).astype(float),
        "zeros and ones": rng.integers(0, 2, (n, n)).astype(np.float32),
        "duplicate rows": repeated(random, 0),
        "duplicate columns": repeated(random, 1),
        "blocks": block,
        "three wanted columns": wanted,
        "one huge score": spike,
        "huge": random * 1e300,
        "tiny": random * 1e-300,
        "large offset": random + 1e6,
    }


FAMILIES = sorted(families(3))


def problems(*matrices: np.ndarray, maximize: bool = True, device: str = "cpu") -> Problems:
    flat = torch.cat([torch.as_tensor(np.ascontiguousarray(one)).flatten() for one in matrices])
    return Problems(flat.to(device), tuple(len(one) for one in matrices), maximize)


def solved(bidder: Bidder, given: Problems, gap: float = 1e-3) -> tuple[Bids, list[Proof]]:
    bids = bidder.solve(given, gap)
    return bids, certify(given, bids)


def best_total(scores: np.ndarray, maximize: bool = True) -> float:
    rows, columns = linear_sum_assignment(scores, maximize)
    return float(scores[rows, columns].astype(float).sum())


def assert_certified(
    scores: np.ndarray, permutation: torch.Tensor, proof: Proof, maximize: bool = True
) -> None:
    """A permutation, its total as said, and scipy's optimum inside the certificate."""
    n = len(scores)
    assert sorted(permutation.tolist()) == list(range(n))
    total = float(scores[np.arange(n), permutation.cpu().numpy()].astype(float).sum())
    assert proof.total == pytest.approx(total, rel=1e-12, abs=1e-300)
    lost = (best_total(scores, maximize) - total) * (1 if maximize else -1)
    assert lost <= proof.excess + proof.rounding + 1e-12 * abs(total)
