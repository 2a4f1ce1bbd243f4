"""Where fitting samples come from: the full space, or a random subspace fresh for every step.

Subspace sampling (design card, fact 3). With A ∈ R^{m×d} Gaussian and c uniform on the unit sphere of R^m,
x = Aᵀc is exactly N(0, I_d), and ⟨x, y_i⟩ = ⟨c, A y_i⟩: the targets are projected once, and K samples cost
m operations per target each. If V holds r orthonormal principal directions, x = V z + (I − VVᵀ) Aᵀ c with
z ~ N(0, I_r) is exactly N(0, I_d) too, and samples of one subspace are correlated only through the rest.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from brenier.data.noise import Stream, normal, unit_vectors
from brenier.engine import PreparedTargets
from brenier.engine.project import project
from brenier.engine.ranks import Ranks
from brenier.solve.control import length_variates
from brenier.solve.directions import STRUCTURED_FROM, Dense, Directions, Structured
from brenier.solve.fixed_order import squares
from brenier.solve.placement import Placement
from brenier.solve.principal import Principal
from brenier.solve.shares import rows_of
from brenier.solve.streamed import MOST_DENSE, WIDEST, StreamedTargets, Targets, fill, onto

SUBSPACE_SIZES = (32, 64, 128, 256)
EXCESS, LOGS = 0.1, 0.84  # fits to benchmarks/subspace_variance.py
OVERHEAD = 400_000  # multiply-adds that the lists and soft counts of one draw cost
EPILOGUE = 14  # multiply-adds that the look at a score costs
CIRCLE_GAIN = 3.5  # independent samples that a draw on a great circle is worth, for soft counts: 3.4 to 3.7
STRUCTURED_SAVING = 128  # a pass costs about 60 multiply-adds a value and serves about 8,000 directions
ALONE, HERE = Ranks(), Placement()
Made = TypeVar("Made")
LEAST_SAVING = 3.0  # the model is good to a factor of about 1.5; below 3 the full dimension is kept


@dataclass(frozen=True)
class SamplingPlan:
    """How to draw: in full (subspace = 0), or principal + subspace coordinates; cost per effective sample."""

    subspace: int
    principal: int
    cost: float
    inflation: float = 1.0  # samples worth one independent sample
    structured: bool = False  # the directions of the steps (solve/directions.py)

    @property
    def full(self) -> bool:
        return self.subspace == 0

    @property
    def width(self) -> int:
        """Coordinates of a target in a subspace."""
        return self.subspace + self.principal

    def __str__(self) -> str:
        if self.full:
            return "full dimension"
        apart = f" + {self.principal} principal directions" if self.principal else ""
        kind = ", structured" if self.structured else ""
        return f"subspace of {self.subspace}{kind}{apart}"


def columns_of(targets: Targets) -> int:
    """The most directions that one pass over the targets serves."""
    return targets.columns if isinstance(targets, StreamedTargets) else max(SUBSPACE_SIZES)


def widest_of(targets: Targets) -> int:
    """The largest subspace that these targets may be seen in."""
    return min(columns_of(targets), WIDEST)


def correlation(targets: int) -> float:
    """c(n) of the variance inflation 1 + cK/(nm) of hard counts: 90 at n = 4,000, 190 at n = 20,000."""
    return max(30.0, 90.0 + 62.0 * math.log(targets / 4000))


def inflation(targets: int, subspace: int, batch: float, residual: float) -> float:
    """How many samples of one subspace are worth one independent sample, for soft counts under control.

        1 + EXCESS · f · (s²)^1.8 · K/n,    s² = 2 (LOGS · f · ln n)²/m

    s² is the variance of a target's log mass in a subspace: exp(a f (ℓ² − 1)) with a = LOGS · ln n, ℓ² = χ²_m/m; f is
    the share of variance left to the subspace. The excess is what solve/control.py leaves of it.
    """
    variance = 2 * (LOGS * residual * math.log(targets)) ** 2 / subspace
    return 1 + EXCESS * residual * variance**1.8 * batch / targets


def choose_sampling(
    targets: int, dimension: int, batch: int, residuals: dict[int, float], widest: int | None = None
) -> SamplingPlan:
    """The cheapest way to draw a batch, a pure function.

    residuals maps r (principal directions apart) to f, the share of the targets' variance left for the
    subspace; {0: 1.0} where none were computed. Multiply-adds per target and draw, for equal variance:

        full        d + o
        subspace    (m (d + r) / K + m + r + o) · inflation(n, m, γK, f)

    K draws are a batch, worth γK independent samples (CIRCLE_GAIN), m(d + r)/K is the projection that they share,
    o = EPILOGUE + OVERHEAD/n the cost of looking at a score and of a draw's lists.
    The subspace must win by LEAST_SAVING. Where ``widest`` is given (streamed targets) the full dimension is
    out of the question, m and r are at most that, and directions of large d are structured: one then costs
    d/STRUCTURED_SAVING, its share of a pass that serves thousands.
    """
    overhead = EPILOGUE + OVERHEAD / targets
    streamed = widest is not None
    structured = streamed and dimension >= STRUCTURED_FROM
    direction = dimension / STRUCTURED_SAVING if structured else dimension
    best = SamplingPlan(0, 0, math.inf if streamed else dimension + overhead)
    for r, residual in residuals.items():
        for m in SUBSPACE_SIZES:
            if widest is not None and max(m, r) > widest:
                continue
            worth = inflation(targets, m, CIRCLE_GAIN * batch, residual)
            cost = (m * (direction + r) / batch + m + r + overhead) * worth
            if (streamed or cost * LEAST_SAVING <= dimension + overhead) and cost < best.cost:
                best = SamplingPlan(m, r, cost, worth, structured)
    return best


@dataclass(frozen=True)
class Draw:
    """Noise in the coordinates of the targets beside it, for one step."""

    noise: Tensor
    targets: PreparedTargets


class FullSampler:
    """Fresh independent noise in the full dimension."""

    fitting = 0  # rows whose lists are sure to fit, by those of the last step; it changes no bit

    def __init__(self, targets: Tensor, seed: int, place: Placement = HERE, ranks: Ranks = ALONE) -> None:
        self.prepared = place.prepare(targets)
        self.seed, self.place, self.ranks = seed, place, ranks

    def begin(self, step: int) -> None:
        """Nothing to prepare: every step uses the same targets."""

    def draw(self, first: int, rows: int) -> Draw:
        noise = normal(self.seed, first, rows, self.prepared.shape[1], stream=Stream.FIT)
        return Draw(noise.to(self.place.device), self.prepared)

    def draw_circles(self, first: int, rows: int) -> Draw:
        """Rows in pairs whose great circles are normal at every point: independent draws already are."""
        return self.draw(first, rows)

    def variates(self, norms: np.ndarray) -> None:
        """Independent draws have nothing in common that could be taken out."""


@dataclass(frozen=True)
class Streams:
    """The random streams of a sampler's draws."""

    direction: Stream = Stream.DIRECTION
    apart: Stream = Stream.FIT


