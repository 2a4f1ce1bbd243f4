"""What benchmarks/assign_cpu.py leaves behind: its JSON, its part of docs/performance.md, and the roofline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "assign_cpu.json"
PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "roofline_cpu.svg"
BEGIN, END = "<!-- assign_cpu: begin -->", "<!-- assign_cpu: end -->"
NAMES = {"32": "float32", "16": "int16", "8": "int8"}


def save(record: dict[str, Any]) -> None:
    """Writes all three; the page keeps what stands outside the marks."""
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=2) + "\n")
    draw(record)
    page = PAGE.read_text() if PAGE.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    if BEGIN not in page:
        page += f"\n{BEGIN}\n{END}\n"
    head, tail = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(head + BEGIN + "\n" + section(record) + END + tail)


def section(record: dict[str, Any]) -> str:
    """The table in words and numbers."""
    shown = [{k: v for k, v in row.items() if k not in ("peers", "bytes of input")} for row in record["rows"]]
    peaks = ", ".join(f"{NAMES[bits]} {peak:.0f}" for bits, peak in record["peaks"].items())
    calibrations = ", ".join(f"{name} {speed:.0f}" for name, speed in record["calibration"].items())
    return f"""## assign on the CPU

{record["machine"]}, {record["threads"]} threads, {record["engine"]}; torch {record["torch"]}, {record["date"]}.
Median of the repetitions, each between two calibrations by the int8 tile ({calibrations}
GFLOP/s); {record["disturbed"]} were disturbed, and repeated while patience lasted. Peaks of
the register tiles in the same run, in GFLOP/s: {peaks}. From 1 thread to 2: {record["scaling"]["ratio"]:.2f} times.
N and n at {record["scale"]:g} of their size. Command: `python benchmarks/assign_cpu.py --save`.

{tabulate(shown, headers="keys", tablefmt="github")}

![roofline](roofline_cpu.svg)

"""


def draw(record: dict[str, Any]) -> None:
    """Speed over operations per byte of input, under the peaks of the three tiles."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for bits, peak in record["peaks"].items():
        axes.axhline(peak, color="0.6", linewidth=1)
        axes.text(axes.get_xlim()[0], peak, f" {NAMES[bits]} peak", va="bottom", fontsize=8, color="0.4")
    for row, case in zip(record["rows"], record["cases"], strict=True):
        rows, targets, depth = (int(part) for part in row["shape"].split(" x "))
        intensity = 2 * rows * targets * depth / row["bytes of input"]
        axes.plot(intensity, row["GFLOP/s"], "o", color="C0")
        axes.plot(intensity, row["its GFLOP/s"], "x", color="C1")
        axes.annotate(
            case["name"], (intensity, row["GFLOP/s"]), fontsize=7, xytext=(3, 3), textcoords="offset points"
        )
    axes.set(xscale="log", yscale="log", xlabel="operations per byte of input", ylabel="GFLOP/s")
    axes.plot([], [], "o", color="C0", label="brenier")
    axes.plot([], [], "x", color="C1", label="best peer")
    axes.legend()
    figure.tight_layout()
    figure.savefig(PICTURE)
