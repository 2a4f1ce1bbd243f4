"""Noised data x_M as a source of latents: images and a seed are kept, the noise is made when asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.data import noise
from brenier.data.mixing import Grain, byte_values, mix
from brenier.data.sources import LatentSource, delivered, fitting, require_range
from brenier.engine.checks import as_tensor, require_finite
from brenier.errors import InputError
from brenier.types import Array

READABLE = (torch.uint8, torch.float16, torch.bfloat16, torch.float32)
MOST_LEVEL = 1e37
"""Of scale and sigma: noise times more than that is not float32."""


class NoisedLatents:
    """The latents x_M[i] = a·y_i + b·ε(seed, i) of a data set at one noise level, never stored.

    images : y, (n, d) or (n, ...) to be flattened; float32, float16, bfloat16, or uint8 read as y/127.5 − 1;
        or a LatentSource, read when asked for (FlippedSource doubles the targets by their mirror images)
    sigma : b ≥ 0, the noise level (σ_M for VE and EDM models, √(1−ᾱ_M) for VP)
    scale : a, the signal level (1 for VE and EDM, √ᾱ_M for VP)
    seed : of ε; ε(seed, i) is noise number i of the LATENT stream, whatever the range it is read in

    A latent source: len, .shape (n, d), .dtype, read(lo, hi). Raises InputError for NaN, Inf, wrong shapes.
    """

    dtype = torch.float32

    def __init__(
        self, images: Array | LatentSource, *, sigma: float, seed: int = 0, scale: float = 1.0
    ) -> None:
        self.scale = number(scale, "scale", lowest=-math.inf)
        self.sigma = number(sigma, "sigma", lowest=0.0)
        if max(abs(self.scale), self.sigma) > MOST_LEVEL:
            got = f"{self.scale:g} and {self.sigma:g}"
            raise InputError("scale and sigma", expected=f"at most {MOST_LEVEL:g}, for float32", got=got)
        self.seed = noise.require_key(seed, "seed")
        if not isinstance(images, Tensor | np.ndarray) and isinstance(images, LatentSource):
            self._images: Tensor | LatentSource = images
            self.shape = images.shape
            return
        tensor = as_tensor(images, "images")
        if tensor.ndim < 2 or tensor.dtype not in READABLE:
            raise InputError(
                "images",
                expected="(n, d) or (n, ...) of float32, float16, bfloat16 or uint8",
                got=f"{tensor.dtype} {tuple(tensor.shape)}",
            )
        if tensor.is_floating_point():
            require_finite(tensor, "images")
        self._images = tensor
        self.shape = (len(tensor), math.prod(tensor.shape[1:]))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def images(self) -> Tensor | LatentSource:
        """y as given."""
        return self._images

    def read(self, lo: int, hi: int, out: Tensor | None = None, *, centre: Tensor | None = None) -> Tensor:
        """Latents lo to hi − 1, float32 (hi − lo, d), in out if given; the same bits for any division.

        centre : float32 (d,) to subtract
        """
        require_range(lo, hi, len(self))
        rows, values = self._stored(lo, hi)
        if rows.device.type != "cpu":
            mixed = self._mix(self._clean(slice(lo, hi)), self._noise(self.seed, lo, hi - lo))
            return delivered(mixed if centre is None else mixed.sub_(centre.to(mixed.device)), out)
        place, grain = fitting(out, (hi - lo, self.shape[1])), Grain(self.seed, lo, self.sigma)
        return mix(rows, place, values=values, scale=self.scale, grain=grain, centre=centre)

    def _stored(self, lo: int, hi: int) -> tuple[Tensor, Tensor | None]:
        """Rows as bytes and what those stand for, or as float32."""
        source: Any = self._images
        if not isinstance(source, Tensor):
            values = getattr(source, "byte_values", None) if hi > lo else None
            return (fetched(source, lo, hi), None) if values is None else (source.read_bytes(lo, hi), values)
        rows = source[lo:hi].flatten(1)
        return (rows, byte_values("-1..1")) if rows.dtype == torch.uint8 else (rows.float(), None)

    def take(self, indices: Array, *, seeds: Sequence[int] | Tensor | None = None) -> Tensor:
        """The latents at int64 indices (N,), in that order, repeats allowed: float32 (N, d).

        seeds : (N,) one per row, to noise row k with ε(seeds[k], indices[k]) in place of the stored noise
        """
        rows = self._checked(indices)
        given = [self.seed] * len(rows) if seeds is None else seeds
        own = [
            noise.require_key(s, "seeds") for s in (given.tolist() if isinstance(given, Tensor) else given)
        ]
        if len(own) != len(rows):
            raise InputError("seeds", expected=f"one per index, {len(rows)}", got=str(len(own)))
        pieces = [self._noise(seed, lo, hi - lo) for seed, lo, hi in runs(own, rows.tolist())]
        epsilon = torch.cat(pieces) if pieces else torch.empty(0, self.shape[1])
        return self._mix(self._clean(rows), epsilon)

    def materialise(self) -> Tensor:
        """All latents in memory, float32 (n, d)."""
        return self.read(0, len(self))

    def clean(self, indices: Array) -> Tensor:
        """The images y at int64 indices (N,) without scale and noise, float32 (N, d)."""
        return self._clean(self._checked(indices))

    def _checked(self, indices: Array) -> Tensor:
        rows = as_tensor(indices, "indices")
        if rows.ndim != 1 or rows.dtype != torch.int64:
            raise InputError("indices", expected="int64 (N,)", got=f"{rows.dtype} {tuple(rows.shape)}")
        if len(rows) and not (int(rows.min()) >= 0 and int(rows.max()) < len(self)):
            raise InputError(
                "indices",
                expected=f"numbers from 0 to {len(self) - 1}",
                got=f"{int(rows.min())} to {int(rows.max())}",
                remedy="-1 marks noise that no target wins: drop such rows first",
            )
        return rows.to(self._images.device) if isinstance(self._images, Tensor) else rows

    def _clean(self, rows: slice | Tensor) -> Tensor:
        if not isinstance(self._images, Tensor):
            return read_rows(self._images, rows)
        images = self._images[rows].flatten(1)
        return images.float() if images.dtype != torch.uint8 else values_of(images)

    def _noise(self, seed: int, first: int, rows: int) -> Tensor:
        return torch.as_tensor(noise.normal(seed, first, rows, self.shape[1], stream=noise.Stream.LATENT))

    def _mix(self, images: Tensor, epsilon: Tensor) -> Tensor:
        # two products, then a sum: a fused multiply-add would round differently on other paths
        return (images * self.scale).add_(epsilon.to(images.device).mul_(self.sigma))


class RowRange:
    """Rows lo to hi − 1 of a latent source, as a source of their own."""

    dtype = torch.float32

    def __init__(self, source: LatentSource, lo: int, hi: int) -> None:
        require_range(lo, hi, len(source))
        self.source, self.first = source, lo
        self.shape = (hi - lo, source.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, lo: int, hi: int, out: Tensor | None = None) -> Tensor:
        require_range(lo, hi, len(self))
        return self.source.read(self.first + lo, self.first + hi, out)


class SelectedRows:
    """Rows of a latent source, in the order of their indices int64 (N,), as a source of their own."""

    dtype = torch.float32

    def __init__(self, source: LatentSource, indices: Tensor) -> None:
        if len(indices):
            require_range(int(indices.min()), int(indices.max()) + 1, len(source))
        self.source, self.indices = source, indices
        self.shape = (len(indices), source.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, lo: int, hi: int, out: Tensor | None = None) -> Tensor:
        require_range(lo, hi, len(self))
        return delivered(read_rows(self.source, self.indices[lo:hi]), out)

    def runs(self, lo: int, hi: int) -> Iterator[tuple[int, int, slice]]:
        """Which rows lo to hi − 1 are in the source, run by run, and where the run stands among them."""
        done = 0
        for _, first, end in runs([0] * (hi - lo), self.indices[lo:hi].tolist()):
            yield first, end, slice(done, done + end - first)
            done += end - first


def read_centred(source: LatentSource, lo: int, hi: int, centre: Tensor, out: Tensor) -> Tensor:
    """Rows less a centre, float32 (hi − lo, d), in out; raises InputError for rows of another shape or type."""
    if isinstance(source, RowRange):
        return read_centred(source.source, source.first + lo, source.first + hi, centre, out)
    if isinstance(source, SelectedRows):
        for first, end, here in source.runs(lo, hi):
            read_centred(source.source, first, end, centre, out[here])
        return out
    if isinstance(source, NoisedLatents):
        return source.read(lo, hi, out, centre=centre)
    rows = fetched(source, lo, hi, out)
    same = rows.data_ptr() == out.data_ptr()
    return (out if same else out.copy_(rows)).sub_(centre)  # a source may keep the rows it returns


def fetched(source: LatentSource, lo: int, hi: int, out: Tensor | None = None) -> Tensor:
    """What a source reads; raises InputError unless that is so many rows of float32."""
    rows: Any = source.read(lo, hi) if out is None else source.read(lo, hi, out)
    shape = (hi - lo, source.shape[1])
    if not isinstance(rows, Tensor) or rows.shape != shape or rows.dtype != torch.float32:
        got = f"{rows.dtype} {tuple(rows.shape)}" if isinstance(rows, Tensor) else type(rows).__name__
        raise InputError("targets", expected=f"a float32 tensor {shape} from read({lo}, {hi})", got=got)
    return rows


def read_rows(source: LatentSource, rows: slice | Tensor) -> Tensor:
    """A range, or single rows in the order given, float32."""
    if isinstance(rows, slice):
        return fetched(source, rows.start, rows.stop)
    found, done = torch.empty(0, source.shape[1]), 0
    for _, lo, hi in runs([0] * len(rows), rows.tolist()):
        piece = fetched(source, lo, hi)
        if done == 0:
            found = piece.new_empty(len(rows), source.shape[1])
        # copied at once: a source may read the next into the same memory
        found[done : done + hi - lo] = piece
        done += hi - lo
    return found


def values_of(pixels: Tensor) -> Tensor:
    """What bytes stand for, from the processor's table: a GPU's division by a number rounds otherwise."""
    table = byte_values("-1..1").to(pixels.device)
    return table.index_select(0, pixels.reshape(-1).int()).view(pixels.shape)


def runs(seeds: list[int], rows: list[int]) -> list[tuple[int, int, int]]:
    """Consecutive rows of one seed as (seed, lo, hi), in order."""
    found: list[tuple[int, int, int]] = []
    for seed, row in zip(seeds, rows, strict=True):
        if found and found[-1][0] == seed and found[-1][2] == row:
            found[-1] = (seed, found[-1][1], row + 1)
        else:
            found.append((seed, row, row + 1))
    return found


def number(value: float, what: str, *, lowest: float) -> float:
    if not (
        isinstance(value, int | float | np.integer | np.floating) and math.isfinite(value) and value >= lowest
    ):
        bound = "" if lowest == -math.inf else f" ≥ {lowest:g}"
        raise InputError(what, expected=f"a finite number{bound}", got=repr(value))
    return float(value)
