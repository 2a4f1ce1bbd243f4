"""Many (noise, index) pairs for each pass over the targets: noise in random subspaces, shuffled across several.

A pass projects the targets on G subspaces of m directions, P_s = Y Z_sᵀ; each gives K pairs

    x = Z_sᵀ c,   index = argmax_i ⟨c, P_si⟩ + h_i,   c uniform on the unit sphere of R^m

so x is exactly N(0, I_d) and a pair costs 2 n m + 2 n d m / K operations instead of 2 n d. Pairs of one subspace are
correlated: counts of K of them vary like those of K/(1 + c(n) K/(n m)) independent ones (solve/sampling.py; measured
by benchmarks/coupling.py). The G·K pairs of a pass are handed out in random order, so that a micro-batch mixes
subspaces. Projections and noise are rounded to float32: an index may differ from that of the full product where two
scores agree to about 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brenier.data.noise import Stream, normal, unit_vectors
from brenier.data.order import Shuffle
from brenier.engine import assign
from brenier.engine.project import Directions, prepare_directions, project
from brenier.engine.ranks import Ranks
from brenier.errors import InputError
from brenier.solve import HierarchicalPotential, StreamedPotential
from brenier.solve.centring import subtract
from brenier.solve.sampling import correlation
from brenier.solve.streamed import onto

MIXED = 8  # G: subspaces of one pass, and of the shuffle
WORTH = 1.5  # pairs of a subspace that are worth one independent pair, by choice of K
FEWEST = 16


@dataclass(frozen=True)
class Pass:
    """What one pass over the targets gives."""

    number: int
    directions: list[Directions]  # Z_sᵀ, (d, m) each
    within: Tensor  # c, (G·K, m)
    indices: Tensor  # (G·K,)


class SubspacePairs:
    """Pairs by their number: a function of (seed, rank, number), made pass by pass.

    subspace : m, 1 to 512 directions

    Raises InputError for other m, and for a HierarchicalPotential.
    """

    def __init__(self, potential: Any, subspace: int, seed: int, ranks: Ranks) -> None:
        whole = isinstance(subspace, int) and not isinstance(subspace, bool)
        if not whole or not 1 <= subspace <= 512 or isinstance(potential, HierarchicalPotential):
            raise InputError(
                "subspace", expected="1 to 512 directions, and a potential of one level", got=repr(subspace)
            )
        self.potential, self.subspace, self.seed, self.ranks = potential, subspace, seed, ranks
        n, self.dimension = potential.targets.shape
        self.each = max(FEWEST, int((WORTH - 1) * n * subspace / correlation(n)))  # K
        self.order = Shuffle(MIXED * self.each, seed)
        self.targets: Any = getattr(potential, "streamed", None)
        if not isinstance(potential, StreamedPotential):
            self.targets, _ = subtract(potential.targets.cpu(), potential.centre.numpy())
        self.heights = potential.heights.cpu()
        self._pass: Pass | None = None

    def take(self, first: int, rows: int) -> tuple[Tensor, Tensor]:
        """Pairs number first to first + rows − 1 of this rank: float32 (rows, d) and int64 (rows,)."""
        held, noise, indices = MIXED * self.each, [], []
        while rows:
            number, at = divmod(first, held)
            count = min(rows, held - at)
            made = self.pass_of(number * self.ranks.world + self.ranks.rank)
            slots = self.order.take(made.number * held + at, count)
            noise.append(self.noise(made, slots))
            indices.append(made.indices[slots])
            first, rows = first + count, rows - count
        return torch.cat(noise), torch.cat(indices)

    def pass_of(self, number: int) -> Pass:
        if self._pass is None or self._pass.number != number:
            self._pass = None  # its memory goes before that of the next comes
            self._pass = self.made(number)
        return self._pass

    def made(self, number: int) -> Pass:
        """One pass over the targets."""
        m, pairs = self.subspace, MIXED * self.each
        rows = MIXED * m
        directions = normal(self.seed, number * rows, rows, self.dimension, stream=Stream.TRAIN_SUBSPACE)
        within = unit_vectors(self.seed, number * pairs, pairs, m, stream=Stream.TRAIN_DIRECTION)
        coordinates = onto(self.targets, directions)
        found = [
            assign(
                within[s * self.each : (s + 1) * self.each], coordinates[:, s * m : (s + 1) * m], self.heights
            )
            for s in range(MIXED)
        ]
        across = [prepare_directions(part.T.contiguous()) for part in directions.split(m)]
        return Pass(number, across, within, torch.cat(found))

    def noise(self, made: Pass, slots: Tensor) -> Tensor:
        """x = Z_sᵀ c, the same bits however slots are grouped."""
        x = torch.empty(len(slots), self.dimension)
        for s in torch.unique(slots // self.each).tolist():
            here = slots // self.each == s
            x[here] = project(made.within[slots[here]], made.directions[s])
        return x
