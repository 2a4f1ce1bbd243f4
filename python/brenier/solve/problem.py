"""The problem the solver works on: distinct targets with positive mass, centred, in float32.

Centring changes no winner and no height (design card, section 1), and it makes every norm, and so every
rounding bound, as small as it can be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks, threads
from brenier.engine.ranks import Ranks
from brenier.errors import InputError
from brenier.solve.centring import block_rows, blocks, share
from brenier.solve.fingerprint import fingerprint, summary
from brenier.solve.mean import mean_of
from brenier.solve.streamed import StreamedTargets, Targets, resident

ROUNDING = 1e-12
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

    @cached_property
    def fingerprint(self) -> str:
        """What tells these centred targets from others; it takes reading them all, so it is kept."""
        if isinstance(self.targets, StreamedTargets):
            return self.targets.fingerprint
        return fingerprint(resident(self.targets))

    def summary(self) -> str:
        """What tells them from others as far as their norms and centre do, at no cost."""
        return summary(self.targets.shape, self.centre, self.norms)

    def expand(self, heights: np.ndarray) -> Tensor:
        """Heights for the targets as given: duplicates share theirs, targets without mass get -inf."""
        return torch.from_numpy(np.where(self.members < 0, -np.inf, heights[self.members]))


def build_problem(targets: Tensor, weights: object = None, ranks: Ranks | None = None) -> Problem:
    """Check, deduplicate, centre; ranks centre and measure their own rows each.

    targets : (n, d) float16, bfloat16, float32 or float64 (rounded to float32 after centring)
    weights : (n,) masses ≥ 0 of any positive sum, None for equal masses

    Raises InputError for targets that are empty, not finite, or out of float32 once centred, for masses that do not
    fit, and where ranks hold others.
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
    peers = ranks or Ranks()
    if peers.world > 1:
        require_same_targets(peers, f"{tuple(matrix.shape)} {matrix.dtype}", given, row_words(matrix))
    if len(rows) < len(matrix):
        checks.require_finite(matrix, "targets")
    try:
        centre = mean_of(rows, given[kept], peers)
    except InputError:  # a value that is not finite spoils the mean, and so every rank says which
        checks.require_finite(matrix, "targets")
        raise
    centred, norms = share(rows, centre, peers)
    owner, first = distinct_rows(centred, norms)
    require_distinct(rows, len(first))
    members = np.full(len(matrix), -1, dtype=np.int64)
    members[kept] = owner
    masses = mass_sums(owner, given[kept], len(first))
    if len(first) < len(centred):
        centred, norms = centred[torch.from_numpy(first)], norms[first]
    return Problem(centred, masses, norms, centre, members)


def require_same_targets(
    ranks: Ranks, kind: str, masses: np.ndarray, words: np.ndarray | None = None
) -> None:
    """Raises InputError where ranks hold targets of other kinds, masses or words, before they share sums of them."""
    seen = hashlib.sha256(masses.tobytes())
    if words is not None:
        seen.update(words.tobytes())
    ranks.require_same(f"{kind} {seen.hexdigest()}", "targets and weights")


def row_words(matrix: Tensor) -> np.ndarray:
    """The words of each row, whatever they mean, added up: (n,) integers that another value of a row changes."""
    words = matrix.view(getattr(torch, f"int{8 * matrix.element_size()}")).numpy()
    parts = threads.run(lambda block: np.add.reduce(words[slice(*block)], 1, words.dtype), blocks(matrix))
    return np.concatenate(parts)


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


def distinct_rows(centred: Targets, norms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def row_digests(matrix: Targets, index: np.ndarray) -> Iterator[bytes]:
    """A 128-bit digest of each of those rows; equal rows have equal digests, −0 counting as 0."""
    step = block_rows(matrix.shape[1])
    for lo in range(0, len(index), step):
        for row in matrix[torch.from_numpy(index[lo : lo + step])].numpy() + 0.0:
            yield hashlib.blake2b(row.tobytes(), digest_size=16).digest()
