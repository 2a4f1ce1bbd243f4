"""The constants of the CPU engine's cost model (python/brenier/engine/filters.py), measured on this machine.

    python benchmarks/filter_costs.py [--repeats 5]

Everything is process CPU time with one thread, the least of the repetitions, in multiply-adds of the float32 tile; the
float32 tile is timed beside each measurement. Prints the constants as they stand in filters.py.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from brenier.engine import int8
from brenier.engine.cpu import CpuEngine, PackedNoise
from brenier.engine.native import Body, Int8Body, choose_body, core, int8_bodies
from brenier.engine.rotation import rotation
from torch import Tensor

ROWS, DEPTH = 768, 64
TILES = 10_000  # in a calibration
BITS = {"int16": 16, "int8": 8}


def cpu_seconds(run: Callable[[], object], repeats: int) -> float:
    run()
    best = math.inf
    for _ in range(repeats):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def tile_rate(bits: int, body: Body, repeats: int) -> float:
    """Multiply-adds per second of a tile."""
    run, index = (
        (core().calibrate, body.index) if bits == 32 else (core().calibrate8, integers(bits, body).index)
    )
    return float(run(index, TILES)) / cpu_seconds(lambda: run(index, TILES), repeats)


def integers(bits: int, body: Body) -> Int8Body:
    return next(row for row in int8_bodies(body.name, bits) if row.fast)


def normal(rows: int, depth: int) -> Tensor:
    return torch.randn(rows, depth, generator=torch.Generator().manual_seed(rows + depth))


def assign_seconds(name: str, y: Tensor, repeats: int) -> tuple[float, float]:
    """Seconds of assign with that filter per row, packing included, and how many pairs a row left to float64."""
    os.environ["BRENIER_CPU_FILTER"] = name
    engine, x, h = CpuEngine(), normal(ROWS, y.shape[1]), torch.zeros(len(y), dtype=torch.float64)
    packed = engine.prepare(y)
    seconds = cpu_seconds(lambda: engine.assign(x, packed, h), repeats) / ROWS
    del os.environ["BRENIER_CPU_FILTER"]
    return seconds, packed.measured.get((name, "certified"), 0.0) * len(y)


def overheads(name: str, rate: float, repeats: int) -> tuple[float, float]:
    """Per pair, in multiply-adds of the filter's own tile, and per row, in seconds: from two numbers of targets."""
    few, many = 6_000, 36_000
    seconds = [assign_seconds(name, normal(targets, DEPTH), repeats)[0] for targets in (few, many)]
    slope = (seconds[1] - seconds[0]) / (many - few)
    return slope * rate - DEPTH, seconds[0] - slope * few


def rescoring(rate: float, repeats: int) -> tuple[float, float]:
    """Per depth and once, of a pair that int8 leaves to float64: every target eight times, against none twice."""
    costs = {}
    for depth in (64, 1024):
        one, eight = normal(6_000, depth), normal(750, depth).repeat(8, 1)
        plain, copies = (assign_seconds("int8", y, repeats) for y in (one, eight))
        costs[depth] = (copies[0] - plain[0]) / (copies[1] - plain[1])
    slope = max(0.0, costs[1024] - costs[64]) / (1024 - 64)
    return slope * rate, max(0.0, costs[64] - 64 * slope) * rate


def packing(name: str, body: Body, rate: float, repeats: int) -> float:
    """Per value of noise packed, at depth 1024."""
    x, y = normal(ROWS, 1024), CpuEngine().prepare(normal(64, 1024))
    if name == "fp32":
        seconds = cpu_seconds(lambda: PackedNoise(x, y.floats(), 0), repeats)
    else:
        packed = int8.pack_targets(y.source, integers(BITS[name], body), body)
        assert packed is not None
        seconds = cpu_seconds(lambda: int8.Int8Noise(x, packed), repeats)
    return seconds / x.numel() * rate


def turning(body: Body, rate: float, repeats: int) -> float:
    """Per value rotated and power of two of the depth."""
    x, turn = normal(ROWS, 1024), rotation(1024, body)
    run = lambda: turn.apply(x, None, turn.noise, integers(8, body))  # noqa: E731
    return cpu_seconds(run, repeats) / x.numel() / 10 * rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    os.environ["BRENIER_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    body = choose_body()
    rate = tile_rate(32, body, repeats)
    rates = {"fp32": rate, **{name: tile_rate(bits, body, repeats) for name, bits in BITS.items()}}
    print("load", np.round(os.getloadavg(), 1), f" float32 tile {2e-9 * rate:.0f} GFLOP/s on one thread")
    print("SPEED =", {name: round(value / rate, 1) for name, value in rates.items()})
    found = {name: overheads(name, rates[name], repeats) for name in rates}
    print("PAIR =", {name: round(pair, 1) for name, (pair, _) in found.items()})
    print("ROW =", {name: round(row * rate, -2) for name, (_, row) in found.items()})
    print("RESCORE =", tuple(round(value, 1) for value in rescoring(rate, repeats)))
    print("PACK =", {name: round(packing(name, body, rate, repeats), 1) for name in rates})
    print("TURN =", round(turning(body, rate, repeats), 1))


if __name__ == "__main__":
    main()
