"""The problem the solver works on: distinct targets with positive mass, centred, in float32.

Centring changes no winner and no height (design card, section 1), and it makes every norm, and so every
rounding bound, as small as it can be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks, threads
from brenier.errors import InputError
from brenier.solve.fingerprint import fingerprint, summary
from brenier.solve.streamed import StreamedTargets, Targets

ROUNDING = 1e-12
BLOCK_VALUES = 1 << 22  # values of the target matrix handled at a time, so that float64 copies stay small
ACCEPTED = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Problem:
    """n distinct centred targets with positive masses, and how they map back to what the user gave."""

    targets: Targets  # (n, d) float32, centred; in memory or streamed
    masses: np.ndarray  # (n,) float64, sums to 1
    norms: np.ndarray  # (n,) float64, ‖y_i − ȳ‖
    centre: np.ndarray  # (d,) float64
    members: np.ndarray  # (given,) int64: the problem's target for each given one, -1 where it has no mass

    @property
    def size(self) -> int:
        return len(self.masses)

    @property
    def dimension(self) -> int:
        return self.targets.shape[1]

    def fingerprint(self) -> str:
        """What tells these centred targets from others."""
        if isinstance(self.targets, StreamedTargets):
            return self.targets.fingerprint
        return fingerprint(self.targets)

    def summary(self) -> str:
        """What tells them from others as far as their norms and centre do, at no cost."""
        return summary(self.targets.shape, self.centre, self.norms)

    def expand(self, heights: np.ndarray) -> Tensor:
        """Heights for the targets as given: duplicates share theirs, targets without mass get -inf."""
        return torch.from_numpy(np.where(self.members < 0, -np.inf, heights[self.members]))


def build_problem(targets: Tensor, weights: object = None) -> Problem:
    """Check, deduplicate, centre.

    targets : (n, d) float16, bfloat16, float32 or float64 (rounded to float32 after centring), found finite before
    weights : (n,) masses ≥ 0 of any positive sum, None for equal masses

    Raises InputError for empty targets, for those that centring takes out of float32, and for masses that do not fit.
    """
    matrix = checks.as_matrix(targets, "targets", dtypes=ACCEPTED, finite=False).cpu()
    if 0 in matrix.shape:
        raise InputError(
            "targets",
            expected="at least one target of at least one dimension",
            got=f"shape {tuple(matrix.shape)}",
        )
    given = masses_of(weights, len(matrix))
    kept = np.flatnonzero(given > 0)
    rows = matrix if len(kept) == len(matrix) else matrix[torch.from_numpy(kept)]
    centre = weighted_mean(rows, given[kept])
    centred, norms = subtract(rows, centre)
    owner, first = distinct_rows(centred, norms)
    require_distinct(rows, len(first))
    members = np.full(len(matrix), -1, dtype=np.int64)
    members[kept] = owner
    masses = mass_sums(owner, given[kept], len(first))
    if len(first) < len(centred):
        centred, norms = centred[torch.from_numpy(first)], norms[first]
    return Problem(centred, masses, norms, centre, members)


def masses_of(weights: object, targets: int) -> np.ndarray:
    """Masses as float64 of sum 1; equal masses for None."""
    if weights is None:
        return np.full(targets, 1.0 / targets)
    masses = checks.as_tensor(weights, "weights").cpu().double().numpy()
    if masses.shape != (targets,):
        raise InputError(
            "weights",
            expected=f"shape (n,) = ({targets},)",
            got=str(masses.shape),
            remedy="pass one mass per target or None for equal masses",
        )
    checks.require_finite(torch.from_numpy(masses), "weights")
    if masses.min() < 0 or not 0 < masses.sum() < np.inf:
        raise InputError(
            "weights",
            expected="masses ≥ 0 with a positive sum",
            got=f"minimum {masses.min():g}, sum {masses.sum():g}",
            remedy="give a target that must never win the mass 0",
        )
    total = masses.sum()
    kept = abs(total - 1) <= ROUNDING and masses.max() <= 1  # masses of a file keep their bits
    return masses if kept else masses / total


def mass_sums(owner: np.ndarray, masses: np.ndarray, owners: int) -> np.ndarray:
    """The mass of each owner, (owners,); at most 1, above which the rounding of a sum could take the whole mass."""
    return np.minimum(np.bincount(owner, weights=masses, minlength=owners), 1.0)


def distinct_rows(centred: Tensor, norms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct row that each row is, and where each distinct row first stands.

    No height can split a cell between two equal targets, so they share one cell and the sum of their masses.
    Rows are compared as the engines see them: centred, in float32. Only rows of equal norm can be equal.
    """
    _, group, members = np.unique(norms, return_inverse=True, return_counts=True)
    leader, seen = np.arange(len(centred)), dict[bytes, int]()
    suspects = np.flatnonzero(members[group] > 1)
    for i, digest in zip(suspects.tolist(), row_digests(centred, suspects), strict=True):
        leader[i] = seen.setdefault(digest, i)
    first = np.flatnonzero(leader == np.arange(len(centred)))
    return np.searchsorted(first, leader), first


