"""Training couplings: endless iterators over (noise, data index) micro-batches.

Each is a function of (seed, position): its whole state is a position, so that a resumed run continues with
the same bits. The first two leave the data's distribution alone (every image once per epoch); the third draws
images through the potential, with the targets' masses as well as the potential was fitted.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from brenier.data import noise
from brenier.data.latents import number
from brenier.data.order import Shuffle
from brenier.engine import checks
from brenier.engine.ranks import Ranks, this_rank
from brenier.errors import InputError
from brenier.pair import PairedPool
from brenier.pair.pool import position_in
from brenier.solve import LabelledPotential, Potential, StreamedPotential
from brenier.solve.centring import row_norms, subtract
from brenier.solve.start import LEAST_QUANTILE, quantiles
from brenier.transport.subspace import SubspacePairs
from brenier.types import Array

MOST_LEVEL = 4.0  # τ: the most that balancing changes a height


class Assigner(Protocol):
    """What is needed of a potential."""

    def assign(self, x: Tensor) -> Array:
        """The winning target of each row of noise, int64 (N,)."""


class PairSource:
    """What the couplings share: an endless iterator with a position."""

    kind: str
    moving: tuple[str, ...] = ("position",)  # what of the state is progress, not identity

    def __init__(self, batch: int, seed: int) -> None:
        self.batch, self.position = checks.count(batch, "batch"), 0
        self.seed = noise.require_key(seed, "seed")
        self.seconds = 0.0  # spent on pairing, beyond drawing noise

    def __iter__(self) -> PairSource:
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        """The next micro-batch: noise float32 (batch, d) and data indices int64 (batch,)."""
        result = self._draw(self.position)
        self.position += self.batch
        return result

    def _draw(self, first: int) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """All there is to resume from: plain numbers and words."""
        return {"kind": self.kind, "seed": self.seed, "batch": self.batch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken; raises InputError where it belongs to another coupling."""
        own = {name: value for name, value in self.state_dict().items() if name not in self.moving}
        self.position = position_in(state, own)


class IndependentCoupling(PairSource):
    """Shuffled images with independent noise: what every diffusion model trains on.

    images : their number n
    dim : numbers per image, d
    """

    kind = "independent"

    def __init__(self, images: int, dim: int, batch: int = 64, seed: int = 0) -> None:
        super().__init__(batch, seed)
        self.dim, self.order = checks.count(dim, "dim"), Shuffle(images, self.seed)

    def _draw(self, first: int) -> tuple[Tensor, Tensor]:
        return draw_noise(self.seed, first, self.batch, self.dim, "TRAIN"), self.order.take(first, self.batch)


class PooledCoupling(PairSource):
    """(noise, index) of a PairedPool: images in shuffled order, noise assigned to them pool by pool.

    pairs : the pool, with a tensor (n, d) or a data set as source; its batch and seed count
    """

    kind = "aot"

    def __init__(self, pairs: PairedPool) -> None:
        super().__init__(pairs.batch, pairs.seed)
        self.pairs = pairs

    def state_dict(self) -> dict[str, Any]:
        return self.pairs.identity | super().state_dict()

    def _draw(self, first: int) -> tuple[Tensor, Tensor]:
        found = self.pairs.rows(first, self.batch)
        self.seconds = self.pairs.seconds
        if len(found.index) < self.batch:
            raise InputError("coupling", expected="an endless pool, epochs=None", got="the end of its pairs")
        return found.noise.flatten(1), found.index


