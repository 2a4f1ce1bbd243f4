"""Numbered random directions: number j of a seed is the same in whatever company it is made.

Dense ones are independent and exactly normal. Structured ones (engine/structured.py) cost d log d for all that one
pass can hold, instead of d each, and their law is only near the normal one: fits of streamed targets take their
steps on them, checks never do (docs/scaling.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor, cat

from brenier.data.noise import Stream, integers, normal
from brenier.engine.project import directions_by_blocks, project
from brenier.engine.structured import Frame, block_size, frame_of, sign_count, structured

FRAME_SHARE = 4  # of the rows of a transform, one in so many is a direction
STRUCTURED_FROM = 1024  # dimensions: below, dense directions are as cheap


@dataclass(frozen=True)
class Projector:
    """Rows (n, d) onto some directions, (n, count), and the operations that it takes for each value."""

    onto: Callable[[Tensor], Tensor]
    operations: float


@dataclass(frozen=True)
class Dense:
    """Normal directions, a ~ N(0, I_d), direction j being noise number j of the stream."""

    seed: int
    dimension: int
    stream: Stream = Stream.SUBSPACE

    def projector(self, first: int, count: int) -> Projector:
        def make(lo: int, hi: int) -> Tensor:
            return normal(self.seed, first + lo, hi - lo, self.dimension, stream=self.stream)

        prepared = directions_by_blocks(make, count, self.dimension)
        return Projector(lambda rows: project(rows, prepared), 2.0 * count)


@dataclass(frozen=True)
class Structured:
    """Directions in frames of block_size(d)/4: rows of one transform, drawn without replacement."""

    seed: int
    dimension: int
    stream: Stream = Stream.FRAME

    def projector(self, first: int, count: int) -> Projector:
        size = block_size(self.dimension) // FRAME_SHARE
        frames = []
        for number in range(first // size, -(-(first + count) // size)):
            lo, hi = max(first - number * size, 0), min(first + count - number * size, size)
            frames.append(self.frame(number, lo, hi))
        depth = block_size(self.dimension).bit_length() + 1.0

        def onto(rows: Tensor) -> Tensor:
            parts = [structured(rows, frame) for frame in frames]
            return parts[0] if len(parts) == 1 else cat(parts, dim=1)

        return Projector(onto, depth * len(frames))

    def frame(self, number: int, lo: int, hi: int) -> Frame:
        """Directions lo to hi − 1 of a frame."""
        block, start = block_size(self.dimension), number << 32
        signs = integers(self.seed, start, sign_count(self.dimension), 2, stream=self.stream)
        keys = integers(self.seed, start + (1 << 31), block, 1 << 62, stream=self.stream)
        order = np.argsort(keys.numpy(), kind="stable")
        return frame_of(self.dimension, signs.numpy(), order[lo:hi])


Directions = Dense | Structured
