"""Noise for the parts of a hierarchical fit: drawn once for all, handed to the part whose cell it falls into.

Inside part p the noise has the law of x ~ N(0, I) given that p wins among the parts (rejection sampling without a
rejected draw). A step is that of solve/spread.py on single draws, with a temperature for each part:

g_i = 2 w_i(ε_p/√2) − w_i(ε_p) − ν_i/ν_p · N_p/N      N_p of the step's N draws fell to part p
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from brenier.data.noise import Stream, normal
from brenier.engine import assign, candidates, prepare, threads
from brenier.engine.soft import soft_counts
from brenier.solve.batch import ENTRIES, FIRST_ROWS
from brenier.solve.centring import blocks
from brenier.solve.check import Check, check_in_rounds
from brenier.solve.fingerprint import fingerprint
from brenier.solve.parts import Parts, grouped
from brenier.solve.potential import Potential
from brenier.solve.problem import Problem
from brenier.solve.spread import MARGIN, MONITOR_EVERY, Measured, descended, temperature
from brenier.solve.start import Start, quantiles, temperatures
from brenier.solve.state import State, Tally
from brenier.solve.streamed import resident
from brenier.types import FIXED_POINT_ONE

NOISE_VALUES = 1 << 24  # of noise at once
BATCH = 0.5  # draws per target and step: as many independent samples as a step on circles has
COLDEST = 0.05  # ε in units of τ: parts of neighbours whose scores hardly differ need less than 0.35
PROBES = 256  # draws per part that find the mean of its noise
FLOOR_REACHED = 0.8  # χ² of a good fit by single draws, in units of n/N


class Piece(NamedTuple):
    """Draws that fell to one part."""

    part: int
    noise: Tensor


class ConditionalSampler:
    """Draws of a seed, sorted by the part they fall to.

    coarse : the potential over the parts' centroids; its map is the upper level of the hierarchy
    """

    def __init__(self, parts: Parts, coarse: Potential, seed: int, engine: str | None) -> None:
        self.parts, self.coarse, self.seed = parts, coarse, seed
        self.prepared = [prepare(resident(problem.targets), engine=engine) for problem in parts.problems]
        self.ends = np.concatenate([[0], np.cumsum(parts.sizes)])
        self.dimension = parts.problems[0].dimension

    def __str__(self) -> str:
        return f"{len(self.parts.masses)} parts of at most {self.parts.sizes.max()} targets, full dimension"

    @cached_property
    def upper_level(self) -> str:
        """What tells the upper level from others: a digest of its centroids and heights."""
        return fingerprint(torch.column_stack([self.coarse.targets.double(), self.coarse.heights]))

    def per_target(self, of_parts: np.ndarray) -> np.ndarray:
        """A number for each part, repeated for its targets."""
        return np.repeat(of_parts, self.parts.sizes)

    def slice_of(self, part: int) -> slice:
        return slice(self.ends[part], self.ends[part + 1])

    def pieces(self, first: int, count: int, stream: Stream) -> Iterator[list[Piece]]:
        """Draws number first to first + count − 1, in chunks of bounded size, each cut by parts."""
        rows = max(1, NOISE_VALUES // self.dimension)
        for lo in range(first, first + count, rows):
            noise = normal(self.seed, lo, min(rows, first + count - lo), self.dimension, stream=stream)
            groups = grouped(self.coarse.assign(noise).numpy())
            order = np.concatenate([own for _, own in groups])  # at once: torch wakes its threads each time
            parted = noise[torch.from_numpy(order)].split([len(own) for _, own in groups])
            yield [
                piece for (part, _), own in zip(groups, parted, strict=True) for piece in self.cut(part, own)
            ]

    def cut(self, part: int, noise: Tensor) -> list[Piece]:
        """Few enough draws for lists of any length to fit."""
        size = self.parts.problems[part].size
        most = max(FIRST_ROWS, ENTRIES // (size * threads.thread_count()))  # pieces are counted side by side
        return [Piece(part, rows) for rows in noise.split(most)]


def start(problem: Problem, sampler: ConditionalSampler) -> Start:
    """h_i = −σ_i z_i − ⟨m_p, y_i⟩: the extreme-value start, for noise whose mean in part p is m_p."""
    parts = sampler.parts
    count = len(parts.masses)
    mean, drawn = np.zeros((count, sampler.dimension)), np.zeros(count)
    for pieces in sampler.pieces(0, PROBES * count, Stream.PROBE):
        for part, noise in pieces:
            for row in noise.numpy():  # one by one: however they are cut, the sum has the same bits
                mean[part] += row
            drawn[part] += len(noise)
    mean /= np.maximum(drawn, 1)[:, None]
    heights = np.empty(problem.size)
    for part, own in enumerate(parts.problems):
        targets = resident(own.targets)
        sums = [
            np.einsum("ij,j->i", targets[lo:hi].double().numpy(), mean[part]) for lo, hi in blocks(targets)
        ]
        along = np.concatenate(sums)
        heights[sampler.slice_of(part)] = -own.norms * quantiles(own.masses) - along
    return Start(
        heights, np.concatenate([temperatures(own) for own in parts.problems]), "extreme value by parts"
    )


def step(problem: Problem, start: Start, state: State, sampler: ConditionalSampler) -> State:
    """One batch of shared draws, one step in every part."""
    n, batch = problem.size, batch_of(problem)
    scales = [np.median(start.temperature[sampler.slice_of(p)]) for p in range(len(sampler.parts.masses))]
    epsilon = np.array([temperature(state.samples, n, float(scale), 1.0, COLDEST) for scale in scales])
    judging = state.step % MONITOR_EVERY == 0
    sums, drawn = collect(sampler, state, batch, epsilon, judging)
    share = sampler.per_target(drawn / (batch * sampler.parts.masses))
    weight, sharp, square = (part / (FIXED_POINT_ONE * batch) for part in sums[:3])
    measured = Measured(weight, sharp, square, problem.masses * share)
    after = descended(
        state, measured, problem.masses, start.temperature, sampler.per_target(epsilon), batch, gain=1.0
    )
    tally = Tally(sums[3], sums[3], batch, batch) if judging else Tally(sums[3], sums[3], 0, 0)
    monitor = state.monitor.add(tally, problem.masses, batch, after.samples)
    return after.updated(monitor=monitor, epsilon=float(np.median(epsilon)))


def batch_of(problem: Problem) -> int:
    return max(256, int(BATCH * problem.size))


def collect(
    sampler: ConditionalSampler, state: State, batch: int, epsilon: np.ndarray, judging: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Fixed-point sums at ε and ε/√2 and of squares, wins of the average (4, n); draws of each part (P,)."""
    heights, change = torch.from_numpy(state.heights), torch.from_numpy(state.average - state.heights)
    sums, drawn = np.zeros((4, len(heights)), dtype=np.int64), np.zeros(len(epsilon))

    def count(piece: Piece) -> list[np.ndarray]:
        own, scale = sampler.slice_of(piece.part), float(epsilon[piece.part])
        lists = candidates(piece.noise, sampler.prepared[piece.part], heights[own], margin=MARGIN * scale)
        soft = soft_counts(lists, own.stop - own.start, scale)
        parts = [soft.weight, soft.weight_sharp, soft.square]
        if judging:
            parts.append(soft_counts(lists, own.stop - own.start, scale, change[own]).winners)
        return [part.numpy() for part in parts]

    for pieces in sampler.pieces(state.samples, batch, Stream.FIT):
        for piece, counts in zip(pieces, threads.run(count, pieces), strict=True):
            drawn[piece.part] += len(piece.noise)
            for total, one in zip(sums, counts, strict=False):
                total[sampler.slice_of(piece.part)] += one
    return sums, drawn


def check(problem: Problem, state: State, sampler: ConditionalSampler, *, tol: float, first: int) -> Check:
    """χ² over all n cells of the two levels together, on fresh draws."""
    average = torch.from_numpy(state.average)

    def wins(piece: Piece) -> np.ndarray:
        own = sampler.slice_of(piece.part)
        won = assign(piece.noise, sampler.prepared[piece.part], average[own])
        return np.bincount(won.numpy(), minlength=own.stop - own.start)

    def count(lo: int, hi: int) -> np.ndarray:
        counts = np.zeros(problem.size, dtype=np.int64)
        for pieces in sampler.pieces(first + lo, hi - lo, Stream.CHECK):
            for piece, won in zip(pieces, threads.run(wins, pieces), strict=True):
                counts[sampler.slice_of(piece.part)] += won
        return counts

    return check_in_rounds(count, problem.masses, tol, state.samples)
