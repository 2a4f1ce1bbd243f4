"""What a fit costs against n, d, the tolerance and the machine: the solver's own plans, at rates that were measured.

    python benchmarks/cost_model.py [--memory 64GiB] [--save]     # --save: into docs/scaling.md

cost_terms.py counts operations, reading and memory from the functions that plan a real fit; cost_points.py takes
measured fits from benchmarks/results. Processor seconds = operations / R + values read / V: V is fit_large's rate
of reading, R the geometric mean over the measured fits (see rates_of), one for exact fits, one for two levels. Each
measured fit stands beside the model, so its error can be seen. GPU columns are arithmetic on paper: not run on
hardware, and without what a fit leaves to the processor (docs/scaling.md, "On a GPU").
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from brenier.cli.sizes import Size
from brenier.solve.memory import COLUMN_STEP
from cost_points import Point, all_points, bare_rates, read_rate
from cost_terms import Cost, fit_cost, hierarchical_cost
from marked_pages import replace_part
from tabulate import tabulate

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
TOL, CORES = 0.05, 2
GPU, PEAK, EFFICIENCY = "H200", 989e12, 0.3  # dense bfloat16, NVIDIA's data sheet; the share is assumed
LINK = 50e9  # bytes/s of uint8 targets from host to device: 64 GB/s of PCIe 5 ×16, four fifths of it assumed
MANY = 8
SIZES = (10**4, 70_000, 10**6, 10**7, 10**8, 10**9)
LENGTHS = (64, 3072, 196_608)
SCORED = ("subspace", "latents", "images 32x32")  # cases of assign_cpu.py: 64, 128 and 3,072 dimensions
PLACES = ((10**6, 64), (10**6, 3072), (70_000, 196_608), (10**8, 3072))  # whose exponents are shown


@dataclass(frozen=True)
class Rates:
    """A second of one core."""

    exact: float  # operations, in fits
    parts: float  # operations, in fits of two levels
    values: float  # read

    def seconds(self, cost: Cost) -> float:
        """Processor seconds."""
        rate = self.parts if "parts" in cost.how else self.exact
        return cost.operations / rate + cost.values / self.values


def rates_of(points: list[Point], values: float) -> Rates:
    """Geometric means, over fits whose time is by at least half that of operations, not of reading."""

    def mean(kind: bool) -> float:
        computing = [(p, p.seconds - p.cost.values / values) for p in points if p.in_parts is kind]
        logs = [math.log(p.cost.operations / spent) for p, spent in computing if spent > p.seconds / 2]
        return math.exp(sum(logs) / len(logs))

    return Rates(mean(False), mean(True), values)


def gpu_seconds(cost: Cost, gpus: int) -> float:
    """All operations at EFFICIENCY of the peak, beside one byte a value over each device's own link."""
    return max(cost.operations / (PEAK * EFFICIENCY), cost.values / LINK) / gpus


def exponent(function: Callable[[float], float], at: float) -> float:
    """d log f / d log x, over half a decade."""
    step = 10**0.25
    return math.log(function(at * step) / function(at / step)) / math.log(step**2)


def time_text(seconds: float) -> str:
    for unit, size, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48), ("days", 86400, 1000)):
        if seconds / size < most:
            return "< 1 s" if seconds < 1 else f"{float(f'{seconds / size:.2g}'):,g} {unit}"
    return f"{float(f'{seconds / 3.156e7:.2g}'):,.0f} years"


def bytes_text(size: float) -> str:
    return f"{size / 2**30:,.1f} GiB" if size < 1 << 40 else f"{size / 2**40:,.1f} TiB"


def table(rows: list[dict[str, str]]) -> str:
    text: str = tabulate(
        [row.values() for row in rows], headers=list(rows[0]), tablefmt="github", disable_numparse=True
    )
    return text


def measured_rows(points: list[Point], rates: Rates) -> list[dict[str, str]]:
    return [
        {
            "run": p.source,
            "n × d": f"{p.n:,} × {p.d:,}",
            "χ² ≤": f"{p.tol:g}",
            "as": p.cost.how,
            "draws/n": f"{p.draws:.1f}",
            "foreseen": f"{p.free.draws / p.n:.1f}",
            "processor s": f"{p.seconds:,.3g}" if p.seconds < 1000 else f"{p.seconds:,.0f}",
            "model s": f"{rates.seconds(p.cost):,.3g}",
            "model/measured": f"{rates.seconds(p.cost) / p.seconds:.2f}",
        }
        for p in points
    ]


def size_rows(tol: float, limit: int, rates: Rates) -> list[dict[str, str]]:
    """brenier.fit."""
    rows = []
    for n, d in ((n, d) for d in LENGTHS for n in SIZES):
        cost = fit_cost(n, d, tol, limit)
        row = {"n": f"{n:,}", "d": f"{d:,}", "as": cost.how, "draws/n": f"{cost.draws / n:.1f}"}
        row |= {"passes": str(cost.passes or ""), "projecting": f"{cost.projecting:.1e}"}
        row |= {"scoring": f"{cost.scoring:.1e}", "a check": f"{cost.checking:.1e}"}
        row["memory"] = bytes_text(cost.memory) + (" *" if cost.memory > limit else "")
        rows.append(row | machine_columns(cost, rates))
    return rows


