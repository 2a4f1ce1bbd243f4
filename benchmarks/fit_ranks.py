"""What a rank of a shared fit works: processor time of each of two gloo ranks against one process.

    python benchmarks/fit_ranks.py [--scale 1] [--only streamed] [--turns 3] [--save]     # saved problem after problem

Each problem is fitted in new processes, one thread each: by one process alone, of which two run at the same time so
that caches and memory are as busy as with two ranks, then by two ranks of torch.distributed on this machine. Printed:
the processor seconds of the fit in each process (user and system, without imports and the making of targets), how
many times less the busier of the two ranks works than the two alone on average, and whether heights are the same bit
for bit. Elapsed times are those of two processes on as many processors as the machine has free. Of several turns the
one of the median ratio is kept, beside the ratios of all.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import brenier
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from brenier.data import ArraySource
from brenier.report.record import new_record, write_record
from tabulate import tabulate

RESULTS = Path(__file__).parent / "results" / "fit_ranks.json"
GOAL = 1.7
PROBLEMS = {  # (n, d), tolerance, bytes a fit may use: fewer than the targets need are streamed
    "in memory, full dimension": ((12_000, 128), 0.015, None),
    "in memory, subspaces": ((6_000, 6_144), 0.05, None),
    "streamed": ((8_000, 12_288), 0.03, 900 << 20),
}


def image_like(n: int, d: int) -> torch.Tensor:
    """Targets whose deviations fall like k^-0.8, plus a little white noise."""
    generator = torch.Generator().manual_seed(1)
    deviations = torch.arange(1.0, d + 1).pow(-0.8).mul_(d**0.5)
    return torch.randn(n, d, generator=generator).mul_(deviations) + 0.1 * torch.randn(
        n, d, generator=generator
    )


def one_rank(rank: int, world: int, folder: str, name: str, scale: float) -> None:
    os.environ |= {"BRENIER_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    (n, d), tol, max_memory = PROBLEMS[name]
    targets = image_like(max(64, int(scale * n)), d)
    source = targets if max_memory is None else ArraySource(targets)
    brenier.fit(torch.eye(8), tol=1.0, progress=False)  # imports, and the ranks' first meeting
    began, worked = time.perf_counter(), time.process_time()
    result = brenier.fit(source, tol=tol, max_memory=max_memory, progress=False)
    figures = {"processor": time.process_time() - worked, "elapsed": time.perf_counter() - began}
    figures |= {"error": result.error, "samples": result.samples, "sampling": result.sampling}
    torch.save((figures, result.potential.heights), f"{folder}/{world}.{rank}")


def measure(name: str, scale: float) -> dict[str, object]:
    """One row: the fit alone, twice at once; the fit by two ranks."""
    with tempfile.TemporaryDirectory() as folder:
        for world in (1, 2):
            mp.spawn(one_rank, (world, folder, name, scale), nprocs=2)
        (alone, whole), (again, _), *ranks = (
            torch.load(f"{folder}/{which}", weights_only=True) for which in ("1.0", "1.1", "2.0", "2.1")
        )
    both = [figures["processor"] for figures in (alone, again)]
    busier = max(figures["processor"] for figures, _ in ranks)
    n, d = PROBLEMS[name][0]
    return {
        "problem": name,
        "targets": max(64, int(scale * n)),
        "dimension": d,
        "tol": PROBLEMS[name][1],
        **{key: alone[key] for key in ("sampling", "error", "samples")},
        "processor_alone": sum(both) / 2,
        "processor_of_both_alone": both,
        "processor_of_ranks": [figures["processor"] for figures, _ in ranks],
        "times_less": sum(both) / 2 / busier,
        "elapsed_alone": alone["elapsed"],
        "elapsed_of_ranks": max(figures["elapsed"] for figures, _ in ranks),
        "same_bits": all(torch.equal(heights, whole) for _, heights in ranks),
    }


def median_turn(name: str, scale: float, turns: int) -> dict[str, object]:
    """The row whose ratio is the median, the lower one of two."""
    rows = sorted((measure(name, scale) for _ in range(turns)), key=lambda row: row["times_less"])
    return rows[(turns - 1) // 2] | {"times_less_of_all": [row["times_less"] for row in rows]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of targets")
    parser.add_argument("--only", choices=list(PROBLEMS), help="the others keep their saved rows")
    parser.add_argument("--turns", type=int, default=1, help="of each problem")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS}")
    asked = parser.parse_args()
    settings = {"command": " ".join(["python benchmarks/fit_ranks.py", *sys.argv[1:]])}
    saved = json.loads(RESULTS.read_text())["rows"] if asked.only and RESULTS.exists() else []
    rows = {row["problem"]: row for row in saved}
    for name in [asked.only] if asked.only else PROBLEMS:
        rows[name] = median_turn(name, asked.scale, asked.turns) | settings
        print(tabulate([rows[name].values()], headers=list(rows[name]), floatfmt=".3g"), flush=True)
        if asked.save:
            write_record(
                RESULTS, new_record("fit_ranks", settings) | {"goal": GOAL, "rows": [*rows.values()]}
            )
    print(f"goal: each rank at least {GOAL} times less work, the same bits")


if __name__ == "__main__":
    main()
