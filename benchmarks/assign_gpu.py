"""Time assign on one GPU: a blocked torch product with max, the Triton engine, the CUDA engine.

    python benchmarks/assign_gpu.py [results.json]

CUDA events, random data, medians after a warm-up; mismatches are winners that differ from the float64 winner
(lowest index) on a sample of rows. Exits with 2 where there is no CUDA device.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

SHAPES = [  # (N, n, d)
    (65536, 65536, 64),
    (65536, 65536, 128),
    (16384, 16384, 3072),
    (256, 1_000_000, 128),
]
DTYPES = [torch.float32, torch.bfloat16]
ELEMENTS_AT_ONCE = 1 << 28  # of the torch product
SAMPLE = 128
REPEATS, SECONDS = 7, 8.0

Assign = Callable[[Tensor, Tensor, Tensor], Tensor]


def torch_blocked(x: Tensor, y: Tensor, h: Tensor) -> Tensor:
    """The product in the inputs' own type, blocked over rows, then bias and max; fp32 without tf32."""
    bias = h.to(x.dtype)
    rows = max(1, ELEMENTS_AT_ONCE // len(y))
    return torch.cat([(block @ y.T + bias).max(dim=1).indices for block in x.split(rows)])


def brenier_engine(name: str) -> Assign:
    import brenier

    return lambda x, y, h: brenier.assign(x, y, h, engine=name)


def contenders() -> dict[str, Assign | str]:
    """What runs here; a sentence in place of what does not."""
    from brenier.engine.registry import load

    found: dict[str, Assign | str] = {"torch": torch_blocked}
    for name in ("triton", "cuda"):
        found[name] = load(name).why_unavailable() or brenier_engine(name)
    return found


def problem(rows: int, targets: int, depth: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Noise, centred targets, and heights near equal chances (extreme-value start)."""
    generator = torch.Generator("cuda").manual_seed(0)
    x = torch.randn(rows, depth, device="cuda", generator=generator).to(dtype)
    y = torch.randn(targets, depth, device="cuda", generator=generator).to(dtype)
    norms = y.double().norm(dim=1)
    z = torch.special.ndtri(torch.tensor(1 - 1 / targets, dtype=torch.float64)).item()
    return x, y, -z * norms


def milliseconds(call: Callable[[], Tensor]) -> list[float]:
    """Times of repeated calls by CUDA events, after one warm-up; fewer repeats where a call is long."""
    call()
    torch.cuda.synchronize()
    times: list[float] = []
    began = time.monotonic()
    while len(times) < REPEATS and (not times or time.monotonic() - began < SECONDS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return times


def mismatches(winners: Tensor, x: Tensor, y: Tensor, h: Tensor) -> int:
    """Rows of a sample whose winner is not the reference's."""
    from brenier.engine.reference import ReferenceEngine

    rows = torch.linspace(0, len(x) - 1, min(SAMPLE, len(x)), device="cuda").long()
    expected, _ = ReferenceEngine().assign(x[rows], y, h)
    return int((winners[rows] != expected).sum())


def measure(name: str, assign: Assign, shape: tuple[int, int, int], dtype: torch.dtype) -> dict:
    x, y, h = problem(*shape, dtype)
    began = time.monotonic()
    winners = assign(x, y, h)
    torch.cuda.synchronize()
    first = time.monotonic() - began
    times = milliseconds(lambda: assign(x, y, h))
    median = statistics.median(times)
    return {
        "engine": name,
        "shape": list(shape),
        "dtype": str(dtype).removeprefix("torch."),
        "ms": median,
        "ms_least": min(times),
        "ms_most": max(times),
        "repeats": len(times),
        "tflops": 2 * shape[0] * shape[1] * shape[2] / median / 1e9,
        "first_call_s": first,
        "mismatches": mismatches(winners, x, y, h),
        "sample": min(SAMPLE, shape[0]),
    }


def machine() -> dict:
    import brenier

    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "brenier": brenier.__version__}
    try:
        import triton

        versions["triton"] = triton.__version__
    except ImportError:
        versions["triton"] = None
    return {
        "gpu": torch.cuda.get_device_name(),
        "capability": list(torch.cuda.get_device_capability()),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        **versions,
    }


def run() -> list[dict]:
    rows = []
    for shape in SHAPES:
        for dtype in DTYPES:
            for name, assign in contenders().items():
                if isinstance(assign, str):
                    rows.append(
                        {"engine": name, "shape": list(shape), "dtype": str(dtype), "skipped": assign}
                    )
                else:
                    rows.append(measure(name, assign, shape, dtype))
                torch.cuda.empty_cache()
    return rows


def table(rows: list[dict]) -> str:
    lines = [f"{'shape (N, n, d)':24} {'type':9} {'engine':7} {'ms':>10} {'TFLOP/s':>8} {'wrong':>9}"]
    for row in rows:
        head = f"{'x'.join(map(str, row['shape'])):24} {row['dtype']:9} {row['engine']:7}"
        if "skipped" in row:
            lines.append(f"{head} {row['skipped']}")
        else:
            wrong = f"{row['mismatches']}/{row['sample']}"
            lines.append(f"{head} {row['ms']:10.2f} {row['tflops']:8.1f} {wrong:>9}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    if not torch.cuda.is_available():
        print("no CUDA device: torch.cuda.is_available() is False; nothing was measured", file=sys.stderr)
        return 2
    torch.backends.cuda.matmul.allow_tf32 = False
    facts, rows = machine(), run()
    folder = Path(__file__).parent / "results"
    name = facts["gpu"].lower().replace(" ", "-") + ".json"
    path = Path(arguments[0]) if arguments else folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": facts, "rows": rows}, indent=1) + "\n")
    print(f"{facts['gpu']}, torch {facts['torch']}, triton {facts['triton']}; written to {path}")
    print(table(rows))
    exact = all(row.get("mismatches", 0) == 0 for row in rows if row["engine"] != "torch")
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
