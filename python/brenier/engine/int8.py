"""The int8 filter of the CPU engine: targets, noise and heights as its compiled verbs want them.

Exact like the float32 filter (csrc/core/int8_bound.hpp, docs/numerics.md): every target that could win passes,
float64 decides. The dither is drawn from the operating system once per set of targets: it is ours alone, which is
what the probability of `exact="certified"` is taken over; no answer depends on it.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.engine import threads
from brenier.engine.native import Body, Int8Body, address, aligned, core, view_rows
from brenier.engine.rotation import Rotation, rotation

FAILURE = 1e-12
"""Probability, per call and over our own dither, that `exact="certified"` misses a winner."""

STREAM = 0x18
"""Of the counter-based generator, for dithers."""

OPERATIONS_PER_CALL = 5e10
"""Multiply-adds count twice: below 0.1 s at 500 GFLOP/s, a core's int8 speed. Every call ends with float64 scores."""

BYTES_PER_PACK = 1 << 23
CENTRE_SAMPLE = 1024
LOWEST_BIAS = -1e30


@dataclass(frozen=True)
class Dither:
    """16 random bits per coordinate for the noise and for the targets, shared by all rows of each."""

    noise: np.ndarray  # uint16 (d,)
    targets: np.ndarray

    def product(self, width: int) -> float:
        """Σ u v, with u = (bits + 1/2) / 2^fraction - 1/2; int16 uses the 12 high bits."""
        fraction = 16 if width == 8 else 12
        u, v = (
            ((side >> (16 - fraction)) + 0.5) / 2.0**fraction - 0.5 for side in (self.noise, self.targets)
        )
        return float((u * v).sum())

    @staticmethod
    def draw(depth: int, body: Body) -> Dither:
        bits = np.empty(2 * depth, dtype=np.int64)
        core().integers(body.index, secrets.randbits(64), 0, 2 * depth, 1 << 16, STREAM, address(bits))
        return Dither(bits[:depth].astype(np.uint16), bits[depth:].astype(np.uint16))


def tops(body: Int8Body) -> tuple[int, ...]:
    """Largest integers to try: sums must fit 32 bits (‖q‖ ≤ 2^15), which long rows do with fewer bits."""
    return (127, 63, 31) if body.bits == 8 else (2047, 1023, 511, 255)


@dataclass(frozen=True)
class Int8Targets:
    """Targets minus a centre, in int8 panels of one body; ``source`` may be the caller's memory."""

    body: Int8Body
    source: Tensor
    centre: np.ndarray  # float32 (d,): any vector is valid, the mean is best
    dither: Dither
    panels: np.ndarray  # uint8, [panel][step][target][4]
    scales: np.ndarray  # float32 (panels,), as are norms and residuals
    norms: np.ndarray
    residuals: np.ndarray
    dither_sums: np.ndarray  # float32, whole panels
    rotation: Rotation | None = None  # of both sides before they were quantised

    def view(self) -> Any:
        count, depth = self.source.shape
        centre_norm = math.sqrt(float(np.square(self.centre, dtype=np.float64).sum()))
        reach = float((self.norms.astype(np.float64) * self.scales).max()) + 2 * centre_norm
        arrays = (self.panels, self.scales, self.norms, self.residuals, self.dither_sums)
        slack = 2.1 * self.rotation.slack if self.rotation else 0.0  # of both sides
        return core().Targets8(
            count, view_rows(self.source, depth), *(address(a) for a in arrays), reach * (1 + 1e-6), slack
        )

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in (self.panels, self.scales, self.norms, self.residuals, self.dither_sums))