class Coupling(PairSource):
    """Noise with the data index that a potential sends it to: the semi-discrete coupling.

    potential : brenier.Potential (StreamedPotential and HierarchicalPotential too), or anything with
        assign(x) -> int64 indices; fitted to the training data
    dim : numbers per noise, d; None asks the potential (the width of its targets)
    ahead : micro-batches that one call of the potential serves; it changes no bit without ``balance``. A streamed
        potential reads all its targets in every call
    subspace : None for exact mode: x ~ N(0, I_d) fresh, index = argmax_i ⟨x, y_i⟩ + h_i. Or m: subspace mode, many
        pairs for each pass over the targets (brenier.transport.subspace.SubspacePairs), needs a Potential
    balance : 0, or the strength of a feedback (0.5 serves) that lets every target occur as often as its mass says:
        a target that came c − tν times too often among t pairs has its height lowered by balance · τ · (c − tν),
        cut at ±4 τ. Counts then stay within a few of tν for ever; without it they stray like √(tν) and by the
        potential's own error. Needs a Potential, exact mode
    ranks : each rank of torch.distributed draws its own pairs: in exact mode the ranks in turn have the micro-batches
        of one process, in subspace mode its subspaces. False to draw the same everywhere

    Raises InputError for options that do not go together, and for noise that no target wins.
    """

    kind = "semidiscrete"
    moving = ("position", "counts")

    def __init__(
        self,
        potential: Assigner,
        batch: int = 64,
        seed: int = 0,
        *,
        dim: int | None = None,
        ahead: int = 1,
        subspace: int | None = None,
        balance: float = 0.0,
        ranks: bool = True,
    ) -> None:
        super().__init__(batch, seed)
        require_one_class(potential)
        self.potential, self.balance = potential, number(balance, "balance", lowest=0.0)
        self.dim = width_of(potential) if dim is None else checks.count(dim, "dim")
        self.fingerprint, heights = fingerprint_of(potential), getattr(potential, "heights", None)
        self.targets = len(heights) if isinstance(heights, Tensor) else None  # not known of every assigner
        self.ahead, self.ranks = checks.count(ahead, "ahead"), this_rank() if ranks else Ranks()
        if subspace is not None and (balance or not isinstance(potential, Potential)):
            raise InputError("subspace", expected="a brenier.Potential and balance=0", got=repr(subspace))
        self.pairs = None if subspace is None else SubspacePairs(potential, subspace, self.seed, self.ranks)
        self.level = Level(potential, self.balance) if balance else None
        self._block: tuple[int, Tensor, Tensor] | None = None  # its number, noise and indices

    def state_dict(self) -> dict[str, Any]:
        self._settle()
        state = super().state_dict() | {"world": self.ranks.world, "balance": self.balance}
        state |= {"subspace": self.pairs.subspace if self.pairs else None, "dim": self.dim}
        state |= {"potential": self.fingerprint}
        if self.level:
            state |= {"ahead": self.ahead, "counts": self.level.counts.tolist()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        counts = counts_in(state, None if self.level is None else len(self.level.counts))
        super().load_state_dict(state)
        self._block = None
        if self.level and counts is not None:
            self.level.counts = counts

    def _draw(self, first: int) -> tuple[Tensor, Tensor]:
        began = time.perf_counter()
        if self.pairs:
            found = self.pairs.take(first, self.batch)
            self.seconds += time.perf_counter() - began
            return found
        self._settle()
        number, place = divmod(first // self.batch, self.ahead)
        if self._block is None:
            self._block = number, *self._assigned(number)
        lo = place * self.batch
        return self._block[1][lo : lo + self.batch], self._block[2][lo : lo + self.batch]

    def _assigned(self, block: int) -> tuple[Tensor, Tensor]:
        """Noise and indices of so many micro-batches, in one call of the potential."""
        batches = range(block * self.ahead, (block + 1) * self.ahead)
        numbers = [(k * self.ranks.world + self.ranks.rank) * self.batch for k in batches]
        x = torch.cat([draw_noise(self.seed, first, self.batch, self.dim, "TRAIN") for first in numbers])
        began = time.perf_counter()
        potential = self.potential if self.level is None else self.level.potential()
        found = potential.assign(x.to(device_of(potential)))
        self.seconds += time.perf_counter() - began
        return x, winners(found, len(x), self.targets)

    def _settle(self) -> None:
        """Forget a block that is handed out, once its targets are counted."""
        if self._block is not None and self._block[0] != self.position // (self.batch * self.ahead):
            if self.level:
                self.level.counts += torch.bincount(self._block[2], minlength=len(self.level.counts))
            self._block = None


def require_one_class(potential: object) -> None:
    """A coupling has no labels to tell a potential per class."""
    if isinstance(potential, LabelledPotential):
        remedy = (
            "couple each class, Coupling(potential.potentials[label]); its k is potential.members[label][k]"
        )
        raise InputError("potential", expected="one without labels", got="a LabelledPotential", remedy=remedy)


class Level:
    """The feedback of Coupling(balance=): how often each target has come, and the heights that follow from it."""

    def __init__(self, potential: Any, strength: float) -> None:
        if not isinstance(potential, Potential):
            raise InputError("balance", expected="a brenier.Potential", got=type(potential).__name__)
        self.plain, self.reach = potential, strength * temperature_of(potential)
        self.most = MOST_LEVEL * temperature_of(potential)
        self.counts = torch.zeros(len(potential.heights), dtype=torch.int64)

    def potential(self) -> Potential:
        """The potential, its heights lowered where targets came too often."""
        excess = self.counts.double() - self.counts.sum() * self.plain.masses
        change = (self.reach * excess).clamp(-self.most, self.most).to(self.plain.heights.device)
        levelled = copy.copy(self.plain)
        object.__setattr__(levelled, "heights", self.plain.heights - change)
        return levelled


def temperature_of(potential: Potential) -> float:
    """τ = median ‖y_i − ȳ‖ / Φ⁻¹(1 − 1/n), the spacing of the highest scores (docs/concept.md)."""
    if isinstance(potential, StreamedPotential):
        norms = np.concatenate([row_norms(tile) for _, _, tile in potential.streamed.tiles()])
    else:
        _, norms = subtract(potential.targets.cpu(), potential.centre.numpy())
    spread = float(np.median(norms)) or 1.0
    return spread / max(float(quantiles(np.array([1 / len(norms)]))[0]), LEAST_QUANTILE)


def winners(found: Any, rows: int, targets: int | None) -> Tensor:
    """What an assigner returned, int64 (rows,) on the CPU; raises InputError for anything but a target for each."""
    indices = checks.as_tensor(found, "potential.assign(x)").cpu()
    if indices.shape != (rows,) or indices.dtype not in checks.WHOLE or indices.dtype == torch.bool:
        got = f"{checks.name_of(indices.dtype)} {tuple(indices.shape)}"
        raise InputError("potential.assign(x)", expected=f"whole numbers of shape ({rows},)", got=got)
    if (indices < 0).any():
        raise InputError("potential", expected="a target for every noise", got="-1: no height is finite")
    if targets is not None and (indices >= targets).any():
        expected = f"indices below its {targets} targets"
        raise InputError("potential.assign(x)", expected=expected, got=str(int(indices.max())))
    return indices.long()


def counts_in(state: Any, targets: int | None) -> Tensor | None:
    """How often each target has come, int64 (targets,), None without balance; raises InputError for other counts."""
    given = state.get("counts") if isinstance(state, Mapping) else None
    if given is None and targets is None:
        return None
    counts = None if given is None else checks.as_tensor(given, "state: counts")
    if counts is None or counts.dtype != torch.int64 or counts.shape != (targets,) or (counts < 0).any():
        expected = "no counts" if targets is None else f"counts of {targets} targets"
        raise InputError("state", expected=expected, got="none" if counts is None else "others")
    return counts.clone()


def draw_noise(seed: int, first: int, rows: int, dim: int, stream: str) -> Tensor:
    """Noise numbers first to first + rows − 1 of a stream, float32 (rows, d)."""
    return torch.as_tensor(noise.normal(seed, first, rows, dim, stream=noise.Stream[stream]))


def device_of(potential: Any) -> torch.device:
    """Where it wants its noise."""
    return getattr(getattr(potential, "heights", None), "device", torch.device("cpu"))


def fingerprint_of(potential: Any) -> str | None:
    """What tells its heights from others; None where it has none."""
    heights = getattr(potential, "heights", None)
    return None if heights is None else hashlib.blake2b(heights.cpu().numpy(), digest_size=16).hexdigest()


def width_of(potential: Any) -> int:
    targets = getattr(potential, "targets", None)
    if targets is None or len(targets.shape) != 2:
        raise InputError(
            "dim", expected="the width of the noise, d", got="a potential without .targets (n, d)"
        )
    return int(targets.shape[1])
