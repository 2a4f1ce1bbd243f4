"""Where training pairs come from: a coupling by its name, dealt out to the ranks of a distributed run."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from brenier.engine.ranks import Ranks
from brenier.errors import InputError
from brenier.pair import PairedPool
from brenier.transport.coupling import Assigner, Coupling, IndependentCoupling, PairSource, PooledCoupling

CouplingName = Literal["independent", "aot", "semidiscrete", "c2ot"]
NAMES = ("independent", "aot", "semidiscrete", "c2ot")


class MicroBatch(NamedTuple):
    """Pairs number `number`·batch and following of the whole run."""

    number: int
    noise: Tensor  # (batch, d)
    rows: Tensor  # (batch,) int64, of the images


class Feed:
    """The micro-batches of one rank: rank r of W takes numbers r, r + W, r + 2W, ... of a single process's.

    A PairedPool deals whole pools to the ranks by itself, and so does a Coupling that knows of ranks. The position is
    the same on all ranks after each take.
    """

    def __init__(self, pairs: PairSource, ranks: Ranks) -> None:
        self.pairs, self.ranks = pairs, ranks
        dealt = isinstance(pairs, Coupling) and pairs.ranks.world > 1
        self.deals_itself = dealt or isinstance(pairs, PooledCoupling)

    def take(self) -> MicroBatch:
        """This rank's next micro-batch."""
        pairs, (rank, world, _) = self.pairs, self.ranks
        if self.deals_itself:
            number = pairs.position // pairs.batch * world + rank
            return MicroBatch(number, *next(pairs))
        pairs.position += rank * pairs.batch
        number = pairs.position // pairs.batch
        noise, index = next(pairs)
        pairs.position += (world - 1 - rank) * pairs.batch
        return MicroBatch(number, noise, index)


def make_pairs(
    coupling: CouplingName | PairSource | PairedPool,
    data: Tensor,
    potential: Assigner | None,
    batch: int,
    pool: int,
    labels: Tensor | None,
    condition: Tensor | None,
    seed: int,
) -> PairSource:
    """The iterator a coupling's name stands for, over data (n, d); arguments as in train_edm."""
    if isinstance(coupling, PairedPool):
        return PooledCoupling(coupling)
    if isinstance(coupling, PairSource):
        return coupling
    if coupling not in NAMES:
        raise InputError("coupling", expected=" or ".join(map(repr, NAMES)), got=repr(coupling))
    check_companions(coupling, potential, labels, condition)
    if coupling == "semidiscrete" and potential is not None:
        check_targets(potential, len(data))
        return Coupling(potential, batch, seed, dim=data.shape[1])
    if coupling == "aot":
        return PooledCoupling(PairedPool(data, pool, batch, seed=seed, labels=labels))
    if coupling == "c2ot" and condition is not None:
        pairs = PooledCoupling(PairedPool(data, pool, batch, seed=seed, condition=as_vectors(condition)))
        pairs.kind = coupling
        return pairs
    return IndependentCoupling(len(data), data.shape[1], batch, seed)


def check_companions(
    coupling: CouplingName, potential: Assigner | None, labels: Tensor | None, condition: Tensor | None
) -> None:
    """Raise InputError where a coupling lacks what it needs, or was given what it would ignore."""
    if (potential is not None) != (coupling == "semidiscrete"):
        raise InputError(
            "potential",
            expected="one with coupling='semidiscrete', None with the others",
            got=f"{type(potential).__name__} with coupling={coupling!r}",
        )
    if labels is not None and coupling != "aot":
        raise InputError("labels", expected="None unless coupling='aot'", got=f"labels with {coupling!r}")
    if condition is None and coupling == "c2ot":
        raise InputError("condition", expected="labels or vectors (n, ...) with coupling='c2ot'", got="None")


def check_targets(potential: Assigner, images: int) -> None:
    """Raise InputError for a potential with another number of targets than there are images."""
    targets = getattr(potential, "targets", None)
    if targets is not None and targets.shape[0] != images:
        raise InputError(
            "potential",
            expected=f"one target per image, {images}",
            got=f"{targets.shape[0]} targets",
            remedy="fit it to these images, in this order",
        )


def as_vectors(condition: Tensor) -> Tensor:
    """Conditions as the cost sees them: classes become unit vectors, at distance √2 of each other."""
    if condition.is_floating_point():
        return condition
    if int(condition.min()) < 0:
        raise InputError("condition", expected="classes numbered from 0", got=str(int(condition.min())))
    return torch.nn.functional.one_hot(condition.long()).float()