def level_rows(tol: float, rates: Rates) -> list[dict[str, str]]:
    """brenier.fit_hierarchical."""
    rows = []
    for n, d in ((n, d) for d in LENGTHS for n in SIZES):
        cost = hierarchical_cost(n, d, tol)
        row = {"n": f"{n:,}", "d": f"{d:,}", "as": cost.how, "draws/n": f"{cost.draws / n:.1f}"}
        row |= {"k-means, coarse fit": f"{cost.projecting:.1e}", "scoring": f"{cost.scoring:.1e}"}
        row |= {"a check": f"{cost.checking:.1e}", "memory": bytes_text(cost.memory)}
        rows.append(row | machine_columns(cost, rates))
    return rows


def machine_columns(cost: Cost, rates: Rates) -> dict[str, str]:
    row = {f"{CORES} cores": time_text(rates.seconds(cost) / CORES)}
    return row | {GPU: time_text(gpu_seconds(cost, 1)), f"{MANY} × {GPU}": time_text(gpu_seconds(cost, MANY))}


def exponent_rows(tol: float, limit: int, rates: Rates) -> list[dict[str, str]]:
    rows = []
    for n, d in PLACES:

        def of_parts(size: float, length: int = d) -> float:
            return rates.seconds(hierarchical_cost(round(size), length, tol))

        def cost(size: float = n, length: float = d, level: float = tol) -> Cost:
            return fit_cost(round(size), round(length), level, limit)

        def seconds(**place: float) -> float:
            return rates.seconds(cost(**place))

        rows.append(
            {
                "at": f"{n:,} × {d:,}",
                "in n": f"{exponent(lambda x: seconds(size=x), n):.2f}",
                "in d": f"{exponent(lambda x: seconds(length=x), d):.2f}",
                "in 1/tol": f"{-exponent(lambda x: seconds(level=x), tol):.2f}",
                "memory in n": f"{exponent(lambda x: cost(size=x).memory, n):.2f}",
                "memory in d": f"{exponent(lambda x: cost(length=x).memory, d):.2f}",
                "two levels, in n": f"{exponent(of_parts, n):.2f}",
            }
        )
    return rows


def bare_text() -> str:
    """What a core does where it only scores: R is less, for lists, soft counts, small pieces and other users."""
    rates = bare_rates()
    shown = ", ".join(f"{name}: {rates[name] / 1e9:.0f}" for name in SCORED if name in rates)
    return f"Scores alone reach more (`benchmarks/assign_cpu.py`, GFLOP/s a core; {shown})." if shown else ""


def page(limit: int) -> str:
    points, values = all_points(), read_rate()
    rates = rates_of(points, values)
    return "\n\n".join(
        [
            f"`python benchmarks/cost_model.py --memory {limit >> 30}GiB`. A core does R = {rates.exact / 1e9:.0f} "
            f"GFLOP/s in fits, {rates.parts / 1e9:.0f} in fits of two levels, and reads V = {values / 1e9:.2f} 10⁹ "
            "values/s (geometric means; most of the runs below were made on a loaded machine). V is for uint8 from "
            "disk, made float32 and noised: float32 rows in memory without noise, as fit_ranks streams them, are read "
            "faster, so there the model is too slow. " + bare_text(),
            "Measured runs, and the model of the same work (draws as the run had them; *foreseen* is what the model "
            "expects without the run):",
            table(measured_rows(points, rates)),
            f"The model for χ² ≤ {TOL:g}, one check, targets with variances like 1/k plus white noise, memory bounded "
            f"by {limit >> 30} GiB a process (* : does not fit, and would be refused; the time is for the fewest "
            f"directions a pass, {COLUMN_STEP}). {GPU} columns are **not run on hardware**: {PEAK / 1e12:.0f} TFLOP/s "
            f"(dense bfloat16, data sheet) at an assumed {100 * EFFICIENCY:.0f}%, and uint8 targets over an assumed "
            f"link of {LINK / 1e9:.0f} GB/s a device; steps' latency is not counted, nor what the fit leaves to the "
            'processor (below, "On a GPU").',
            table(size_rows(TOL, limit, rates)),
            "The same in two levels (`fit_hierarchical`: another map, not the optimal one; targets in memory, on one "
            "process, whatever memory that takes):",
            table(level_rows(TOL, rates)),
            "Exponents of the model's time and memory, over half a decade around a place (the plan may change in it):",
            table(exponent_rows(TOL, limit, rates)),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", default="64GiB", help="bytes that a process may use")
    parser.add_argument("--save", action="store_true", help="write the part of docs/scaling.md")
    asked = parser.parse_args()
    text = page(Size().convert(asked.memory, None, None))
    print(text)
    if asked.save:
        replace_part(PAGE, "cost_model", text)


if __name__ == "__main__":
    main()
