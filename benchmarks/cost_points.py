"""Measured fits from the committed results, beside the cost that the model counts for the same work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cost_terms import Cost, fit_cost, hierarchical_cost, plan_of

RESULTS = Path(__file__).parent / "results"
IN_MEMORY = 1 << 62


@dataclass(frozen=True)
class Point:
    """A fit that was run: processor seconds (elapsed ones times cores, where those are all there is)."""

    source: str
    n: int
    d: int
    tol: float
    seconds: float
    draws: float  # a target, as measured; foreseen where the record has none
    cost: Cost  # the operations of that many draws in that plan
    free: Cost  # what the model would have foreseen without the run

    @property
    def in_parts(self) -> bool:
        return "parts" in self.cost.how


def record(name: str) -> dict[str, Any] | None:
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def point(
    source: str,
    shape: tuple[int, int],
    tol: float,
    seconds: float,
    draws: int | None,
    sampling: str,
    limit: int,
) -> Point:
    n, d = shape
    cost = fit_cost(n, d, tol, limit, plan_of(sampling) if sampling else None, draws)
    return Point(source, n, d, tol, seconds, cost.draws / n, cost, fit_cost(n, d, tol, limit))


def large_points() -> Iterator[Point]:
    """benchmarks/fit_large.py: its unbroken run, elapsed time times cores."""
    if (found := record("fit_large")) is None:
        return
    row, settings = found["rows"][0], found["settings"]
    n, *image = settings["shape"]
    seconds = float(re.search(r"([\d.]+) s, start", row["summary"])[1]) * int(found["machine"]["cores"])
    sampling = re.search(r"noise: (.*)", row["summary"])[1]
    shape = (n, image[0] * image[1] * image[2])
    yield point("fit_large", shape, settings["tol"], seconds, row["draws"], sampling, 6 << 30)


def ranks_points() -> Iterator[Point]:
    """benchmarks/fit_ranks.py: the fits by one process."""
    for row in (record("fit_ranks") or {"rows": []})["rows"]:
        limit = 900 << 20 if row["problem"] == "streamed" else IN_MEMORY
        shape = row["targets"], row["dimension"]
        yield point(
            "fit_ranks", shape, row["tol"], row["processor_alone"], row["samples"], row["sampling"], limit
        )


def scale_points() -> Iterator[Point]:
    """benchmarks/fit_scale.py, each problem once: it is fitted beside either peer."""
    parts = (record("fit_scale") or {"parts": {}})["parts"].values()
    rows = [row for part in parts for row in part["brenier"]]
    for row in {(row["solver"], row["n"], row["d"], row["χ² ≤"]): row for row in rows}.values():
        shape, draws = (row["n"], row["d"]), round(row["samples/n"] * row["n"])
        tol, seconds = row["χ² ≤"], row["processor seconds"]
        if row["solver"] == "brenier.fit_hierarchical":
            yield levels_point("fit_scale, two levels", shape, tol, seconds, draws)
        else:
            yield point("fit_scale", shape, tol, seconds, draws, row["sampling"], IN_MEMORY)


def levels_point(source: str, shape: tuple[int, int], tol: float, seconds: float, draws: int) -> Point:
    """A fit in two levels."""
    own, free = hierarchical_cost(*shape, tol, draws), hierarchical_cost(*shape, tol)
    return Point(source, *shape, tol, seconds, draws / shape[0], own, free)


def hierarchical_points() -> Iterator[Point]:
    """benchmarks/fit_hierarchical.py: fits in two levels, and the exact ones beside them."""
    found = record("fit_hierarchical") or {"rows": []}
    for row in found["rows"]:
        n, d, tol = row["n"], row["d"], found["tol"]
        if "exact_processor" in row:
            yield point("fit_hierarchical, exact", (n, d), tol, row["exact_processor"], None, "", IN_MEMORY)
    for row in found["rows"]:
        shape, draws = (row["n"], row["d"]), round(row["draws_per_target"] * row["n"])
        yield levels_point("fit_hierarchical", shape, found["tol"], row["processor"], draws)


def all_points() -> list[Point]:
    return [*large_points(), *ranks_points(), *scale_points(), *hierarchical_points()]


def read_rate() -> float:
    """Values per processor second that a streamed pass reads, noises and centres: of fit_large's whole runs."""
    rows = [row for row in record("fit_large")["rows"] if row["traffic"]]
    rates = [float(re.search(r"read ([\d.]+) GB/s", row["traffic"])[1]) for row in rows]
    return sum(rates) / len(rates) * 1e9 / 4


def bare_rates() -> dict[str, float]:
    """Operations a second per core of the scoring verb alone, by case: benchmarks/assign_cpu.py."""
    found = record("assign_cpu") or {"rows": [], "threads": 1}
    return {row["case"]: row["GFLOP/s"] * 1e9 / found["threads"] for row in found["rows"]}
