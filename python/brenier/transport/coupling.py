"""Training couplings: endless iterators over (noise, data index) micro-batches.

Each is a function of (seed, position): its whole state is a position, so that a resumed run continues with
the same bits. The first two leave the data's distribution alone (every image once per epoch); the third draws
images through the potential, with the targets' masses as well as the potential was fitted.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import torch
from torch import Tensor

from brenier.data import noise
from brenier.data.order import Shuffle
from brenier.errors import InputError
from brenier.pair import PairedPool
from brenier.types import Array


class Assigner(Protocol):
    """What is needed of a potential."""

    def assign(self, x: Tensor) -> Array:
        """The winning target of each row of noise, int64 (N,)."""


class PairSource:
    """What the couplings share: an endless iterator with a position."""

    kind: str

    def __init__(self, batch: int, seed: int) -> None:
        self.batch, self.seed, self.position = positive(batch, "batch"), int(seed), 0
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
        """All there is to resume from: plain numbers."""
        return {"kind": self.kind, "seed": self.seed, "batch": self.batch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken; raises InputError where it belongs to another coupling."""
        own = {name: value for name, value in self.state_dict().items() if name != "position"}
        given = {name: state.get(name) for name in own}
        if given != own:
            raise InputError("state", expected=str(own), got=str(given), remedy="build it as it was")
        self.position = int(state["position"])


class IndependentCoupling(PairSource):
    """Shuffled images with independent noise: what every diffusion model trains on.

    images : their number n
    dim : numbers per image, d
    """

    kind = "independent"

    def __init__(self, images: int, dim: int, batch: int = 64, seed: int = 0) -> None:
        super().__init__(batch, seed)
        self.dim, self.order = positive(dim, "dim"), Shuffle(images, seed)

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
        return super().state_dict() | {"pool": self.pairs.pool}

    def _draw(self, first: int) -> tuple[Tensor, Tensor]:
        found = self.pairs.rows(first, self.batch)
        self.seconds = self.pairs.seconds
        return found.noise.flatten(1), found.index


class Coupling(PairSource):
    """Noise with the data index that a potential sends it to: the semi-discrete coupling.

    potential : brenier.Potential, or anything with assign(x) -> int64 indices; fitted to the training data
    dim : numbers per noise, d; None asks the potential (the width of its targets)

    Pairs are (x, argmax_i ⟨x, y_i⟩ + h_i) with fresh x ~ N(0, I_d).
    """

    kind = "semidiscrete"

    def __init__(
        self, potential: Assigner, batch: int = 64, seed: int = 0, *, dim: int | None = None
    ) -> None:
        super().__init__(batch, seed)
        self.potential = potential
        self.dim = width_of(potential) if dim is None else positive(dim, "dim")

    def _draw(self, first: int) -> tuple[Tensor, Tensor]:
        x = draw_noise(self.seed, first, self.batch, self.dim, "TRAIN")
        began = time.perf_counter()
        indices = torch.as_tensor(self.potential.assign(x))
        self.seconds += time.perf_counter() - began
        if (indices < 0).any():
            raise InputError("potential", expected="a target for every noise", got="-1: no height is finite")
        return x, indices


def draw_noise(seed: int, first: int, rows: int, dim: int, stream: str) -> Tensor:
    """Noise numbers first to first + rows − 1 of a stream, float32 (rows, d)."""
    return torch.as_tensor(noise.normal(seed, first, rows, dim, stream=noise.Stream[stream]))


def width_of(potential: Any) -> int:
    targets = getattr(potential, "targets", None)
    if targets is None or targets.ndim != 2:
        raise InputError(
            "dim", expected="the width of the noise, d", got="a potential without .targets (n, d)"
        )
    return int(targets.shape[1])


def positive(value: int, what: str) -> int:
    if not (isinstance(value, int) and value >= 1):
        raise InputError(what, expected="an integer ≥ 1", got=repr(value))
    return value
