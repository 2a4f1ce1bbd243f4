"""The table of `brenier bench --device cuda`: assign, with counts, against what one would write in torch.

Every ratio is of medians in one run, on random data; a row says what it is measured against, the ratio, and the goal.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

import brenier
from brenier.engine.registry import load, why_unavailable
from brenier.report.clock import Clock, Timing

ENGINES = ("triton", "cuda")
DATASHEET = {"H100": 989.4, "H200": 989.4, "A100": 312.0, "B200": 2250.0}
"""Dense fp16 TFLOP/s, as sold."""
FILTER = "BRENIER_GPU_FILTER"
SAMPLE = 64
WORTH_KEEPING = 1.1
"""CUDA's rate over Triton's, below which there is no use in two kernels."""

LISTS = 2560
"""Bytes of a row's list, bounds and answer, at most."""

ELEMENTS_AT_ONCE = 1 << 28  # of a blocked torch product

Problem = tuple[Tensor, Tensor, Tensor]
Contender = Callable[[Tensor, Tensor, Tensor], Any]


@dataclass(frozen=True)
class Case:
    """One shape: whose rate ours is compared with, and the least ratio wanted of each engine."""

    name: str
    shape: tuple[int, int, int]  # N, n, d
    dtype: torch.dtype
    against: dict[str, float]  # rival -> our goal, as a ratio of rates
    peak: dict[str, float]  # engine -> share of the tensor cores' peak wanted
    filters: tuple[str, ...] = ()  # engines once more with that filter, "triton:int8"


LARGE, MIDDLE, SMALL = (65536, 65536, 3072), (65536, 65536, 128), (65536, 65536, 64)
NARROW_PEAK = {MIDDLE: {"triton": 0.6, "cuda": 0.85}, SMALL: {"triton": 0.45, "cuda": 0.75}}
CASES = [
    Case("large d", LARGE, torch.float16, {"product": 0.85}, {}),
    Case("large d", LARGE, torch.bfloat16, {"product": 0.85}, {}),
    *(
        Case("subspace", shape, torch.float16, {"product": 2.0, "blocked": 8.0}, peak)
        for shape, peak in NARROW_PEAK.items()
    ),
    Case("many targets", (4096, 1_000_000, 4096), torch.float16, {"blocked": 1.3}, {}),
    Case("certified fp32", LARGE, torch.float32, {"blocked": 8.0, "bf16 product": 1.3}, {}, ("triton:int8",)),
]


def problem(case: Case, device: str, seed: int) -> Problem:
    """Normal noise and targets, and heights near equal chances."""
    rows, targets, depth = case.shape
    generator = torch.Generator(device).manual_seed(seed)
    x = torch.randn(rows, depth, device=device, generator=generator).to(case.dtype)
    y = torch.randn(targets, depth, device=device, generator=generator).to(case.dtype)
    z = float(torch.special.ndtri(torch.tensor(1 - 1 / max(2, targets), dtype=torch.float64)))
    return x, y, -z * torch.linalg.vector_norm(y, dim=1, dtype=torch.float32).double()


