"""Targets divided into parts: by k-means, or as the caller says; and the problem inside each part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brenier.engine import assign, checks
from brenier.errors import InputError, require_package
from brenier.solve.centring import blocks
from brenier.solve.fixed_order import single_threaded
from brenier.solve.principal import spaced_indices
from brenier.solve.problem import Problem, build_problem, masses_of
from brenier.types import Array

TRAINING = 64  # targets per part that k-means sees
ROUNDS = 5


@dataclass(frozen=True)
class Parts:
    """Parts 0 to P − 1 of the targets that have mass.

    labels : (given,) int64, the part of each target as given, -1 where it has no mass
    masses : (P,) float64, sums to 1; problems : inside each part, with masses of sum 1
    rows : for each part, where its targets stand among those given, ascending
    """

    labels: np.ndarray
    masses: np.ndarray
    problems: list[Problem]
    rows: list[np.ndarray]

    @property
    def sizes(self) -> np.ndarray:
        """Distinct targets of each part."""
        return np.array([problem.size for problem in self.problems])

    @property
    def centroids(self) -> Tensor:
        """Σ_{i in p} ν_i y_i / ν_p, (P, d) float64."""
        return torch.from_numpy(np.stack([problem.centre for problem in self.problems]))


def divide(matrix: Tensor, weights: object, parts: int | Array | None, seed: int) -> Parts:
    """The parts of targets (n, d); raises InputError for what no parts can be made of."""
    masses = masses_of(weights, len(matrix))
    kept = np.flatnonzero(masses > 0)
    rows = matrix[torch.from_numpy(kept)] if len(kept) < len(matrix) else matrix
    if parts is None or isinstance(parts, int):
        count = part_count(parts, len(rows))
        found = k_means(rows, masses[kept], count, seed)
    else:
        found = given_parts(parts, len(matrix))[kept]
    labels = np.full(len(matrix), -1, dtype=np.int64)
    labels[kept] = np.unique(found, return_inverse=True)[1]
    made = inside(matrix, masses, labels)
    same = build_problem(made.centroids, made.masses).members
    if len(np.unique(same)) == len(made.masses):
        return made
    labels[kept] = same[labels[kept]]  # equal centroids would share one cell of the map between parts
    return inside(matrix, masses, labels)


def part_count(parts: int | None, targets: int) -> int:
    count = max(1, round(math.sqrt(targets))) if parts is None else parts
    if isinstance(count, bool) or not 1 <= count <= targets:
        raise InputError(
            "parts", expected=f"1 to n = {targets} parts, or a label per target", got=repr(parts)
        )
    return count


def given_parts(parts: Array, targets: int) -> np.ndarray:
    labels = checks.as_tensor(parts, "parts").cpu()
    if labels.shape != (targets,) or labels.is_floating_point() or labels.dtype == torch.bool:
        raise InputError(
            "parts", expected=f"a number, or integers of shape ({targets},)", got=f"{tuple(labels.shape)}"
        )
    return labels.long().numpy()


def inside(matrix: Tensor, masses: np.ndarray, labels: np.ndarray) -> Parts:
    """The problem of each part, its targets centred by their own mean."""
    count = int(labels.max()) + 1
    rows = [own for _, own in grouped(labels)]
    problems = [build_problem(matrix[torch.from_numpy(row)], masses[row]) for row in rows]
    return Parts(labels, np.bincount(labels[labels >= 0], masses[labels >= 0], count), problems, rows)


def grouped(labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Each label from 0 on that occurs, ascending, and where it stands, ascending; negative ones are left out."""
    order = np.argsort(labels, kind="stable")
    order = order[np.searchsorted(labels[order], 0) :]
    if len(order) == 0:
        return []
    found, first = np.unique(labels[order], return_index=True)
    return list(zip(found.tolist(), np.split(order, first[1:]), strict=True))


def k_means(matrix: Tensor, masses: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The nearest of ``count`` centres for each target, by mini-batch k-means on a spaced subset (Sculley 2010).

    argmin_p ‖y − c_p‖² = argmax_p ⟨y, c_p⟩ − ½‖c_p‖² is the engine's own verb, so equal targets fall into one part.
    """
    if count == 1:
        return np.zeros(len(matrix), dtype=np.int64)
    cluster = require_package("sklearn.cluster", "metrics")
    limits = require_package("threadpoolctl", "metrics")
    subset = spaced_indices(len(matrix), TRAINING * count, 0.0)
    seen = matrix[torch.from_numpy(subset)].float().cpu().numpy()
    method = cluster.MiniBatchKMeans(
        count,
        batch_size=max(1024, 2 * count),
        max_iter=ROUNDS,
        n_init=1,
        init="random",
        random_state=seed % 2**32,
    )
    with single_threaded(), limits.threadpool_limits(1):  # the centres' bits depend on threads
        method.fit(seen, sample_weight=masses[subset] / masses[subset].mean())
    centre = torch.from_numpy(seen.mean(axis=0, dtype=np.float64))
    centres = (torch.from_numpy(method.cluster_centers_).double() - centre).float()
    heights = -0.5 * centres.double().square().sum(1)
    found = [
        assign((matrix[lo:hi].cpu().double() - centre).float(), centres, heights) for lo, hi in blocks(matrix)
    ]
    return torch.cat(found).numpy()
