"""The map across neighbouring cells: which targets come next for a noise, and blends that do not cross singular sets.

Inside a cell the map is constant, so all its noises share one target. AE-OT (An et al., ICLR 2020) extends it: near a
wall between cells the targets on both sides are mixed, unless the planes that support u there meet at a large angle,
which marks the set where the true map jumps between modes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from brenier.engine import candidates, checks
from brenier.errors import InputError
from brenier.solve import Potential
from brenier.types import Array, Candidates

TEMPERATURES: WeakKeyDictionary[Potential, float] = WeakKeyDictionary()


@dataclass(frozen=True)
class TopTargets:
    """The targets that score best for each noise, best first; -1, inf and nan stand where there is none."""

    indices: Tensor  # (N, k) int64
    gaps: Tensor  # (N, k) float64: the winner's score minus theirs, 0 in the first column
    angles: Tensor  # (N, k) float64: radians between their supporting planes and the winner's


@dataclass(frozen=True)
class Blend:
    """Targets to mix for each noise and their shares; column 0 is the winner."""

    indices: Tensor  # (N, k) int64, unused places repeat the winner
    weights: Tensor  # (N, k) float64, rows sum to 1, 0 in unused places


@dataclass(frozen=True)
class Extension:
    """How the map is extended: weights w_k ∝ (1 − (s_winner − s_k)/(width·τ))₊ over targets within the angle.

    The result is continuous in the noise wherever no target enters or leaves by its angle or for lack of places, and
    equal to the plain map away from the walls of cells. (AE-OT weighs by distances to cell centres, which must be
    estimated.)

    angle : radians; a target whose plane meets the winner's at more is left out. Between the normals
        (y − ȳ, −1): for long targets the angle between them about their mean
    width : how far below the winner a score may lie, in units of τ = rms‖y − ȳ‖/√(2 ln n), the typical distance
        of a winner from its runner-up
    neighbours : most targets in one blend, the winner included

    Raises InputError.
    """

    angle: float
    width: float = 0.5
    neighbours: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.angle <= math.pi:
            raise InputError("angle", expected="radians from 0 to π", got=repr(self.angle))
        if not 0 < self.width < math.inf:
            raise InputError("width", expected="a finite number > 0", got=repr(self.width))
        if not (isinstance(self.neighbours, int) and self.neighbours >= 1):
            raise InputError("neighbours", expected="an integer ≥ 1", got=repr(self.neighbours))

    def blend(self, potential: Potential, x: Array) -> Blend:
        """The targets to mix for each noise (N, d). Raises InputError, as for a streamed potential."""
        require_resident(potential)
        reach = self.width * temperature(potential)
        top = padded(within(potential, x, reach), self.neighbours, potential)
        kept = (top.indices >= 0) & (top.angles <= self.angle)
        kept[:, :1] = True  # the winner, also where it is its own -1
        shares = torch.where(kept, (1 - top.gaps / reach).clamp(min=0), 0.0)
        indices = torch.where(kept, top.indices, top.indices[:, :1])
        return Blend(indices, shares / shares.sum(dim=1, keepdim=True))

    def transport(self, potential: Potential, x: Array) -> Tensor:
        """The extended map: Σ_k w_k y_k for each noise, float32 (N, d)."""
        blend = self.blend(potential, x)
        mixed = torch.zeros(len(blend.indices), potential.targets.shape[1], device=potential.targets.device)
        for column, weights in zip(blend.indices.T, blend.weights.T.to(mixed), strict=True):
            mixed += weights[:, None] * potential.targets[column].float()
        return mixed


def top_targets(potential: Potential, x: Array, count: int) -> TopTargets:
    """The `count` best targets of each noise, in float64 and exact: lowest index first among equals.

    x : (N, d) as in Potential.assign; count from 1 to n
    A diagnostic: gaps near 0 say that the winner could as well be another, angles near π/2 that the others look
    different. Raises InputError.
    """
    require_resident(potential)
    n = len(potential.targets)
    if not (isinstance(count, int) and 1 <= count <= n):
        raise InputError("count", expected=f"an integer from 1 to {n}", got=repr(count))
    reach, usable = temperature(potential), int(torch.isfinite(potential.heights).sum())
    found = within(potential, x, reach)
    while found.rows and int(found.offsets.diff().min()) < min(count, usable):
        reach *= 2
        found = within(potential, x, reach)
    return padded(found, count, potential)


def require_resident(potential: Any) -> None:
    """Raise InputError for what has no targets in memory to look at."""
    if not isinstance(getattr(potential, "targets", None), Tensor):
        raise InputError(
            "potential",
            expected="a brenier.Potential with its targets in memory, for mixtures and best targets",
            got=type(potential).__name__,
        )


def within(potential: Potential, x: Array, reach: float) -> Candidates:
    """Targets whose score is at most `reach` below the winner's."""
    noise = checks.as_tensor(x, "x").flatten(1).to(potential.targets.device)
    noise = noise.float() if noise.dtype == torch.float64 else noise
    heights = potential.heights.to(noise.device)
    return candidates(noise, potential.prepared(), heights, margin=reach)


def temperature(potential: Potential) -> float:
    """τ = rms‖y − ȳ‖/√(2 ln n), in units of the score (docs/concept.md); 1 where all targets are one."""
    if potential not in TEMPERATURES:  # a pass over the targets
        rows, centre = potential.targets, potential.centre.to(potential.targets.device)
        total = sum(float((part.double() - centre).square().sum()) for part in rows.split(8192))
        spread = math.sqrt(total / len(rows))
        TEMPERATURES[potential] = spread / math.sqrt(2 * math.log(max(len(rows), 2))) or 1.0
    return TEMPERATURES[potential]


def padded(found: Candidates, count: int, potential: Potential) -> TopTargets:
    """Ragged candidates as the best `count` of each row."""
    offsets, indices = found.offsets.cpu().numpy(), found.indices.cpu().numpy()
    scores, rows = found.scores.cpu().numpy(), np.repeat(np.arange(found.rows), np.diff(offsets))
    order = np.lexsort((indices, -scores, rows))
    place = np.arange(len(order)) - offsets[rows]
    order, rows, place = (part[place < count] for part in (order, rows, place))
    best = np.full((found.rows, count), -1, dtype=np.int64)
    gaps = np.full((found.rows, count), np.inf)
    best[rows, place] = indices[order]
    gaps[rows, place] = scores[order]
    gaps = np.where(best >= 0, gaps[:, :1] - gaps, np.inf)
    winners = torch.from_numpy(best)
    return TopTargets(winners, torch.from_numpy(gaps), angles(potential, winners))


def angles(potential: Potential, indices: Tensor) -> Tensor:
    """Radians between the normals (y − ȳ, −1) of targets (N, k) and those of column 0; nan where there is none."""
    first = normals(potential, indices[:, 0])
    columns = [cosine(first, normals(potential, column)).acos() for column in indices.T]
    found = torch.stack(columns, dim=1) if columns else torch.empty(len(indices), 0, dtype=torch.float64)
    same = indices == indices[:, :1]
    return torch.where(indices >= 0, found.masked_fill(same, 0.0), torch.nan)


def normals(potential: Potential, column: Tensor) -> Tensor:
    rows = potential.targets[column.clamp(min=0).to(potential.targets.device)].double().cpu()
    plane = torch.cat([rows - potential.centre.cpu(), -torch.ones(len(rows), 1, dtype=torch.float64)], dim=1)
    return plane / plane.norm(dim=1, keepdim=True)


def cosine(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum(dim=1).clamp(-1, 1)