def block_of(y: Tensor) -> int:
    return max(1, ELEMENTS_AT_ONCE // len(y))


def blocked(x: Tensor, y: Tensor, h: Tensor) -> Tensor:
    """Product, bias and maximum in blocks of rows, in the inputs' own type."""
    bias = h.to(x.dtype)
    return torch.cat([(block @ y.T + bias).max(dim=1).indices for block in x.split(block_of(y))])


def product_of(x: Tensor, y: Tensor) -> Callable[[], Any]:
    """The bare product with its output in memory: all of it where that fits, else in as few blocks as fit."""
    bytes_of_row = len(y) * x.element_size()
    room = torch.cuda.mem_get_info()[0] // 2 if x.is_cuda else 1 << 30
    out = torch.empty(min(len(x), max(1, room // bytes_of_row)), len(y), dtype=x.dtype, device=x.device)

    def run() -> None:
        for block in x.split(len(out)):
            torch.mm(block, y.T, out=out[: len(block)])

    return run


def rival(name: str, given: Problem, compiled: bool) -> Callable[[], Any]:
    """One rival as a call without arguments."""
    x, y, h = given
    if name == "product":
        return product_of(x, y)
    if name == "bf16 product":
        return product_of(x.bfloat16(), y.bfloat16())
    if not compiled:
        return lambda: blocked(x, y, h)
    fused = torch.compile(lambda block, y, bias: (block @ y.T + bias).max(dim=1).indices, dynamic=False)
    bias = h.to(x.dtype)
    return lambda: [fused(block, y, bias) for block in x.split(block_of(y))]


def ours(engine: str, given: Problem) -> tuple[Callable[[], Any], Tensor]:
    """Our call with prepared targets and counts, and the counts that it adds to."""
    x, y, h = given
    prepared = brenier.prepare(y, engine=engine.partition(":")[0])
    counts = torch.zeros(len(y), dtype=torch.int64, device=y.device)
    return lambda: brenier.assign(x, prepared, h, counts=counts), counts


@contextmanager
def filter_of(engine: str) -> Iterator[None]:
    """BRENIER_GPU_FILTER as the name asks, "engine:filter"; as it is where it asks for none."""
    wanted, before = engine.partition(":")[2], os.environ.get(FILTER)
    if wanted:
        os.environ[FILTER] = wanted
    try:
        yield
    finally:
        if before is not None:
            os.environ[FILTER] = before
        elif wanted:
            del os.environ[FILTER]


def mismatches(winners: Tensor, given: Problem) -> int:
    """Rows of a sample whose winner is not the reference's."""
    x, y, h = given
    rows = torch.linspace(0, len(x) - 1, min(SAMPLE, len(x))).long().to(x.device)
    expected, _ = load("reference").assign(x[rows], y, h)
    return int((winners[rows] != expected).sum())


def tflops(case: Case, timing: Timing) -> float:
    return 2e-9 * math.prod(case.shape) / timing.ms


def peak_memory(call: Callable[[], Any], device: str) -> int | None:
    """Bytes that one call takes beyond what was there."""
    if device != "cuda":
        return None
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def measured_peak(device: str) -> float:
    """TFLOP/s of an 8192³ bf16 product here: the roof that this run saw."""
    size = 8192 if device == "cuda" else 256
    x = torch.randn(size, size, device=device).bfloat16()
    return 2e-9 * size**3 / Clock(device).time(product_of(x, x)).ms


def case_rows(
    case: Case, engines: tuple[str, ...], device: str, seed: int, compiled: bool
) -> list[dict[str, Any]]:
    """A row per rival and per engine; a sentence in place of what could not run."""
    given = problem(case, device, seed)
    clock, rivals, rows = Clock(device), {}, []
    for name in case.against:
        row = measured(case, name, lambda name=name: clock.time(rival(name, given, compiled)))  # type: ignore[misc]
        rivals[name] = row.get("ms")
        rows.append(row)
        free(device)
    for engine in (*engines, *(name for name in case.filters if name.partition(":")[0] in engines)):
        with filter_of(engine):
            rows.append(engine_row(case, engine, given, clock) | {"rivals": rivals})
        free(device)
    return rows


def free(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()


def measured(case: Case, name: str, run: Callable[[], Timing]) -> dict[str, Any]:
    """A row of the record; whatever goes wrong is a sentence in it, so that one failure does not end the table."""
    head = {
        "case": case.name,
        "shape": list(case.shape),
        "dtype": str(case.dtype).removeprefix("torch."),
        "who": name,
    }
    try:
        timing = run()
    except Exception as error:  # a rival's compiler, memory, or a kernel of ours
        return head | {
            "failed": f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
        }
    return head | asdict(timing) | {"tflops": tflops(case, timing)}


def engine_row(case: Case, engine: str, given: Problem, clock: Clock) -> dict[str, Any]:
    """Our time by events and by graph replay, our memory, and how many winners of a sample are wrong."""
    found: dict[str, Any] = {}

    def run() -> Timing:
        reason = why_unavailable(engine.partition(":")[0])
        if reason is not None:
            raise RuntimeError(reason)
        call, _ = ours(engine, given)
        timing = clock.time(call)
        found["mismatches"], found["sample"] = mismatches(call(), given), min(SAMPLE, case.shape[0])
        found["bytes"] = peak_memory(call, clock.device)
        replayed = clock.replayed(call)
        found["graph_ms"] = replayed.ms if replayed is not None else None
        return timing

    return measured(case, engine, run) | found | {"against": case.against, "peak": case.peak.get(engine)}


def lines(rows: list[dict[str, Any]], peak: float) -> list[dict[str, Any]]:
    """What a reader wants: one line per engine and goal, the ratio and the goal."""
    table = []
    triton = {
        (*row["shape"], row["dtype"]): row["ms"] for row in rows if row["who"] == "triton" and "ms" in row
    }
    for row in rows:
        head = {"shape": "x".join(map(str, row["shape"])), "type": row["dtype"], "who": row["who"]}
        if "failed" in row:
            table.append(head | {"note": row["failed"]})
            continue
        line = head | {"ms": row["ms"], "graph": row.get("graph_ms"), "TFLOP/s": row["tflops"]}
        goals = list(ratios(row, peak, triton.get((*row["shape"], row["dtype"]))))
        table += [line | goal for goal in goals] or [line]
    return table


def ratios(row: dict[str, Any], peak: float, by_triton: float | None) -> Iterator[dict[str, Any]]:
    """Every goal of one of our rows, and how far it is reached: 1 time the goal or more."""
    for rival_name, goal in row.get("against", {}).items():
        theirs = row["rivals"].get(rival_name)
        if theirs is not None:
            yield {"against": rival_name, "ratio": theirs / row["ms"], "goal": goal, "wrong": wrong(row)}
    if row.get("peak"):
        yield {"against": "peak", "ratio": row["tflops"] / peak, "goal": row["peak"]}
    if row["who"] == "cuda" and by_triton is not None:
        yield {"against": "triton", "ratio": by_triton / row["ms"], "goal": WORTH_KEEPING}
    if row.get("bytes"):
        yield {"against": "O(N + n) bytes", "ratio": linear_bytes(row["shape"]) / row["bytes"], "goal": 1.0}


def linear_bytes(shape: list[int]) -> int:
    """What a call may take beyond its inputs: 4 bytes a coordinate and LISTS for each row and each target."""
    rows, targets, depth = shape
    return (rows + targets) * (4 * depth + LISTS)


def wrong(row: dict[str, Any]) -> str:
    return f"{row['mismatches']}/{row['sample']}" if "mismatches" in row else ""


def datasheet_peak(name: str) -> float | None:
    return next((rate for chip, rate in DATASHEET.items() if chip in name), None)


def exact(rows: list[dict[str, Any]]) -> bool:
    """Whether every engine ran and every winner looked at was right."""
    mine = [row for row in rows if row["who"].partition(":")[0] in ENGINES]
    return all("failed" not in row and row.get("mismatches", 1) == 0 for row in mine)