def pack_targets(
    source: Tensor, body: Int8Body, generator: Body, *, rotate: bool = False
) -> Int8Targets | None:
    """Int8 panels, or None where the values are out of their range (beyond 2^±60, or far too long)."""
    count, depth = source.shape
    steps, panels = body.steps(depth), -(-count // body.targets)
    dither, centre = Dither.draw(depth, generator), sample_mean(source)
    words = aligned(panels * steps * body.targets * 4, np.uint8)
    scales, norms, residuals = np.empty((3, panels), dtype=np.float32)
    sums = aligned(panels * body.targets, np.float32)
    turn = rotation(depth, generator) if rotate else None
    packed = Int8Targets(body, source, centre, dither, words, scales, norms, residuals, sums, turn)
    step = max(1, BYTES_PER_PACK // (body.targets * max(1, depth)))

    def pack(top: int, lo: int) -> bool:
        first = lo * body.targets
        rows, off = source[first : first + step * body.targets], address(centre)
        if turn:
            rows, off = turn.apply(rows, centre, turn.targets, body), 0
        values = core().Source8(view_rows(rows, depth), off, address(dither.targets), address(dither.noise))
        places = (words[first * steps * 4 :], scales[lo:], norms[lo:], residuals[lo:], sums[first:])
        return bool(
            core().pack_targets8(
                body.index,
                values,
                len(rows),
                top,
                turn.slack if turn else 0.0,
                *(address(place) for place in places),
            )
        )

    blocks = range(0, panels, step)
    fits = any(all(threads.run(partial(pack, top), blocks)) for top in tops(body))
    return packed if fits else None


def sample_mean(source: Tensor) -> np.ndarray:
    """The mean of about a thousand rows: taking it off changes no winner and makes the scales small."""
    sample = source[:: max(1, len(source) // CENTRE_SAMPLE)]
    return sample.float().numpy().mean(axis=0, dtype=np.float64).astype(np.float32)


class Int8Noise:
    """A few rows of noise in int8 panels; rows with like scales share a panel."""

    def __init__(self, x: Tensor, y: Int8Targets) -> None:
        self.count, depth = x.shape
        body, padded = y.body, -(-self.count // y.body.rows)
        self.rows = x.to(torch.float32).contiguous()
        turn = y.rotation
        turned = turn.apply(self.rows, None, turn.noise, body) if turn else self.rows
        matrix = view_rows(turned, depth)
        largest = np.empty(self.count, dtype=np.float32)
        core().largest_rows8(body.index, matrix, self.count, address(largest))
        self.order = np.argsort(largest, kind="stable")
        self.panels = aligned(padded * body.rows * body.steps(depth), np.int32)
        self.scales = np.empty(padded, dtype=np.float32)
        self.norms, self.residuals = np.empty((2, self.count), dtype=np.float32)
        self.offsets = np.empty(self.count)
        self.totals = np.empty(self.count, dtype=np.int32)
        self.shifts = np.empty(self.count)
        dither = y.dither
        source = core().Source8(matrix, address(y.centre), address(dither.noise), address(dither.targets))
        places = (
            *(self.panels, self.scales, self.norms, self.residuals),
            *(self.offsets, self.totals, self.shifts),
        )
        self.usable = any(
            core().pack_noise8(
                body.index,
                source,
                view_rows(self.rows, depth),
                self.count,
                address(self.order),
                address(largest),
                dither.product(body.bits),
                top,
                turn.slack if turn else 0.0,
                *(address(place) for place in places),
            )
            for top in tops(body)
        )
        self.view = core().Noise8(
            self.count,
            self.rows.data_ptr(),
            address(self.order),
            *(address(place) for place in places),
        )


@dataclass(frozen=True)
class Int8Heights:
    """Heights below the largest one, in units of each panel's scale, rounded towards zero."""

    exact: np.ndarray
    bias: np.ndarray
    pivot: float
    largest: float

    def view(self) -> Any:
        return core().Heights8(address(self.exact), address(self.bias), self.pivot, self.largest)


def scale_heights(h: Tensor, y: Int8Targets) -> Int8Heights:
    """All that depends on h: packed targets are used again as they are. At least one height is finite."""
    exact = np.ascontiguousarray(h.numpy())
    finite = exact[exact > -np.inf]
    pivot = float(finite.max())
    bias = aligned(len(y.dither_sums), np.float32)
    bias[:] = LOWEST_BIAS
    scales = np.repeat(y.scales.astype(np.float64), y.body.targets)[: len(exact)]
    with np.errstate(over="ignore"):
        bias[: len(exact)] = np.maximum((exact - pivot) / scales * (1 - 2.0**-20), LOWEST_BIAS)
    return Int8Heights(exact, bias, pivot, float(np.abs(finite).max()))


def dither_factor(pairs: int, exact: str) -> float:
    """κ = √(2 ln(2 pairs/δ) / 12) for all pairs of a call at once; infinite where only certainty counts."""
    if exact == "strict":
        return math.inf
    return math.sqrt(2 * math.log(2 * max(1, pairs) / FAILURE) / 12) * (1 + 1e-6)


class Int8Search:
    """Best targets so far of a few rows of noise; ``loose`` where int8 does not fit the data."""

    def __init__(self, x: Tensor, y: Int8Targets, h: Int8Heights, kappa: float, guesses: np.ndarray) -> None:
        self.noise = Int8Noise(x, y)
        self.loose = not self.noise.usable
        self.body, self.kappa = y.body, kappa
        self.targets, self.heights = y.view(), h.view()
        self.winners, self.scores = guesses.copy(), np.full(self.noise.count, -np.inf)
        self.counts = np.zeros(2, dtype=np.int64)
        self.pairs = 0

    def advance(self, lo: int, hi: int) -> None:
        """Takes targets [lo, hi) in; once too much passes the filter, nothing more is done."""
        self.pairs += self.noise.count * (hi - lo)
        out = (address(self.winners), address(self.scores), address(self.counts))
        self.loose = self.loose or not core().assign8(
            self.body.index, self.noise.view, self.targets, self.heights, lo, hi, self.kappa, *out
        )
