"""assign on the CPU against the best of torch, numpy, faiss and scikit-learn: speed, and wrong winners.

    python benchmarks/assign_cpu.py [--scale 0.25] [--repeats 5] [--patience 120] [--only NAME] [--save]

GFLOP/s = 2·N·n·d / median time, packing of x included. Engine and peers take turns, because the speed of the machine
drifts; a ratio is the median over the turns. Every repetition stands between two short runs of the int8 tile; where
those fall below 85% of the best, the repetition is disturbed and is done again (three times at most, and while the
seconds thrown away stay below --patience). Winners are compared with those of float64 products on a sample
of rows. --save writes benchmarks/results/assign_cpu.json and the table and roofline of docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import torch
from brenier.engine.cpu import CpuEngine
from brenier.engine.native import choose_body, core, int8_bodies
from brenier.engine.threads import run as on_all_threads
from brenier.engine.threads import thread_count
from cpu_pages import save
from cpu_peers import CASES, Case, Winners, exact_winners, peers, problem
from tabulate import tabulate
from torch import Tensor

SAMPLE = 64
UNDISTURBED = 0.85
ATTEMPTS = 3
TILES = 10_000  # in a calibration


def tile_speed(bits: int) -> float:
    """GFLOP/s of the register tile alone on all threads for some 10 ms: the instruction peak, or disturbed."""
    body = choose_body()
    integers = [each for each in int8_bodies(body.name, bits) if each.fast] if bits < 32 else []
    if bits < 32 and not integers:
        return 0.0
    calibrate = core().calibrate if bits == 32 else core().calibrate8
    index = body.index if bits == 32 else integers[0].index
    start = time.perf_counter()
    work = sum(on_all_threads(lambda _: calibrate(index, TILES), range(thread_count())))
    return 2e-9 * float(work) / (time.perf_counter() - start)


@dataclass
class Clock:
    """Times runs between calibrations, and remembers the best calibration of the session."""

    patience: float  # seconds that may still be thrown away
    best: float = 0.0
    disturbed: int = 0
    calibrations: list[float] = field(default_factory=list)

    def calibrate(self) -> float:
        speed = tile_speed(8) or tile_speed(32)
        self.calibrations.append(speed)
        self.best = max(self.best, speed)
        return speed

    def once(self, run: Callable[[], Any]) -> float:
        seconds = []
        for _ in range(ATTEMPTS):
            before = self.calibrate()
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
            if min(before, self.calibrate()) >= UNDISTURBED * self.best:
                return seconds[-1]
            self.disturbed += 1
            self.patience -= seconds[-1]
            if self.patience < 0:
                break
        return min(seconds)

    def median(self, run: Callable[[], Any], repeats: int) -> float:
        """Of a run that has run before."""
        return statistics.median(self.once(run) for _ in range(repeats))

    def turns(self, runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
        """Seconds of runs that take turns."""
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(repeats):
            for name, run in runs.items():
                seconds[name].append(self.once(run))
        return seconds


@contextmanager
def environment(name: str, value: str | None) -> Iterator[None]:
    """That variable set (None: unset), then as it was."""
    before = os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def ours(case: Case, x: Tensor, y: Tensor, h: Tensor) -> tuple[Winners, dict[str, Any]]:
    """A run of the case, and what is known once it ran: filter, survivors, bytes, seconds of packing y."""
    engine = CpuEngine()
    start = time.perf_counter()
    prepared = engine.prepare(y)
    chosen = prepared.ahead(len(x), case.exact)
    packing = time.perf_counter() - start

    def run() -> Tensor:
        targets = engine.prepare(y) if case.includes_packing else prepared
        return engine.assign(x, targets, h, case.exact)[0]

    tracemalloc.start()
    engine.assign(x, prepared, h, case.exact)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    share = prepared.measured.get((chosen, case.exact))
    return run, {
        "filter": chosen,
        "survivors per row": None if share is None else round(share * len(y), 1),
        "MB allocated": round(peak / 1e6, 1),
        "pack y, s": round(packing, 3),
    }


@cache
def first_rates() -> dict[tuple[int, int, int, str], dict[str, float]]:
    """Of all peers on a quarter of the rows of shapes met already in this run."""
    return {}


def seconds_of(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def best_peers(case: Case, data: tuple[Tensor, Tensor, Tensor], work: float) -> dict[str, Callable[[], Any]]:
    """The two that are fastest on a quarter of the rows."""
    x, y, h = data
    rates = first_rates().setdefault(case.data, {})
    if not rates:
        few = x[: -(-len(x) // 4)]
        rates.update({name: work / (4 * seconds_of(make(few, y, h))) for name, make in peers().items()})
    fastest = sorted(rates, key=lambda name: -rates[name])[:2]
    return {name: peers()[name](x, y, h) for name in fastest}


def median_ratio(theirs: list[float], ours: list[float]) -> float:
    """Of runs side by side."""
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def measure(case: Case, scale: float, repeats: int, clock: Clock) -> dict[str, Any]:
    """One row of the table."""
    x, y, h = problem(case.rows, case.targets, case.depth, case.kind, scale)
    expected = exact_winners(case.rows, case.targets, case.depth, case.kind, scale, SAMPLE)
    work = 2e-9 * len(x) * len(y) * case.depth
    with environment("BRENIER_CPU_FILTER", case.filter):
        run, facts = ours(case, x, y, h)
        bits = {"fp32": 32, "int16": 16, "int8": 8}[facts["filter"]]
        rivals = best_peers(case, (x, y, h), work)
        since = len(clock.calibrations)
        wrong = int((run()[:SAMPLE] != expected).sum())
        seconds = clock.turns({"brenier": run, **rivals}, repeats)
        peak = statistics.median(tile_speed(bits) for _ in range(3))
        brackets = clock.calibrations[since:]
    own = seconds["brenier"]
    ratios = {name: median_ratio(seconds[name], own) for name in rivals}
    best = min(ratios, key=lambda name: ratios[name])
    rates = {name: work / statistics.median(each) for name, each in seconds.items()}
    return {
        "case": case.name,
        "shape": f"{len(x)} x {len(y)} x {case.depth}",
        "GFLOP/s": round(rates["brenier"], 1),
        "best peer": best,
        "its GFLOP/s": round(rates[best], 1),
        "ratio": round(ratios[best], 2),
        "goal": case.goal,
        f"wrong of {SAMPLE}": wrong,
        **facts,
        "share of its peak": round(rates["brenier"] / peak, 2),
        "calibrations": f"{min(brackets):.0f} to {max(brackets):.0f}",
        "peers": {name: round(rate, 1) for name, rate in {**first_rates()[case.data], **rates}.items()},
        "bytes of input": 4 * (x.numel() + y.numel()),
    }


def scaling(case: Case, scale: float, clock: Clock) -> dict[str, float]:
    """Seconds of the case with one thread and with two."""
    x, y, h = problem(case.rows, case.targets, case.depth, case.kind, scale)
    engine = CpuEngine()
    prepared = engine.prepare(y)
    seconds = {}
    for threads in ("1", "2"):
        with environment("BRENIER_NUM_THREADS", threads):
            seconds[threads] = clock.median(lambda: engine.assign(x, prepared, h), 3)
    return {"1 thread, s": seconds["1"], "2 threads, s": seconds["2"], "ratio": seconds["1"] / seconds["2"]}


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
    return {
        "machine": names[0] if names else platform.processor(),
        "load": os.getloadavg()[0],
        "threads": thread_count(),
        "engine": CpuEngine().detail(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of rows and targets")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--patience", type=float, default=120.0, help="seconds to spend on disturbed runs")
    parser.add_argument("--only", help="cases whose name contains this")
    options = parser.parse_args()
    torch.set_num_threads(thread_count())
    clock = Clock(options.patience)
    began = time.perf_counter()
    cases = [case for case in CASES if not options.only or options.only in case.name]
    rows = []
    for case in cases:
        print(f"{case.name} ({time.perf_counter() - began:.0f} s)", flush=True)
        rows.append(measure(case, options.scale, options.repeats, clock))
        print(tabulate([{k: v for k, v in rows[-1].items() if k != "peers"}], headers="keys"), flush=True)
    record = {
        **machine(),
        "peaks": {str(bits): round(max(tile_speed(bits) for _ in range(5)), 1) for bits in (32, 16, 8)},
        "calibration": {"best": clock.best, "median": statistics.median(clock.calibrations)},
        "disturbed": clock.disturbed,
        "scale": options.scale,
        "seconds": round(time.perf_counter() - began),
        "scaling": scaling(cases[0], min(options.scale, 0.25), clock),
        "cases": [asdict(case) for case in cases],
        "rows": rows,
    }
    print({k: record[k] for k in ("peaks", "calibration", "disturbed", "scaling", "seconds")})
    if options.save:
        save(record)


if __name__ == "__main__":
    main()
