"""Exact assignment on the CPU: brenier.solve_assignment beside every solver that is installed.

    python benchmarks/pairing_cpu.py [--save] [--rows 128,1024] [--families all] [--quick]

Scores of photograph patches and digits against noise, d = 3,072, one matrix per family and size, the same for
all. Median processor time of up to 27 runs taken in turn, fewer the longer they are, one from three seconds on:
every solver works in the calling thread, and a shared machine would otherwise be measured instead. Peers are compared
turn by turn, for what slows the machine down slows all: a ratio is the median of the turns' ratios. A peer other
than scipy that would take more than `PATIENCE` seconds, judged by its time at half the rows, is left out.
`--families all` adds the other families against scipy. --save writes results/pairing_cpu.json, the end of
docs/pairing.md and its plot.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]
from peers.assignment import solvers  # noqa: E402
from peers.pairing_report import write_report  # noqa: E402

families = importlib.import_module("helpers.assignment_families").FAMILIES

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
LARGEST = {"photo patches": 8192, "digits": 4096}
PATIENCE = 36.0
WARMED = 0.3  # seconds of a call, below which it is made twice
RESULTS = ROOT / "benchmarks" / "results" / "pairing_cpu.json"
DEPTH = 3072


def photo_patches(count: int, rng: np.random.Generator) -> np.ndarray:
    """Crops of scikit-learn's two photographs at random places and scales, 32 × 32 × 3, in [-1, 1]."""
    from sklearn.datasets import load_sample_images

    photos = [photo.astype(np.float32) / 127.5 - 1 for photo in load_sample_images().images]
    out = np.empty((count, 32, 32, 3), np.float32)
    for patch in out:
        photo, zoom = photos[rng.integers(2)], int(rng.integers(1, 12))
        top, left = (int(rng.integers(side - 32 * zoom + 1)) for side in photo.shape[:2])
        crop = photo[top : top + 32 * zoom, left : left + 32 * zoom]
        patch[:] = crop.reshape(32, zoom, 32, zoom, 3).mean((1, 3))
    return out.reshape(count, -1)


def digits(count: int, rng: np.random.Generator) -> np.ndarray:
    """Scikit-learn's digits with a little jitter, so that none comes twice, enlarged to d = 3,072."""
    from sklearn.datasets import load_digits

    small = load_digits().images.astype(np.float32)[rng.integers(0, 1797, count)] / 8 - 1
    small += 0.02 * rng.standard_normal(small.shape, dtype=np.float32)
    return np.tile(small.repeat(4, 1).repeat(4, 2).reshape(count, -1), 3)


def against_noise(images: Callable[[int, np.random.Generator], np.ndarray]) -> Callable[..., np.ndarray]:
    """⟨y, ε⟩ of centred images and noise, float32: the matrices of training couplings."""

    def scores(n: int, rng: np.random.Generator) -> np.ndarray:
        rows = images(n, rng)
        return (rows - rows.mean(0)) @ rng.standard_normal((DEPTH, n), dtype=np.float32)

    return scores


IMAGES = {"photo patches": against_noise(photo_patches), "digits": against_noise(digits)}
OTHERS = {
    name: families[name]
    for name in (
        "normal",
        "small integers",
        "large integers",
        "constant",
        "duplicate rows",
        "blocks",
        "geometric",
    )
} | {
    **{name: families[name] for name in ("rank two", "heavy tails", "forbidden pairs")},
    "Machol-Wien": families["Machol-Wien costs"],
}
MEASURED: dict[str, Callable[..., np.ndarray]] = {**IMAGES, **OTHERS}


def timed(function: Callable[[Any], Any], scores: Any) -> tuple[float, Any]:
    """Processor seconds of one call, after one that finds memory cold and from many where one is short; its answer."""
    started = time.thread_time()
    answer = function(scores)
    once = time.thread_time() - started
    if once > WARMED:
        return once, answer
    count = int(5e-3 / max(once, 1e-7)) + 1
    started = time.thread_time()
    for _ in range(count):
        function(scores)
    return (time.thread_time() - started) / count, answer