class SubspaceSampler:
    """Noise in a fresh random subspace per step, leading principal directions apart.

    ahead : steps whose subspaces share one pass over the targets; it changes no bit
    place : where noise and coordinates meet; it changes no bit
    ranks : each projects its rows of the targets, and all get all coordinates; it changes no bit either
    """

    fitting = 0  # as of FullSampler

    def __init__(
        self,
        targets: Targets,
        plan: SamplingPlan,
        principal: Principal | None,
        seed: int,
        place: Placement = HERE,
        ahead: int = 1,
        ranks: Ranks = ALONE,
    ) -> None:
        self.ahead, self.streams, self.ranks = ahead, Streams(), ranks
        kind = Structured if plan.structured else Dense
        self.directions: Directions = kind(seed, targets.shape[1])
        self.shared: tuple[int, Tensor] | None = None  # the first step of the pass, and all its coordinates
        self.own: Tensor | None = None  # the begun step's part of them
        self.prepared: PreparedTargets | None = None
        self.targets, self.plan, self.seed, self.place = targets, plan, seed, place
        self.first, self.end = ranks.rows(len(targets))
        self.mine = rows_of(targets, self.first, self.end)
        self.axes = None if principal is None or plan.principal == 0 else principal.axes[: plan.principal]
        self.apart: Tensor | None = None
        self.inside = np.zeros(len(targets))  # ‖V y_i‖²
        if self.axes is not None:
            apart = torch.empty(len(targets), plan.principal)
            onto(self.mine, self.axes, apart[self.first : self.end])
            self.apart = ranks.joined(apart)
            self.inside = squares(self.apart)

    def begin(self, step: int) -> None:
        """The targets' coordinates in the step's subspace, from a pass over them if it is not done yet."""
        m, (first, whole) = self.plan.subspace, self.pass_for(step)
        coordinates = self.own = whole[:, (step - first) * m : (step - first + 1) * m]
        if self.apart is not None:
            coordinates = torch.cat([self.apart, coordinates], dim=1)
        self.prepared = None  # before a GPU makes room for the next
        self.prepared = self.place.prepare(coordinates)

    def pass_for(self, step: int) -> tuple[int, Tensor]:
        """The first step of the pass that serves this one, and its coordinates; all ranks make them together."""
        m, first = self.plan.subspace, step - step % self.ahead
        if self.shared is None or self.shared[0] != first:
            self.forget()  # the memory of one pass goes before that of the next comes
            self.shared = first, self.coordinates(first * m, self.ahead * m)
        return self.shared

    def forget(self) -> None:
        """Let go of a pass's coordinates, and of the views of them."""
        self.shared = self.own = self.prepared = None

    def variates(self, norms: np.ndarray) -> np.ndarray:
        """Control variates of the step begun, (ORDERS, n); norms : ‖y_i‖, (n,)."""
        whole = np.square(norms)
        return length_variates(squares(begun(self.own)), whole - self.inside, whole, self.plan.subspace)

    @property
    def widest(self) -> int:
        return widest_of(self.targets)

    def coordinates(self, first: int, count: int) -> Tensor:
        """⟨a, (I − VVᵀ) y_i⟩ = ⟨a, y_i⟩ − ⟨Va, Vy_i⟩ for directions a number first to first + count − 1."""
        projector = self.directions.projector(first, count)
        mixed = None if self.axes is None else projector.onto(self.axes).T.contiguous()

        own_apart = None if self.apart is None else self.apart[self.first : self.end]

        def coordinates_of(lo: int, hi: int, rows: Tensor) -> Tensor:
            along = projector.onto(rows)
            if own_apart is None or mixed is None:
                return along
            return along.sub_(project(own_apart[lo:hi], mixed))

        whole = torch.empty(len(self.targets), count)  # every rank's; its own rows are written in place
        fill(whole[self.first : self.end], self.mine, coordinates_of, projector.operations)
        return self.ranks.joined(whole)

    def for_checks(self, subspace: int) -> SubspaceSampler:
        """Exactly normal subspaces of that dimension, drawn from streams that no step uses; the step begun is over."""
        self.prepared = None  # before a GPU makes room for the check's
        other = copy.copy(self)
        other.plan = replace(self.plan, subspace=subspace, structured=False)
        other.streams = Streams(Stream.CHECK_DIRECTION, Stream.CHECK)
        other.directions = Dense(self.seed, self.targets.shape[1], Stream.CHECK_SUBSPACE)
        other.ahead = max(1, min(columns_of(self.targets), MOST_DENSE) // subspace)
        other.forget()
        return other

    def noise(self, first: int, rows: int) -> Tensor:
        """Coordinates of noise in the step begun: normal ones apart, a direction in the subspace."""
        noise = unit_vectors(self.seed, first, rows, self.plan.subspace, stream=self.streams.direction)
        if self.axes is not None:
            apart = normal(self.seed, first, rows, self.plan.principal, stream=self.streams.apart)
            noise = torch.cat([apart, noise], dim=1)
        return noise

    def draw(self, first: int, rows: int) -> Draw:
        return Draw(self.noise(first, rows).to(self.place.device), begun(self.prepared))

    def draw_circles(self, first: int, rows: int) -> Draw:
        """Rows in pairs whose great circles are normal at every point: orthogonal directions of unit length."""
        noise = self.noise(first, rows)
        noise[:, -self.plan.subspace :] = orthogonal_pairs(noise[:, -self.plan.subspace :])
        return Draw(noise.to(self.place.device), begun(self.prepared))


def begun(made: Made | None) -> Made:
    """What ``begin`` has made."""
    if made is None:
        raise RuntimeError("begin comes before the first draw")
    return made


def orthogonal_pairs(directions: Tensor) -> Tensor:
    """Unit rows in pairs, the second of each made orthogonal to the first (float64, one order)."""
    pairs = directions.double().numpy().reshape(-1, 2, directions.shape[1])
    first, second = pairs[:, 0], pairs[:, 1]
    second -= (first * second).sum(axis=1, keepdims=True) * first
    second /= np.sqrt((second * second).sum(axis=1, keepdims=True))
    return torch.from_numpy(pairs.reshape(directions.shape)).float()
