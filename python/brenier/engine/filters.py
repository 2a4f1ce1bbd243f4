"""Which filter a call of the CPU engine gets: a printable cost model, a pure function of what it is given."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from brenier.errors import EngineError

FILTERS = ("fp32", "int16", "int8")

# Relative costs, in multiply-adds of the float32 tile, as benchmarks/filter_costs.py measures them.
SPEED = {"fp32": 1.0, "int16": 2.0, "int8": 3.9}  # multiply-adds of the tile in the time of one of float32
PAIR = {"fp32": 12.0, "int16": 22.0, "int8": 30.0}  # start, bars and compare of one pair, in the tile's own
ROW = 1e5  # of one row: what leads or waits for a time
RESCORE = (30.0, 5000.0)  # float64 score of one pair, whose values come from memory: per depth, and once
PACK = {"fp32": 300.0, "int16": 130.0, "int8": 90.0}  # per value packed
TURN = 14.0  # per value rotated and power of two of the depth
SPIKY = 0.012  # above this, targets are rotated
FEW = 2.0  # pairs per row that any filter leaves
LOOSE_STRICT = {"int16": 2e-8, "int8": 1.2e-6}  # more, per target and depth, where only certain bounds count
TOO_LOOSE = 0.1  # share of pairs scored in float64 above which a filter is not tried again


@dataclass(frozen=True)
class Work:
    """One call: sizes, which integer filters run, what is packed already, and how each filter did last.

    ``measured`` pairs filters with the share of pairs that they left to float64 in their last call; spikiness is
    the error of int8 over the norm of a target (rotation.py), about 0.01 for normal numbers.
    """

    rows: int
    targets: int
    depth: int
    exact: str = "certified"
    integers: tuple[str, ...] = ("int16", "int8")
    packed: tuple[str, ...] = ()
    measured: tuple[tuple[str, float], ...] = ()
    spikiness: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """Multiply-adds of the float32 tile that the call would take with this filter."""

    name: str
    products: float
    rescoring: float
    packing: float

    @property
    def total(self) -> float:
        return self.products + self.rescoring + self.packing

    def __str__(self) -> str:
        parts = f"products {self.products:.2e}, rescoring {self.rescoring:.2e}, packing {self.packing:.2e}"
        return f"{self.name}: {self.total:.2e} ({parts})"


@dataclass(frozen=True)
class FilterChoice:
    """The filter, why, and what each was estimated to cost."""

    name: str
    reason: str
    estimates: tuple[Estimate, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.name}: {self.reason}", *(f"  {estimate}" for estimate in self.estimates)])


def survivors(name: str, work: Work) -> float:
    """Pairs per row to be scored in float64: measured where a call has been, else what image-like data leave."""
    measured = dict(work.measured)
    if name in measured:
        return measured[name] * work.targets
    loose = LOOSE_STRICT.get(name, 0.0) if work.exact == "strict" else 0.0
    return min(work.targets, FEW + loose * work.targets * work.depth)


def rotates(spikiness: float) -> bool:
    """Whether targets and noise are rotated before an integer filter quantises them."""
    return spikiness > SPIKY


def estimate(name: str, work: Work) -> Estimate:
    pairs = float(work.rows) * work.targets
    packed_rows = work.rows + (0 if name in work.packed else work.targets)
    rescore = RESCORE[0] * work.depth + RESCORE[1]
    turning = TURN * math.log2(work.depth + 1) if name != "fp32" and rotates(work.spikiness) else 0.0
    return Estimate(
        name,
        pairs * (work.depth + PAIR[name]) / SPEED[name],
        work.rows * (survivors(name, work) * rescore + ROW),
        (PACK[name] + turning) * packed_rows * work.depth,
    )


def choose_filter(work: Work, forced: str | None = None) -> FilterChoice:
    """The cheapest filter. `forced` (BRENIER_CPU_FILTER) wins wherever that filter runs."""
    if forced is not None and (forced == "fp32" or forced in work.integers):
        return FilterChoice(forced, "asked for by BRENIER_CPU_FILTER")
    if not work.integers:
        return FilterChoice("fp32", "no integer dot products here, or values out of their range")
    loose = [name for name, share in work.measured if share > TOO_LOOSE]
    usable = [name for name in FILTERS if name == "fp32" or (name in work.integers and name not in loose)]
    estimates = tuple(estimate(name, work) for name in usable)
    best = min(estimates, key=lambda each: each.total)
    reason = "estimated to be the fastest" + (f"; {', '.join(loose)} left too many pairs" if loose else "")
    if best.name != "fp32" and rotates(work.spikiness):
        reason += f"; targets are spiky ({work.spikiness:.3f}) and rotated first"
    return FilterChoice(best.name, reason, estimates)


def forced_filter() -> tuple[str | None, str | None]:
    """(filter, body) of BRENIER_CPU_FILTER, as in "fp32", "int8" or "int16:BODY"; raises EngineError for others."""
    asked = os.environ.get("BRENIER_CPU_FILTER")
    if not asked:
        return None, None
    name, _, body = asked.partition(":")
    if name not in FILTERS or (body and name == "fp32"):
        raise EngineError(
            "BRENIER_CPU_FILTER",
            expected="one of " + ", ".join(FILTERS) + ", or int8:BODY, int16:BODY",
            got=repr(asked),
            remedy="unset it to let the fastest be chosen",
        )
    return name, body or None