def turns(seconds: float) -> int:
    """How often a solver comes in turn that takes so long."""
    return 27 if seconds < 0.02 else 9 if seconds < 0.3 else 3 if seconds < 3 else 1


def turn_by_turn(theirs: list[float], ours: list[float]) -> float:
    """How many times longer theirs takes: the median over the turns that both had."""
    return statistics.median(their / our for their, our in zip(theirs, ours, strict=False))


def measure(family: str, n: int, wanted: list[str]) -> dict[str, Any]:
    """Milliseconds of each solver, and whether its total is scipy's."""
    scores = np.ascontiguousarray(MEASURED[family](n, np.random.default_rng(n)))
    taken: dict[str, list[float]] = {name: [] for name in wanted}
    columns: dict[str, np.ndarray] = {}
    while left := [name for name in wanted if len(taken[name]) < turns(min(taken[name], default=0.0))]:
        for name in left:  # in turn: a machine that slows down slows all
            solver = solvers()[name]
            took, answer = timed(solver.solve, solver.prepare(scores))
            taken[name].append(took)
            columns[name] = solver.columns(answer)
    wide = scores.astype(np.float64)
    totals = {name: float(wide[np.arange(n), chosen].sum()) for name, chosen in columns.items()}
    expected = totals.get("scipy", totals.get("brenier", 0.0))
    row = {
        "family": family,
        "n": n,
        "ms": {name: statistics.median(all_) * 1e3 for name, all_ in taken.items()},
        "ratio": {name: turn_by_turn(taken[name], taken["brenier"]) for name in wanted if name != "brenier"},
    }
    row["difference"] = {
        name: abs(total - expected) / max(abs(expected), 1e-300) for name, total in totals.items()
    }
    print(family, n, {name: float(f"{ms:.4g}") for name, ms in row["ms"].items()}, flush=True)
    return row


def measure_family(family: str, sizes: list[int], names: list[str], patience: float) -> list[dict[str, Any]]:
    """All sizes, leaving out peers that have become too slow: eight to nine times the time for twice the rows."""
    rows: list[dict[str, Any]] = []
    left = list(names)
    for n in sorted(sizes):
        if rows:
            growth = (n / rows[-1]["n"]) ** 3.1
            left = [
                name for name in left if name == "scipy" or rows[-1]["ms"][name] * growth < patience * 1e3
            ]
        rows.append(measure(family, n, left))
    return rows


def machine() -> dict[str, Any]:
    with open("/proc/cpuinfo") as info:
        models = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
    return {
        "processor": models[0] if models else "unknown",
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {
            name: version(name) for name in ("brenier", "scipy", "numpy", "lapx", "lapjv", "ortools", "POT")
        },
        "date": datetime.date.today().isoformat(),
    }


def version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS}, the table and the plot")
    parser.add_argument("--quick", action="store_true", help="up to 2,048 rows, without memory and training")
    parser.add_argument(
        "--keep-times", action="store_true", help="only memory and training; saved times stay"
    )
    parser.add_argument("--rows", default=",".join(map(str, SIZES)))
    parser.add_argument("--families", default="images", help="images, all, or names")
    asked = parser.parse_args()
    sizes = [int(n) for n in asked.rows.split(",") if not asked.quick or int(n) <= 2048]
    named = {"images": list(IMAGES), "all": list(MEASURED)}.get(asked.families) or asked.families.split(",")
    rows: list[dict[str, Any]] = []
    for family in () if asked.keep_times else named:
        names = list(solvers()) if family in IMAGES else ["brenier", "scipy"]
        within = [n for n in sizes if n <= LARGEST.get(family, 2048)]
        rows += measure_family(family, within, names, PATIENCE)
    found: dict[str, Any] = {"machine": machine(), "rows": rows}
    if asked.keep_times:
        found = json.loads(RESULTS.read_text())
    if not asked.quick:
        from peers.pairing_training import memory, training_overhead

        found |= {"memory": memory(4096), "training": training_overhead(photo_patches)}
        print(json.dumps({name: found[name] for name in ("memory", "training")}, indent=1))
    if asked.save:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        write_report(found, ROOT / "docs")


if __name__ == "__main__":
    main()