def require_distinct(rows: Tensor, distinct: int) -> None:
    """Refuse targets that differ as given and no longer do in float32."""
    if distinct == 1 and any(bool((rows[lo:hi] != rows[:1]).any()) for lo, hi in blocks(rows)):
        raise InputError(
            "targets",
            expected="differences that float32 can hold",
            got="targets that are all equal once centred and rounded to float32",
            remedy="multiply them by a constant; heights scale with it",
        )


def row_digests(matrix: Tensor, index: np.ndarray) -> Iterator[bytes]:
    """A 128-bit digest of each of those rows; equal rows have equal digests, −0 counting as 0."""
    for i in index:
        yield hashlib.blake2b((matrix[i].numpy() + 0.0).tobytes(), digest_size=16).digest()


def block_rows(dimension: int) -> int:
    return max(1, BLOCK_VALUES // max(1, dimension))


def blocks(matrix: Tensor) -> list[tuple[int, int]]:
    """Row ranges of bounded size; fixed by the shape alone, so that sums over them have fixed bits."""
    size = block_rows(matrix.shape[1])
    return [(lo, min(lo + size, len(matrix))) for lo in range(0, len(matrix), size)]


def weighted_mean(matrix: Tensor, masses: np.ndarray) -> np.ndarray:
    """Σ ν_i y_i in float64, in one order (einsum does not thread)."""
    mean = np.zeros(matrix.shape[1])
    add_weighted(mean, matrix, masses)
    return mean


def add_weighted(mean: np.ndarray, matrix: Tensor, masses: np.ndarray) -> None:
    for lo, hi in blocks(matrix):
        mean += np.einsum("i,ij->j", masses[lo:hi], matrix[lo:hi].double().numpy())


def row_norms(matrix: Tensor) -> np.ndarray:
    """‖y_i‖ in float64."""
    norms = np.empty(len(matrix))

    def measure(block: tuple[int, int]) -> None:
        rows = matrix[slice(*block)].numpy().astype(np.float64)
        norms[slice(*block)] = np.sqrt(np.einsum("ij,ij->i", rows, rows))

    threads.run(measure, blocks(matrix))
    return norms


def subtract(matrix: Tensor, centre: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """Centred targets rounded once to float32, and the norms of the rounded rows."""
    centred = torch.empty(matrix.shape, dtype=torch.float32)

    def write(block: tuple[int, int]) -> None:
        rows = matrix[slice(*block)]
        exact = rows.double() if rows.dtype == torch.bfloat16 else rows
        with np.errstate(over="ignore"):  # refused below, in words
            np.subtract(
                exact.numpy(),
                centre,
                out=centred[slice(*block)].numpy(),
                dtype=np.float64,
                casting="same_kind",
            )

    threads.run(write, blocks(matrix))
    norms = row_norms(centred)
    if not np.isfinite(norms).all():  # float64: a row of finite float32 has a finite norm
        checks.require_finite(centred, "targets after centring, in float32")
    return centred, norms
