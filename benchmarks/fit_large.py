"""A fit larger than memory: images generated on disk, fitted with noise on the fly, killed and resumed.

    python benchmarks/fit_large.py --folder /tmp/large                 # 70,000 × 196,608 uint8, 13.8 GB
    python benchmarks/fit_large.py --folder /tmp/large --scale 0.05 --max-memory 2GiB    # 3,500 × 49,152

Two runs of ``brenier fit`` in processes of their own: one unbroken, one killed in the middle (SIGKILL) and
resumed. Printed for each: time, peak resident memory, χ²; and whether the two have the same heights.
--scale s: s · 70,000 targets; below 0.1 the images are of 128 × 128, below 0.005 of 64 × 64 pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tabulate import tabulate

TARGETS = 70_000
WAVES = 24  # smooth waves that every image mixes
GRAIN = 8.0  # standard deviation of the pixel noise, in grey levels


@dataclass(frozen=True)
class Ended:
    """One process: how it ended, how long it took, its largest resident set."""

    code: int
    seconds: float
    peak: int
    said: str


def shape_of(scale: float) -> tuple[int, int, int, int]:
    side = 256 if scale >= 0.1 else 128 if scale >= 0.005 else 64
    return max(8, round(scale * TARGETS)), 3, side, side


def generate(path: Path, shape: tuple[int, int, int, int], seed: int = 0) -> None:
    """Smooth images plus noise, written in order, a few at a time."""
    rows, channels, side, _ = shape
    generator = np.random.default_rng(seed)
    axis = np.linspace(0, np.pi, side, dtype=np.float32)
    frequency = generator.integers(0, 8, (WAVES, 2))
    height, width = np.cos(np.outer(frequency[:, 0], axis)), np.cos(np.outer(frequency[:, 1], axis))
    waves = np.einsum("ki,kj->kij", height, width).reshape(WAVES, -1).astype(np.float32)
    decay = 60 / (1 + np.hypot(*frequency.T))
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for lo in range(0, rows, 64):
        count = min(64, rows - lo)
        weights = generator.standard_normal((count * channels, WAVES), dtype=np.float32) * decay.astype(
            np.float32
        )
        grain = generator.standard_normal((count * channels, side * side), dtype=np.float32)
        pixels = np.clip(128 + weights @ waves + GRAIN * grain, 0, 255)
        file[lo : lo + count] = pixels.reshape(count, channels, side, side)
    file.flush()


def command(data: Path, out: Path, given: argparse.Namespace) -> list[str]:
    options = ["--sigma", str(given.sigma), "--tol", str(given.tol), "--max-memory", given.max_memory]
    options += ["--checkpoint", f"{out}.state", "--resume", "--value-range", "-1..1", "--json"]
    return [
        sys.executable,
        "-m",
        "brenier.cli.main",
        "fit",
        str(data),
        "--out",
        f"{out}.safetensors",
        *options,
    ]


def run(line: list[str], kill_after: float | None = None) -> Ended:
    """The process, killed after so many seconds if it is still at work; what it printed goes to a file."""
    began = time.perf_counter()
    with Path(os.devnull).open("w") as nowhere:
        output = subprocess.PIPE if kill_after is None else nowhere
        process = subprocess.Popen(line, stdout=output, text=True)
        if kill_after is not None:
            time.sleep(kill_after)
            process.send_signal(signal.SIGKILL)
        said = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
    return Ended(os.waitstatus_to_exitcode(status), time.perf_counter() - began, usage.ru_maxrss * 1024, said)


def report(name: str, ended: Ended) -> list[object]:
    record = json.loads(ended.said) if ended.said else {}
    return [
        name,
        ended.code,
        f"{ended.seconds:.1f}",
        f"{ended.peak / 2**20:.0f}",
        record.get("error"),
        record.get("samples"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="where the data and potentials go")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--sigma", type=float, default=0.3)
    parser.add_argument("--tol", type=float, default=0.05)
    parser.add_argument("--max-memory", default="6GiB")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    shape = shape_of(given.scale)
    data = given.folder / f"images_{'x'.join(map(str, shape))}.npy"
    if not data.exists():
        generate(data, shape)
    print(f"{shape[0]:,} × {np.prod(shape[1:]):,} uint8, {data.stat().st_size / 2**20:,.0f} MiB on disk")
    whole, broken = given.folder / "whole", given.folder / "broken"
    for stale in [*given.folder.glob("whole.*"), *given.folder.glob("broken.*")]:
        stale.unlink()
    first = run(command(data, whole, given))
    killed = run(command(data, broken, given), kill_after=first.seconds / 2)
    saved = Path(f"{broken}.state").exists()
    resumed = run(command(data, broken, given))
    rows = [report("unbroken", first), report("killed", killed), report("resumed", resumed)]
    print(tabulate(rows, headers=["run", "exit", "seconds", "peak MiB", "χ²", "samples"]))
    one, two = (load_file(f"{path}.safetensors")["heights"] for path in (whole, broken))
    print("checkpoint at the kill:", saved, "· same bits:", bool((one == two).all()))


if __name__ == "__main__":
    main()
