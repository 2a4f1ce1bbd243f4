"""Targets kept by the CPU engine between calls, in the panels of whichever filter needs them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from brenier.engine import int8, threads
from brenier.engine.filters import FilterChoice, Work, choose_filter, forced_filter, rotates
from brenier.engine.native import Body, Int8Body, address, aligned, core, int8_bodies, view_rows
from brenier.engine.rotation import spikiness
from brenier.errors import EngineError

ELEMENTS_PER_PACK = 1 << 23


@dataclass(frozen=True)
class FloatTargets:
    """Targets packed in float32 for one body."""

    body: Body
    source: Tensor  # (n, d), kept for the float64 scores
    panels: np.ndarray  # float32, [panel][depth][target]
    exponent: int
    largest_norm: float

    def view(self) -> Any:
        count, depth = self.source.shape
        return core().Targets(
            count, view_rows(self.source, depth), address(self.panels), self.exponent, self.largest_norm
        )


@dataclass
class PackedTargets:
    """Targets of the CPU engine; ``source`` may be the caller's memory, which must then stay unchanged.

    Panels are made when a filter first needs them and kept. ``measured`` holds the share of pairs that an integer
    filter left to float64 in its last call, for each way of being exact: what the next choice goes by.
    """

    body: Body
    source: Tensor  # (n, d)
    measured: dict[tuple[str, str], float] = field(default_factory=dict)
    _floats: FloatTargets | None = None
    _integers: dict[str, int8.Int8Targets | None] = field(default_factory=dict)  # None: values out of range
    _spiky: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def floats(self) -> FloatTargets:
        with self._lock:
            if self._floats is None:
                self._floats = pack_floats(self.source, self.body)
            return self._floats

    def integers(self, name: str) -> int8.Int8Targets | None:
        """Panels of "int8" or "int16"; None where no body does that, or the values are out of its range."""
        with self._lock:
            body = integer_body(self.body, name)
            if name not in self._integers and body is not None:
                rotate = rotates(self._spikiness(body))
                self._integers[name] = int8.pack_targets(self.source, body, self.body, rotate=rotate)
            return self._integers.get(name)

    def _spikiness(self, body: Int8Body) -> float:
        if self._spiky is None:
            self._spiky = spikiness(self.source, int8.sample_mean(self.source), body.targets)
        return self._spiky

    def work(self, rows: int, exact: str) -> Work:
        """What the choice of a filter depends on."""
        targets, depth = self.source.shape
        runs = [name for name in BITS if 0 not in (rows, targets, depth) and integer_body(self.body, name)]
        runs = [name for name in runs if self._integers.get(name, "not tried") is not None]
        packed = (("fp32",) if self._floats else ()) + tuple(n for n, made in self._integers.items() if made)
        measured = tuple((name, share) for (name, how), share in self.measured.items() if how == exact)
        found = integer_body(self.body, runs[0]) if runs else None
        spiky = self._spikiness(found) if found else 0.0
        return Work(rows, targets, depth, exact, tuple(runs), packed, measured, spiky)

    def ahead(self, rows: int, exact: str = "certified") -> str:
        """Packs for calls with that many rows of noise before the first of them; returns the filter's name."""
        name = self.choose(rows, exact).name
        if name == "fp32" or self.integers(name) is None:
            self.floats()
        return name

    def choose(self, rows: int, exact: str) -> FilterChoice:
        """The filter of a call with that many rows of noise."""
        return choose_filter(self.work(rows, exact), forced_filter()[0])


BITS = {"int16": 16, "int8": 8}


def integer_body(body: Body, name: str) -> Int8Body | None:
    """The body for that filter beside this float32 body: a fast one, or the one that BRENIER_CPU_FILTER names."""
    forced, asked = forced_filter()
    rows = int8_bodies(body.name, BITS[name])
    if asked is None or forced != name:
        return next((row for row in rows if row.fast or forced == name), None)
    for row in rows:
        if row.name == asked:
            return row
    raise EngineError(
        "BRENIER_CPU_FILTER",
        expected=f"{name}:BODY, BODY one of " + ", ".join(row.name for row in rows),
        got=f"{name}:{asked}",
    )


def pack_floats(source: Tensor, body: Body) -> FloatTargets:
    """Float32 panels, scaled by one power of two to at most 1."""
    count, depth = source.shape
    step = body.targets * max(1, ELEMENTS_PER_PACK // (body.targets * max(1, depth)))
    tiles = [(lo, min(lo + step, count)) for lo in range(0, count, step)]

    def largest(tile: tuple[int, int]) -> float:
        lo, hi = tile
        return float(core().largest(body.index, view_rows(source[lo:], depth), hi - lo))

    exponent = exponent_to_one(max(threads.run(largest, tiles), default=0.0))
    panels = aligned(-(-count // body.targets) * body.targets * depth, np.float32)

    def pack(tile: tuple[int, int]) -> float:
        lo, hi = tile
        rows = view_rows(source[lo:], depth)
        return float(core().pack_targets(body.index, rows, hi - lo, exponent, address(panels[lo * depth :])))

    norms = threads.run(pack, tiles)
    return FloatTargets(body, source, panels, exponent, max(norms, default=0.0))


def exponent_to_one(value: float) -> int:
    """e such that value · 2^e lies in [0.5, 1); 0 for 0."""
    return -int(np.frexp(value)[1])
