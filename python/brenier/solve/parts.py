"""Targets divided into parts: by k-means, or as the caller says; and the problem inside each part."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from brenier.engine import assign, checks
from brenier.engine.project import project
from brenier.engine.scale import moderate
from brenier.errors import InputError, require_package
from brenier.solve.centring import blocks
from brenier.solve.fixed_order import single_threaded
from brenier.solve.principal import SAMPLE, SAMPLE_VALUES, principal_directions, spaced_indices
from brenier.solve.problem import Problem, build_problem, mass_sums, masses_of
from brenier.solve.streamed import resident
from brenier.types import Array

TRAINING = 64  # targets per part that k-means sees
ROUNDS = 5
AXES = 16  # principal directions that k-means sees
LEAST_WEIGHT = 1e-30  # of the mean one: a smaller one is none in float32
BATCHES_SEEN = 4  # batches of k-means at once: three judge its start


@dataclass(frozen=True)
class Parts:
    """Parts 0 to P − 1 of the targets that have mass.

    labels : (given,) int64, the part of each target as given, -1 where it has no mass
    masses : (P,) float64, sums to 1; problems : inside each part, with masses of sum 1
    rows : for each part, where its targets stand among those given, ascending
    targets : (n, d) float32, the distinct targets of all parts in their order, each less the centroid of its part;
        the problems hold views of it, so that targets are held once
    """

    labels: np.ndarray
    masses: np.ndarray
    problems: list[Problem]
    rows: list[np.ndarray]
    targets: Tensor

    @property
    def sizes(self) -> np.ndarray:
        """Distinct targets of each part."""
        return np.array([problem.size for problem in self.problems])

    @property
    def centroids(self) -> Tensor:
        """Σ_{i in p} ν_i y_i / ν_p, (P, d) float64."""
        return torch.from_numpy(np.stack([problem.centre for problem in self.problems]))


def divide(
    matrix: Tensor,
    weights: object,
    parts: int | Array | None,
    seed: int,
    allow: Callable[[list[int]], object] = lambda _sizes: None,
) -> Parts:
    """The parts of targets (n, d); raises InputError for what no parts can be made of.

    allow : called with the sizes of the parts before their targets are copied, to raise where they are too large
    """
    masses = masses_of(weights, len(matrix))
    kept = np.flatnonzero(masses > 0)
    labels = np.full(len(matrix), -1, dtype=np.int64)
    labels[kept] = np.unique(divided(matrix, masses, kept, parts, seed), return_inverse=True)[1]
    made = inside(matrix, masses, labels, allow)
    same = build_problem(made.centroids, made.masses).members
    if len(np.unique(same)) == len(made.masses):
        return made
    del made  # the targets are held once
    labels[kept] = same[labels[kept]]  # equal centroids would share one cell of the map between parts
    return inside(matrix, masses, labels, allow)


def divided(
    matrix: Tensor, masses: np.ndarray, kept: np.ndarray, parts: int | Array | None, seed: int
) -> np.ndarray:
    """A part for each target that is kept, some perhaps of nobody."""
    if parts is None or isinstance(parts, int):
        rows = matrix[torch.from_numpy(kept)] if len(kept) < len(matrix) else matrix
        return k_means(rows, masses[kept], part_count(parts, len(rows)), seed)
    return given_parts(parts, len(matrix))[kept]


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


def inside(
    matrix: Tensor, masses: np.ndarray, labels: np.ndarray, allow: Callable[[list[int]], object]
) -> Parts:
    """The problem of each part, its targets centred by their own mean."""
    rows = [own for _, own in grouped(labels)]
    allow([len(own) for own in rows])
    targets, problems, end = torch.empty(sum(map(len, rows)), matrix.shape[1]), list[Problem](), 0
    with single_threaded():  # torch would wake its threads for each part
        for own in rows:
            problems.append(part_problem(matrix, masses, own, targets[end:]))
            end += problems[-1].size
    total = mass_sums(labels[labels >= 0], masses[labels >= 0], len(rows))
    return Parts(labels, total, problems, rows, targets[:end])


def part_problem(matrix: Tensor, masses: np.ndarray, rows: np.ndarray, place: Tensor) -> Problem:
    """The problem over some of the targets, held in the first rows of ``place``."""
    problem = build_problem(matrix[torch.from_numpy(rows)], masses[rows])
    return replace(problem, targets=place[: problem.size].copy_(resident(problem.targets)))


def grouped(labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Each label from 0 on that occurs, ascending, and where it stands, ascending; negative ones are left out."""
    order = np.argsort(labels, kind="stable")
    order = order[np.searchsorted(labels[order], 0) :]
    if len(order) == 0:
        return []
    found, first = np.unique(labels[order], return_index=True)
    return list(zip(found.tolist(), np.split(order, first[1:]), strict=True))


def k_means_batch(count: int) -> int:
    """Targets of one of its steps."""
    return max(1024, 2 * count)


def k_means(matrix: Tensor, masses: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The nearest of ``count`` centres for each target, by mini-batch k-means on a spaced subset (Sculley 2010).

    Nearest along the leading principal directions: among all d of many, half the centres would keep one target each,
    for a target is nearer to a mean than to any other target. argmin_p ‖z − c_p‖² = argmax_p ⟨z, c_p⟩ − ½‖c_p‖² is the
    engine's own verb, so equal targets fall into one part.
    """
    if count == 1:
        return np.zeros(len(matrix), dtype=np.int64)
    cluster = require_package("sklearn.cluster", "metrics")
    limits = require_package("threadpoolctl", "metrics")
    subset = spaced_indices(len(matrix), TRAINING * count, 0.0)
    coordinates = principal_coordinates(matrix)
    seen = coordinates[torch.from_numpy(subset)].numpy()
    method = cluster.MiniBatchKMeans(
        count,
        batch_size=k_means_batch(count),
        max_iter=ROUNDS,
        n_init=1,
        init="random",
        random_state=seed % 2**32,
    )
    with single_threaded(), limits.threadpool_limits(1):  # the centres' bits depend on threads
        method.fit(seen, sample_weight=np.maximum(masses[subset] / masses[subset].mean(), LEAST_WEIGHT))
    centres = torch.from_numpy(method.cluster_centers_)
    heights = -0.5 * centres.double().square().sum(1)
    return assign(coordinates, centres, heights).numpy()


def rows_looked_at(matrix: Tensor) -> int:
    """Targets that the principal directions of k-means come from."""
    return min(len(matrix), 2 * SAMPLE, max(64, SAMPLE_VALUES // matrix.shape[1]))


def principal_coordinates(matrix: Tensor) -> Tensor:
    """⟨axis_k, y_i − ȳ⟩ of all targets, float32 (n, r ≤ AXES); axes and mean are those of a few of them."""
    looked_at = spaced_indices(len(matrix), rows_looked_at(matrix), 0.0)
    sample, power = moderate(matrix[torch.from_numpy(looked_at)].cpu())
    rows = sample.double()
    centre = torch.from_numpy(rows.numpy().mean(axis=0))
    axes = principal_directions((rows - centre).float()).axes[:AXES]
    found = [
        project((matrix[lo:hi].cpu().double() * power - centre).float(), axes) for lo, hi in blocks(matrix)
    ]
    return torch.cat(found)
