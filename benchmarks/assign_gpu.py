"""The goals of the GPU engines on one GPU: brenier bench's table, and where the time of a call goes.

    python benchmarks/assign_gpu.py [cuda] [triton] [results.json]

CUDA events, random data, medians after a warm-up; mismatches are winners that differ from the float64 winner
(lowest index) on a sample of rows. Writes after every shape, and prints the table so far where it is stopped. Exits
with 2 where there is no CUDA device, 1 where an engine failed or a winner was wrong.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import torch


def stages(engine: str, case: Any, clock: Any) -> dict[str, Any]:
    """Milliseconds of packing, packing with filtering, and deciding, one engine on one shape."""
    import brenier
    from brenier.engine.registry import load
    from brenier.report.gpu_table import problem

    x, y, h = problem(case, clock.device, 0)
    packed = brenier.prepare(y, engine=engine).packed
    if engine == "cuda":
        filtered = load("cuda").filtered(x, packed, h)
    else:
        from brenier.engine.triton import half

        filtered = half(x, packed, h)
    listed = clock.time(lambda: filtered.listed(0, len(x), 0.0, 64))
    tasks = filtered.listed(0, len(x), 0.0, 64)
    count = tasks.lists.count[: len(x)].double()
    winners = torch.empty(len(x), dtype=torch.int64, device=x.device)
    scores = torch.empty(len(x), dtype=torch.float64, device=x.device)
    decided = clock.time(lambda: filtered.backend.decide(tasks, winners, scores, False))
    pack = clock.time(lambda: filtered.backend.pack(tasks))
    return {
        "engine": engine,
        "shape": list(case.shape),
        "dtype": str(case.dtype),
        "listed_ms": listed.ms,
        "pack_ms": pack.ms,
        "decide_ms": decided.ms,
        "listed_per_row": float(count.mean()),
        "overflowed_rows": int((count > 64).sum()),
    }


def stage_rows(engines: tuple[str, ...], device: str = "cuda") -> list[dict[str, Any]]:
    from brenier.engine.registry import why_unavailable
    from brenier.report.clock import Clock
    from brenier.report.gpu_table import CASES

    rows = []
    for case in CASES[1:4]:
        for engine in engines:
            if why_unavailable(engine) is None:
                try:
                    rows.append(stages(engine, case, Clock(device, repeats=7, seconds=1.5)))
                except Exception as error:  # the table above has said so already
                    rows.append({"engine": engine, "shape": list(case.shape), "failed": repr(error)[:300]})
    return rows


def results_path(engines: tuple[str, ...], arguments: list[str]) -> Path:
    """As asked, else by the GPU's name, and by the engines where they are not all."""
    given = [word for word in arguments if word.endswith(".json")]
    name = torch.cuda.get_device_name().lower().replace(" ", "-")
    some = "" if len(engines) > 1 else f"-{engines[0]}"
    return Path(given[0]) if given else Path(__file__).parent / "results" / f"{name}{some}.json"


def stopped(*_signal: Any) -> None:
    raise SystemExit(124)


def main(arguments: list[str]) -> int:
    if not torch.cuda.is_available():
        print("no CUDA device: torch.cuda.is_available() is False; nothing was measured", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, stopped)
    torch.backends.cuda.matmul.allow_tf32 = False
    from brenier.report import gpu_table
    from brenier.report.bench import as_text, measure_gpu

    engines = tuple(name for name in gpu_table.ENGINES if name in arguments) or gpu_table.ENGINES
    path = results_path(engines, arguments)
    path.parent.mkdir(parents=True, exist_ok=True)
    latest: dict[str, Any] = {}

    def save(record: dict[str, Any]) -> None:
        latest.update(record)
        path.write_text(json.dumps(record, indent=1, default=str) + "\n")

    try:
        record = measure_gpu(engines, save=save, progress=False)
        record["stages"] = stage_rows(engines)
        save(record)
    finally:
        for row in latest.get("stages", []):
            print(row)
        print(f"written to {path}")
        print(as_text(latest) if latest else "nothing was measured")
    return 0 if gpu_table.exact(record["rows"]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
