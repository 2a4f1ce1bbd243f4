"""assign on the CPU against a blocked product and maximum in torch and in numpy: speed, and wrong winners.

    python benchmarks/assign_cpu.py [--save]

GFLOP/s = 2·N·n·d / median time. Mismatches are counted against the float64 reference on a sample of rows.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from brenier.data import Stream, normal
from brenier.engine.cpu import CpuEngine
from brenier.engine.reference import ReferenceEngine
from brenier.engine.threads import thread_count
from tabulate import tabulate
from torch import Tensor

SHAPES = ((8192, 1797, 64), (4096, 10_000, 256), (1024, 5000, 3072))
SAMPLE = 64
ROWS = 512
Winners = Callable[[], Tensor]


def by_torch(x: Tensor, y: Tensor, h: Tensor) -> Winners:
    """Float32 product and maximum, a block of rows at a time."""
    bias = h.float()
    return lambda: torch.cat([(block @ y.T + bias).argmax(dim=1) for block in x.split(ROWS)])


def by_numpy(x: Tensor, y: Tensor, h: Tensor) -> Winners:
    a, b, bias = x.numpy(), y.numpy().T.copy(), h.float().numpy()
    blocks = range(0, len(a), ROWS)
    return lambda: torch.from_numpy(
        np.concatenate([(a[lo : lo + ROWS] @ b + bias).argmax(axis=1) for lo in blocks])
    )


def by_brenier(x: Tensor, y: Tensor, h: Tensor) -> Winners:
    engine = CpuEngine()
    packed = engine.prepare(y)
    return lambda: engine.assign(x, packed, h)[0]


def candidates_by_brenier(x: Tensor, y: Tensor, h: Tensor) -> Winners:
    """With a margin that keeps a few per row; its first best is the winner."""
    engine = CpuEngine()
    packed = engine.prepare(y)
    margin = 0.3 * float(y.norm(dim=1).mean())

    def first_best() -> Tensor:
        found = engine.candidates(x, packed, h, margin)
        edges = found.offsets[: SAMPLE + 1].tolist()
        best = [lo + int(found.scores[lo:hi].argmax()) for lo, hi in itertools.pairwise(edges)]
        return found.indices[best]

    return first_best


METHODS = {
    "torch": by_torch,
    "numpy": by_numpy,
    "brenier assign": by_brenier,
    "brenier candidates": candidates_by_brenier,
}


def times(run: Winners, repeats: int) -> tuple[list[float], float]:
    """Seconds of each run, and the median of the processor seconds (all threads), which load disturbs less."""
    run()
    seconds, busy = [], []
    for _ in range(repeats):
        start, busy_start = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - start)
        busy.append(time.process_time() - busy_start)
    return seconds, statistics.median(busy)


def measure(shape: tuple[int, int, int], repeats: int) -> list[dict[str, Any]]:
    """One row per method."""
    rows, targets, depth = shape
    x = normal(0, 0, rows, depth, stream=Stream.PROBE)
    y = normal(1, 0, targets, depth, stream=Stream.PROBE)
    h = -3.0 * y.double().norm(dim=1)
    expected, _ = ReferenceEngine().assign(x[:SAMPLE], y, h)
    results = []
    for name, method in METHODS.items():
        run = method(x, y, h)
        seconds, busy = times(run, repeats)
        work = 2 * rows * targets * depth / 1e9
        median = statistics.median(seconds)
        results.append(
            {
                "shape": "x".join(map(str, shape)),
                "method": name,
                "GFLOP/s": round(work / median, 1),
                "per CPU second": round(work / busy, 1),
                "ms": round(1e3 * median, 2),
                "spread": round((max(seconds) - min(seconds)) / median, 2),
                "wrong of 64": int((run()[:SAMPLE] != expected).sum()),
            }
        )
    return results


def machine() -> dict[str, Any]:
    return {
        "machine": processor(),
        "load": os.getloadavg()[0],
        "threads": thread_count(),
        "body": CpuEngine().detail(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "date": date.today().isoformat(),
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/assign_cpu.json")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(thread_count())
    rows = [row for shape in SHAPES for row in measure(shape, options.repeats)]
    print(tabulate(rows, headers="keys"))
    if options.save:
        path = Path(__file__).parent / "results" / "assign_cpu.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({**machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
