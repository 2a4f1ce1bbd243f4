"""Exact assignment on the CPU: brenier.solve_assignment beside scipy (and lapx where it is installed).

    python benchmarks/pairing_cpu.py [--large] [--save] [--rows 64,256] [--families photo,normal]

One matrix per family and size, the same for all. Median processor time of five runs taken in turn (three
where scipy takes more than a second, one where more than ten): every solver here runs in the calling thread,
and a shared machine would otherwise be measured instead. Scores are maximised. `difference` is the relative
one of our total from scipy's.
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

import brenier
import numpy as np
from scipy.optimize import linear_sum_assignment
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
families = importlib.import_module("helpers.assignment_families").FAMILIES

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
RESULTS = Path(__file__).parent / "results" / "pairing_cpu.json"
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


MEASURED: dict[str, Callable[..., np.ndarray]] = {
    "photo patches": against_noise(photo_patches),
    "digits": against_noise(digits),
    **{
        name: families[name]
        for name in ("normal", "small integers", "large integers", "constant", "duplicate rows", "blocks")
    },
    **{name: families[name] for name in ("geometric", "rank two", "heavy tails", "forbidden pairs")},
    "Machol-Wien": families["Machol-Wien costs"],
}


LAPX_UP_TO = 1024  # it takes minutes beyond, on some families


def solvers(n: int) -> dict[str, Callable[[np.ndarray], Any]]:
    """Name -> a function from scores to the column of each row."""
    found: dict[str, Callable[[np.ndarray], Any]] = {
        "scipy": lambda scores: linear_sum_assignment(scores, maximize=True)[1],
        "brenier": lambda scores: brenier.solve_assignment(scores).permutation,
    }
    if n > LAPX_UP_TO:
        return found
    try:
        lapx = importlib.import_module("lap")
        found["lapx lapjvx"] = lambda scores: lapx.lapjvx(-scores)[2]
    except ImportError:
        pass
    return found


def timed(function: Callable[[np.ndarray], Any], scores: np.ndarray) -> tuple[float, Any]:
    """Seconds of one call, from many where one is too short for the clock, and its answer."""
    started = time.thread_time()
    answer = function(scores)
    once = time.thread_time() - started
    if once > 1e-3:
        return once, answer
    count = int(2e-3 / once) + 1
    started = time.thread_time()
    for _ in range(count):
        function(scores)
    return (time.thread_time() - started) / count, answer


def measure(family: str, n: int) -> dict[str, Any]:
    scores = np.ascontiguousarray(MEASURED[family](n, np.random.default_rng(n)))
    seconds: dict[str, list[float]] = {name: [] for name in solvers(n)}
    totals = {}
    wide = scores.astype(np.float64)
    for round_ in range(5):
        slowest = max(seconds["scipy"], default=0.0)
        if (slowest > 1 and round_ >= 3) or (slowest > 10 and round_ >= 1):
            break
        for name, function in solvers(n).items():
            took, columns = timed(function, scores)
            seconds[name].append(took)
            totals[name] = float(wide[np.arange(n), columns].sum())
    row: dict[str, Any] = {"family": family, "n": n}
    row |= {f"{name} ms": statistics.median(taken) * 1e3 for name, taken in seconds.items()}
    row["scipy / brenier"] = row["scipy ms"] / row["brenier ms"]
    row["difference"] = abs(totals["brenier"] - totals["scipy"]) / max(abs(totals["scipy"]), 1e-300)
    return row


def machine() -> dict[str, Any]:
    with open("/proc/cpuinfo") as info:
        models = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
    packages = ("brenier", "scipy", "numpy", "torch")
    return {
        "processor": models[0] if models else "unknown",
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "date": datetime.date.today().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--large", action="store_true", help="also 4,096 rows, images only")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS}")
    parser.add_argument("--rows", default=",".join(map(str, SIZES)))
    parser.add_argument("--families", default=",".join(MEASURED))
    asked = parser.parse_args()
    cases = [(family, int(n)) for n in asked.rows.split(",") for family in asked.families.split(",")]
    cases += [(family, 4096) for family in ("photo patches", "digits")] if asked.large else []
    rows = []
    for family, n in cases:
        rows.append(measure(family, n))
        print(
            *(f"{value:.4g}" if isinstance(value, float) else value for value in rows[-1].values()),
            flush=True,
        )
    print(tabulate(rows, headers="keys", floatfmt=".3g"))
    if asked.save:
        RESULTS.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
