"""A short table of speeds on this machine: assign against torch, pairing against scipy; on a GPU, the GPU's table."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

import brenier
from brenier.engine.registry import engine_for
from brenier.report import gpu_table
from brenier.report.record import machine, new_record

SHAPES = [(4096, 1797, 64), (4096, 10_000, 256), (1024, 10_000, 3072)]  # N, n, d
BATCHES = [(256, 3072), (512, 3072), (1024, 3072)]  # pairs, d
BLOCK = 4096
REPEATS = 3


def measure(
    *,
    device: str = "cpu",
    engine: str | None = None,
    quick: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Median seconds of three runs for each shape, with the agreement of the answers; returns the record.

    On a GPU: the shapes of docs/gpu.md against torch's products, by CUDA events (measure_gpu).
    Raises EngineError for an engine or a device that is not here.
    """
    name = engine_for(device, engine).name
    if device == "cuda":
        engines = (name,) if engine is not None else gpu_table.ENGINES
        return measure_gpu(engines, quick=quick, seed=seed, progress=progress)
    shapes, batches = (SHAPES[:1], BATCHES[:1]) if quick else (SHAPES, BATCHES)
    rows = [assign_row(shape, device, name, seed) for shape in tqdm(shapes, "assign", disable=not progress)]
    pairs = [pair_row(shape, seed) for shape in tqdm(batches, "pair", disable=not progress)]
    settings = {"device": device, "engine": name, "quick": quick, "seed": seed, "repeats": REPEATS}
    return new_record("bench", settings) | {"machine": machine(), "assign": rows, "pair": pairs}


def measure_gpu(
    engines: tuple[str, ...],
    *,
    device: str = "cuda",
    quick: bool = False,
    seed: int = 0,
    progress: bool = True,
    compiled: bool = True,
    save: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """The GPU's table for these engines; quick leaves out all but d = 64 and 128. Returns the record.

    save is given the record so far after every shape, for runs that may be cut short.
    """
    cases = [case for case in gpu_table.CASES if not quick or case.name == "subspace"]
    gpu = torch.cuda.get_device_name() if device == "cuda" else device
    peak = gpu_table.measured_peak(device)
    settings = {"device": device, "engines": engines, "quick": quick, "seed": seed}
    sold = gpu_table.datasheet_peak(gpu)
    facts = {"gpu": gpu, "measured_peak_tflops": peak, "datasheet_peak_tflops": sold}
    record = new_record("bench", settings) | {"machine": machine() | facts, "rows": [], "table": []}
    for case in tqdm(cases, "assign", disable=not progress):
        record["rows"] += gpu_table.case_rows(case, engines, device, seed, compiled)
        record["table"] = gpu_table.lines(record["rows"], sold or peak)
        if save is not None:
            save(record)
    return record


def assign_row(shape: tuple[int, int, int], device: str, engine: str, seed: int) -> dict[str, Any]:
    """One shape of assign: our seconds, torch's, and the share of equal winners."""
    noises, targets, dim = shape
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(rows, dim, generator=generator).to(device) for rows in (noises, targets))
    h = -y.double().square().sum(dim=1) / 2
    prepared = brenier.prepare(y, engine=engine)
    ours, winners = median_seconds(lambda: brenier.assign(x, prepared, h), device)
    theirs, expected = median_seconds(lambda: torch_assign(x, y, h.float()), device)
    return {
        "N": noises,
        "n": targets,
        "d": dim,
        "brenier_ms": 1e3 * ours,
        "torch_ms": 1e3 * theirs,
        "brenier_gflops": 2e-9 * noises * targets * dim / ours,
        "speedup": theirs / ours,
        "torch_agrees": float((winners == expected).double().mean()),
    }


def torch_assign(x: Tensor, y: Tensor, h: Tensor) -> Tensor:
    """What one would write: product and maximum in blocks of targets, float32."""
    best = torch.full((len(x),), -torch.inf, device=x.device)
    winners = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    for lo in range(0, len(y), BLOCK):
        score, index = torch.addmm(h[lo : lo + BLOCK], x, y[lo : lo + BLOCK].T).max(dim=1)
        better = score > best
        best, winners = torch.where(better, score, best), torch.where(better, index + lo, winners)
    return winners


def pair_row(shape: tuple[int, int], seed: int) -> dict[str, Any]:
    """One batch of pairing: our seconds, scipy's where it is installed, and both costs."""
    pairs, dim = shape
    generator = torch.Generator().manual_seed(seed)
    data, noise = (torch.randn(pairs, dim, generator=generator) for _ in range(2))
    ours, pairing = median_seconds(lambda: brenier.pair(data, noise), "cpu")
    row = {"pairs": pairs, "d": dim, "brenier_ms": 1e3 * ours, "scipy_ms": None, "same_cost": None}
    if importlib.util.find_spec("scipy") is None:
        return row
    from scipy.optimize import linear_sum_assignment

    theirs, (_, columns) = median_seconds(
        lambda: linear_sum_assignment((data @ noise.T).numpy(), maximize=True), "cpu"
    )
    mine = (data.double() * noise[torch.as_tensor(pairing.permutation)].double()).sum()
    best = (data.double() * noise[torch.from_numpy(columns)].double()).sum()
    return row | {"scipy_ms": 1e3 * theirs, "same_cost": bool(torch.isclose(mine, best, rtol=1e-6))}


def median_seconds(run: Callable[[], Any], device: str) -> tuple[float, Any]:
    """Median of three timed runs after one that is not counted, and the last result."""
    result, times = run(), []
    for _ in range(REPEATS):
        if device == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        result = run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times), result


def as_text(record: dict[str, Any]) -> str:
    """The tables for a terminal."""
    if "table" in record:
        facts = record["machine"]
        roof = f"{facts['gpu']}, an 8192³ bf16 product runs at {facts['measured_peak_tflops']:.0f} TFLOP/s"
        table = tabulate(record["table"], headers="keys", floatfmt=".3g", missingval="")
        return f"{roof}; ratio: our rate over theirs\n\n{table}"
    machine_words = f"{record['machine']['processor']}, {record['machine']['cores']} cores"
    head = f"engine {record['settings']['engine']}, {machine_words}"
    tables = [
        tabulate(record[name], headers="keys", floatfmt=".3g", missingval="-") for name in ("assign", "pair")
    ]
    return "\n\n".join([head, *tables])
