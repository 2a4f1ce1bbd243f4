"""What pairing costs beside its own time: memory, and training steps while the next pool is paired."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

POOL, BATCH, STEPS, REPEATS = 2048, 64, 32, 8


def high_water() -> float:
    """MB of memory this process has held at most."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def _memory_of(name: str, n: int, answer: Any) -> None:
    from peers.assignment import solvers

    scores = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
    solver = solvers()[name]
    solver.solve(solver.prepare(scores[:200, :200].copy()))
    given = solver.prepare(scores)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the high water mark starts again from here
    before = high_water()
    solver.solve(given)
    answer.put(high_water() - before)


def memory(n: int) -> dict[str, Any]:
    """MB that solving takes beyond the costs in the type the solver takes, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    found: dict[str, Any] = {"n": n, "scores MB": n * n * 4 / 2**20}
    for name in ("brenier", "scipy", "lapx lapjvr", "lapjv"):
        answer = context.Queue()
        child = context.Process(target=_memory_of, args=(name, n, answer))
        child.start()
        found[name] = round(answer.get(timeout=120), 1)
        child.join()
    return found


def training_overhead(images: Callable[[int, np.random.Generator], np.ndarray]) -> dict[str, Any]:
    """Seconds a step of the EDM trainer with paired and with independent noise, a small U-Net on 3 × 32 × 32.

    From the first step's end to the 32nd's, in which the paired run pairs one pool of 2,048 in the background;
    paired runs between runs with independent noise, to the mean of whose times each is compared, because the speed
    of the machine drifts: the overhead is the median, with the range beside it. The share of processor time is
    that of one pool in that of 32 steps: it is what remains where the network runs on the processor too, and does
    not depend on what else the machine does.
    """
    from brenier.pair import PairedPool

    data = torch.from_numpy(images(2 * POOL, np.random.default_rng(0)).reshape(-1, 32, 32, 3))
    data = data.permute(0, 3, 1, 2).contiguous()
    runs = [_steps(data, ("independent", "aot")[turn % 2]) for turn in range(2 * REPEATS + 1)]
    wall, processor = [seconds for seconds, _ in runs], [busy for _, busy in runs[::2]]
    overheads = [2 * wall[turn] / (wall[turn - 1] + wall[turn + 1]) - 1 for turn in range(1, len(runs), 2)]
    pool = PairedPool(data, POOL, BATCH, background=False)
    next(pool)
    pool.position = POOL
    began = time.process_time()
    next(pool)
    pairing = time.process_time() - began
    return {
        "pool": POOL,
        "batch": BATCH,
        "seconds a step": {
            "independent": statistics.median(wall[::2]),
            "aot": statistics.median(wall[1::2]),
        },
        "overhead in wall time": statistics.median(overheads),
        "least and most": [min(overheads), max(overheads)],
        "processor seconds a pool": pairing,
        "processor seconds a step": statistics.median(processor),
        "overhead in processor time": pairing / (POOL // BATCH) / statistics.median(processor),
    }


def _steps(data: torch.Tensor, coupling: Any) -> tuple[float, float]:
    """Wall and processor seconds a step."""
    from brenier.diffusion.networks import SmallUNet
    from brenier.diffusion.train import train_edm

    marks: list[tuple[float, float]] = []
    train_edm(
        SmallUNet(3, 32),
        data,
        coupling=coupling,
        steps=STEPS,
        batch=BATCH,
        pool=POOL,
        progress=False,
        callback=lambda *_: marks.append((time.perf_counter(), time.process_time())),
    )
    (first, busy_first), (last, busy_last) = marks[0], marks[-1]
    return (last - first) / (STEPS - 1), (busy_last - busy_first) / (STEPS - 1)
