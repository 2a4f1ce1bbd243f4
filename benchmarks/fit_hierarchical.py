"""Time of fit_hierarchical against n, and what its map costs more than the optimal one.

    python benchmarks/fit_hierarchical.py [--sizes 30000,100000,300000,1000000] [--exact 30000,100000] [--save]

Targets are those of the solver benchmark (50 Gaussian clusters of unequal mass and spread, d = 64), the tolerance
is 0.2. Each size is fitted in two levels; those under --exact also by brenier.fit, and both maps judged on the same
fresh noise: the cost E‖x − T(x)‖², beside that of noise paired with targets at random. Times are processor seconds,
all threads together, and elapsed ones; the exponent is the slope of log(processor seconds) against log n.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import brenier
import numpy as np
import sklearn.cluster  # noqa: F401  its import is not part of a fit
import torch
from brenier.data.noise import Stream, normal
from brenier.metrics import transport_cost
from brenier.report.record import new_record, write_record
from peers.problems import mixture_targets
from tabulate import tabulate

RESULTS = Path(__file__).parent / "results" / "fit_hierarchical.json"
TOL, JUDGED, GOAL = 0.2, 20_000, 1.6


def timed(function: Any, *given: Any, **options: Any) -> tuple[Any, dict[str, float]]:
    began, worked = time.perf_counter(), time.process_time()
    result = function(*given, **options)
    return result, {"processor": time.process_time() - worked, "elapsed": time.perf_counter() - began}


def measure(n: int, d: int, exact: bool) -> dict[str, Any]:
    """One size: the fit in two levels, and beside it the exact one where asked for."""
    targets = torch.from_numpy(mixture_targets(n, d))
    result, seconds = timed(brenier.fit_hierarchical, targets, tol=TOL, progress=False)
    row: dict[str, Any] = {"n": n, "d": d, "parts": result.potential.info["parts"], **seconds}
    row |= {"error": result.error, "stderr": result.error_stderr, "draws_per_target": result.samples / n}
    noise = normal(7, 0, JUDGED, d, stream=Stream.SAMPLE)
    row["cost"] = transport_cost(noise, potential=result.potential)
    if exact:
        whole, seconds = timed(brenier.fit, targets, tol=TOL, progress=False)
        row |= {f"exact_{name}": value for name, value in seconds.items()} | {"exact_error": whole.error}
        row["exact_cost"] = transport_cost(noise, potential=whole.potential)
        index = torch.randint(n, (JUDGED,), generator=torch.Generator().manual_seed(0))
        row["independent_cost"] = transport_cost(noise, index, targets)
        row["extra_cost"] = row["cost"] / row["exact_cost"] - 1
        row["saving_kept"] = (row["independent_cost"] - row["cost"]) / (
            row["independent_cost"] - row["exact_cost"]
        )
    return row


def exponent(rows: list[dict[str, Any]], name: str) -> float:
    """Slope of log time against log n, nan for fewer than two sizes."""
    known = [(row["n"], row[name]) for row in rows if name in row]
    return float(np.polyfit(*np.log(np.array(known).T), 1)[0]) if len(known) > 1 else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="30000,100000,300000,1000000")
    parser.add_argument(
        "--exact", default="30000,100000", help="sizes at which the exact map is fitted as well"
    )
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS}, size after size")
    asked = parser.parse_args()
    exact, rows = [int(n) for n in asked.exact.split(",") if n], []
    for n in map(int, asked.sizes.split(",")):
        rows.append(measure(n, asked.dimension, n in exact))
        print(tabulate([rows[-1]], headers="keys", floatfmt=".4g"), flush=True)
        slopes = {name: exponent(rows, name) for name in ("processor", "exact_processor")}
        if asked.save:
            command = (
                f"python benchmarks/fit_hierarchical.py --sizes {asked.sizes} --exact {asked.exact} --save"
            )
            numbers = {"tol": TOL, "goal": GOAL, "rows": rows}
            numbers |= {f"{name}_exponent": value for name, value in slopes.items() if np.isfinite(value)}
            write_record(RESULTS, new_record("fit_hierarchical", {"command": command}) | numbers)
    print(
        f"growth of processor time: n^{slopes['processor']:.2f} in two levels (goal ≤ {GOAL}), "
        f"n^{slopes['exact_processor']:.2f} exact"
    )


if __name__ == "__main__":
    main()
