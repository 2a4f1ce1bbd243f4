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
from brenier.errors import InputError
from brenier.pair import pair
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


class PairedPool(PairSource):
    """Pools of shuffled images and unit noises under one optimal assignment (AOT, arXiv 2403.05069).

    Within a pool the noise is re-ordered to minimise Σ‖y_i − ε_π(i)‖²; the order of the images is untouched,
    and each pair is handed out once.

    data : y, (n, d) float32
    pool : pairs per assignment, a multiple of batch
    labels : (n,) classes; noise is then assigned within each class of the pool
    """

    kind = "aot"

    def __init__(
        self, data: Tensor, batch: int = 64, pool: int = 512, seed: int = 0, *, labels: Tensor | None = None
    ) -> None:
        super().__init__(batch, seed)
        if positive(pool, "pool") % batch:
            raise InputError("pool", expected=f"a multiple of batch = {batch}", got=repr(pool))
        if labels is not None and labels.shape != (len(data),):
            raise InputError("labels", expected=f"shape (n,) = ({len(data)},)", got=str(tuple(labels.shape)))
        self.data, self.pool, self.labels = data, pool, labels
        self.order = Shuffle(len(data), seed)
        self._paired: tuple[int, Tensor, Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"pool": self.pool}

    def _draw(self, first: int) -> tuple[Tensor, Tensor]:
        start = first - first % self.pool
        if self._paired is None or self._paired[0] != start:
            self._paired = (start, *self._pair(start))
        rows = slice(first - start, first - start + self.batch)
        return self._paired[1][rows], self._paired[2][rows]

    def _pair(self, start: int) -> tuple[Tensor, Tensor]:
        epsilon = draw_noise(self.seed, start, self.pool, self.data.shape[1], "POOL")
        indices = self.order.take(start, self.pool)
        began = time.perf_counter()
        labels = None if self.labels is None else self.labels[indices.to(self.labels.device)]
        images = self.data[indices.to(self.data.device)].cpu()
        permutation = torch.as_tensor(pair(images, epsilon, labels=labels).permutation)
        self.seconds += time.perf_counter() - began
        return epsilon[permutation], indices


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


class Shuffle:
    """An endless stream of the indices 0 to n − 1, each once per epoch, in an order given by the seed."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = positive(count, "images"), int(seed)
        self._epoch: tuple[int, Tensor] | None = None

    def take(self, first: int, rows: int) -> Tensor:
        """Indices number first to first + rows − 1 of the stream, int64 (rows,)."""
        pieces, last = [], first + rows
        while first < last:
            epoch, lo = divmod(first, self.count)
            hi = min(self.count, lo + last - first)
            pieces.append(self._permutation(epoch)[lo:hi])
            first += hi - lo
        return torch.cat(pieces)

    def _permutation(self, epoch: int) -> Tensor:
        if self._epoch is None or self._epoch[0] != epoch:
            keys = noise.integers(
                self.seed, epoch * self.count, self.count, 1 << 62, stream=noise.Stream.TRAIN
            )
            self._epoch = (epoch, torch.as_tensor(keys).argsort(stable=True))
        return self._epoch[1]


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
