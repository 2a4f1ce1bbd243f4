"""Targets that stay where they are: read tile by tile, centred, and projected while the next tile is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from brenier.data.latents import read_centred, read_rows
from brenier.data.sources import LatentSource
from brenier.engine.project import prepare_directions, project
from brenier.solve.centring import SharedTargets

WIDEST = 256  # a subspace needs no more; with less memory than that takes, the choice of subspaces changes
MOST_DENSE = 512  # dense directions that one pass serves
TILE_VALUES = 1 << 24  # of float32, twice: one tile is read while the other is worked on

Projection = Callable[[int, int, Tensor], Tensor]  # of rows lo to hi − 1, given in the third place


@dataclass
class Traffic:
    """What the passes over the data cost so far."""

    values: int = 0  # read, as float32
    reading: float = 0.0  # seconds of the reading thread
    waiting: float = 0.0  # seconds for which arithmetic stood still
    working: float = 0.0
    operations: float = 0.0
    passes: int = 0

    def __str__(self) -> str:
        if not self.values:
            return "no pass yet"
        read = 4e-9 * self.values / max(self.reading, 1e-9)
        compute = 1e-9 * self.operations / max(self.working, 1e-9)
        bound = "reading-bound" if self.waiting > self.working else "compute-bound"
        return f"{self.passes} passes, read {read:.2g} GB/s, compute {compute:.3g} GFLOP/s, {bound}"


class StreamedTargets:
    """A latent source less a centre, (n, d) float32, of which only a few tiles are ever in memory.

    granule : tiles are whole multiples of that many rows
    columns : the most directions that one pass may serve (solve/memory.py)
    """

    def __init__(self, source: LatentSource, granule: int, columns: int) -> None:
        self.source, self.columns = source, columns
        self.widest = min(columns, WIDEST)
        self.shape = (int(source.shape[0]), int(source.shape[1]))
        self.rows = max(1, TILE_VALUES // self.shape[1] // granule) * granule
        self.centre = torch.zeros(self.shape[1])
        self.fingerprint = ""  # known after the first passes
        self.traffic = Traffic()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Tensor) -> Tensor:
        """Single centred rows."""
        return read_rows(self.source, index).sub_(self.centre)

    def tiles(self) -> Iterator[tuple[int, int, Tensor]]:
        """(lo, hi, centred rows) in order; a tile is overwritten once the next but one is asked for."""
        n, d = self.shape
        ranges = [(lo, min(lo + self.rows, n)) for lo in range(0, n, self.rows)]
        buffers = [torch.empty(min(self.rows, n), d) for _ in range(min(2, len(ranges)))]
        with ThreadPoolExecutor(1, "brenier-read") as reader:
            ahead = reader.submit(self._fetch, *ranges[0], buffers[0])
            for k, (lo, hi) in enumerate(ranges):
                began = time.perf_counter()
                tile = ahead.result()
                self.traffic.waiting += time.perf_counter() - began
                if k + 1 < len(ranges):
                    ahead = reader.submit(self._fetch, *ranges[k + 1], buffers[(k + 1) % 2])
                began = time.perf_counter()
                yield lo, hi, tile
                self.traffic.working += time.perf_counter() - began
        self.traffic.passes += 1

    def _fetch(self, lo: int, hi: int, buffer: Tensor) -> Tensor:
        began = time.perf_counter()
        tile = read_centred(self.source, lo, hi, self.centre, buffer[: hi - lo])
        self.traffic.reading += time.perf_counter() - began
        self.traffic.values += tile.numel()
        return tile


Targets = Tensor | StreamedTargets | SharedTargets


def onto(targets: Targets, directions: Tensor, out: Tensor | None = None) -> Tensor:
    """Y Zᵀ (n, m) in one pass, in out where it is given: the bits that engine.project has for the whole matrix."""
    panels = prepare_directions(directions)
    out = torch.empty(len(targets), len(directions)) if out is None else out
    return fill(out, targets, lambda _lo, _hi, rows: project(rows, panels), 2.0 * len(directions))


def fill(out: Tensor, targets: Targets, function: Projection, operations: float) -> Tensor:
    """out (n, width) with function(lo, hi, rows) of all rows, in one pass; operations a value, for the traffic.

    What the function makes is bounded as tiles are: it gets no more rows at once than make TILE_VALUES results.
    """
    step = max(1, TILE_VALUES // max(1, out.shape[1]))
    for first, end, tile in tiles_of(targets):
        for lo in range(first, end, step):
            hi = min(lo + step, end)
            out[lo:hi] = function(lo, hi, tile[lo - first : hi - first])
    if isinstance(targets, StreamedTargets):
        targets.traffic.operations += operations * len(targets) * targets.shape[1]
    return out


def tiles_of(targets: Targets) -> Iterable[tuple[int, int, Tensor]]:
    """(lo, hi, centred rows) in order; one tile where they are in memory."""
    return targets.tiles() if isinstance(targets, StreamedTargets) else [(0, len(targets), resident(targets))]


def resident(targets: Targets) -> Tensor:
    """Targets that are in memory; streamed ones never come here."""
    if isinstance(targets, StreamedTargets):
        raise RuntimeError("streamed targets are read in tiles only")
    return targets.whole() if isinstance(targets, SharedTargets) else targets
