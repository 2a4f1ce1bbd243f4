"""brenier.fit on one GPU: 2,560,000 × 3,072 image-like latents to χ² ≤ 0.05 (ImageNet-32 with its mirror images).

    python benchmarks/fit_gpu.py [--scale 0.04] [--engine triton] [--beside 20000] [--results FILE]

First a problem of --beside targets, fitted on the processor and on the GPU: times, their ratio, and whether all heights
are the same bit for bit. Then s · 2,560,000 targets on the GPU alone (--scale s), goal 10 minutes at s = 1: the whole
call of brenier.fit with its checks, peak memory of the GPU and of the process. At s = 1 the targets, made on the GPU,
take 31 GB of the machine's memory and their centred copy as much.
Exits with 2 where there is no CUDA device, 1 where heights differ or a fit did not converge.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import brenier
import torch

TARGETS, DIMENSION, LEVEL, GOAL_SECONDS = 2_560_000, 3072, 0.05, 600
GRAIN = 0.3  # of white noise on every value
BLOCK = 1 << 15  # targets made at a time


def image_like(n: int, d: int, device: str) -> torch.Tensor:
    """Content with variances like 1/k in a random basis, ‖y‖² = d on average, and white noise; (n, d) on the CPU."""
    generator = torch.Generator(device=device).manual_seed(0)
    deviations = torch.arange(1, d + 1, device=device).float() ** -0.5
    deviations *= math.sqrt(d) / deviations.norm()
    basis = torch.linalg.qr(torch.randn(d, d, generator=generator, device=device)).Q
    targets = torch.empty(n, d)
    for lo in range(0, n, BLOCK):
        rows = min(BLOCK, n - lo)
        content = torch.randn(rows, d, generator=generator, device=device).mul_(deviations) @ basis
        grain = torch.randn(rows, d, generator=generator, device=device)
        targets[lo : lo + rows] = content.add_(grain, alpha=GRAIN)
    return targets


def fitted(targets: torch.Tensor, engine: str | None) -> tuple[brenier.FitResult, dict[str, Any]]:
    """A whole call of fit, on the GPU where an engine is named."""
    if engine is not None:
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    result = brenier.fit(targets, tol=LEVEL, engine=engine, progress=False)
    n, d = targets.shape
    row: dict[str, Any] = {"n": n, "d": d, "engine": engine or "cpu", "seconds": time.perf_counter() - began}
    row |= {
        "of which steps": result.history[-1].seconds,
        "χ²": result.error,
        "standard error": result.error_stderr,
    }
    row |= {"samples/n": result.samples / n, "steps": len(result.history), "sampling": result.sampling}
    row |= {
        "converged": result.converged,
        "resident, GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    if engine is not None:
        row["GPU, GB"] = torch.cuda.max_memory_allocated() / 1e9
    print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    return result, row


def beside(n: int, engine: str, device: str) -> list[dict[str, Any]]:
    """One problem on the processor and on the GPU."""
    targets = image_like(n, DIMENSION, device)
    (mine, slow), (theirs, fast) = (fitted(targets, name) for name in (None, engine))
    fast["same bits"] = torch.equal(mine.potential.heights, theirs.potential.heights)
    fast["times the processor"] = slow["seconds"] / fast["seconds"]
    return [slow, fast]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=0.04)
    parser.add_argument("--engine", default="triton", choices=("triton", "cuda"))
    parser.add_argument("--beside", type=int, default=20_000, help="targets fitted on both")
    parser.add_argument("--results", type=Path)
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: torch.cuda.is_available() is False; nothing was measured", file=sys.stderr)
        return 2
    name = torch.cuda.get_device_name().lower().replace(" ", "-")
    path = asked.results or Path(__file__).parent / "results" / f"fit-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = beside(asked.beside, asked.engine, "cuda")
    record = {
        "device": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "torch": torch.__version__,
    }
    record |= {
        "command": " ".join(sys.argv),
        "goal, s": GOAL_SECONDS if asked.scale == 1 else None,
        "rows": rows,
    }
    path.write_text(json.dumps(record, indent=1) + "\n")  # before what may not fit
    rows.append(fitted(image_like(round(asked.scale * TARGETS), DIMENSION, "cuda"), asked.engine)[1])
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {path}")
    return 0 if all(row["converged"] and row.get("same bits", True) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
