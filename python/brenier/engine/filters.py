"""Which filter a call of the CPU engine gets: a printable cost model, a pure function of what it is given."""

from __future__ import annotations

import os
from dataclasses import dataclass

from brenier.errors import EngineError

FILTERS = ("fp32", "int8")

# Relative costs, in multiply-adds of the float32 tile (benchmarks/assign_cpu.py measures them).
INT8_SPEED = 3.6  # multiply-adds of the int8 tile in the time of one of float32
INT8_PAIR = 4.0  # start, bars and compare of one pair, in multiply-adds of int8
RESCORE = (6.0, 400.0)  # float64 score of one pair: per depth, and once
PACK = {"fp32": 10.0, "int8": 20.0}  # per value packed
DEPTH_OF_DITHER = 48  # from here on the dithered bound is the smaller one
LOOSE = 0.1  # share of pairs scored in float64 above which a filter is not tried again


@dataclass(frozen=True)
class Work:
    """One call: sizes, what is packed already, and the share of pairs that passed when last measured."""

    rows: int
    targets: int
    depth: int
    exact: str = "certified"
    int8_runs: bool = True
    packed: tuple[str, ...] = ()
    rescored: float | None = None


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


def survivors(work: Work) -> float:
    """Pairs per row to be scored in float64: measured where a call has been, else what image-like data leave."""
    if work.rescored is not None:
        return work.rescored * work.targets
    few = 8.0
    if work.exact == "certified" or work.depth <= DEPTH_OF_DITHER:
        return min(work.targets, few)
    return min(work.targets, few + work.targets * 0.02 * work.depth / 3072)


def estimate(name: str, work: Work) -> Estimate:
    pairs = float(work.rows) * work.targets
    packed_rows = work.rows + (0 if name in work.packed else work.targets)
    packing = PACK[name] * packed_rows * work.depth
    rescore = RESCORE[0] * work.depth + RESCORE[1]
    if name == "fp32":
        return Estimate(name, pairs * (work.depth + INT8_PAIR), 2 * work.rows * rescore, packing)
    products = pairs * (work.depth / INT8_SPEED + INT8_PAIR)
    return Estimate(name, products, work.rows * survivors(work) * rescore, packing)


def choose_filter(work: Work, forced: str | None = None) -> FilterChoice:
    """The cheaper filter. `forced` (BRENIER_CPU_FILTER) wins wherever that filter runs."""
    if forced is not None and (forced == "fp32" or work.int8_runs):
        return FilterChoice(forced, "asked for by BRENIER_CPU_FILTER")
    if not work.int8_runs:
        return FilterChoice("fp32", "no int8 instructions here, or values out of its range")
    if work.rescored is not None and work.rescored > LOOSE:
        return FilterChoice("fp32", f"int8 left {work.rescored:.0%} of the pairs undecided")
    estimates = tuple(estimate(name, work) for name in FILTERS)
    best = min(estimates, key=lambda each: each.total)
    return FilterChoice(best.name, "estimated to be the fastest", estimates)


def forced_filter() -> tuple[str | None, str | None]:
    """(filter, body) of BRENIER_CPU_FILTER: "fp32", "int8", or "int8:BODY"; raises EngineError for others."""
    asked = os.environ.get("BRENIER_CPU_FILTER")
    if not asked:
        return None, None
    name, _, body = asked.partition(":")
    if name not in FILTERS or (body and name != "int8"):
        raise EngineError(
            "BRENIER_CPU_FILTER",
            expected="one of " + ", ".join(FILTERS) + ", or int8:BODY",
            got=repr(asked),
            remedy="unset it to let the fastest be chosen",
        )
    return name, body or None
