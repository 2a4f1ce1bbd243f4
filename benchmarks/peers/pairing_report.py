"""The measured part of docs/pairing.md and the plot of time against size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tabulate import tabulate

MARK = "<!-- measured"
GOALS = {  # rows: at least so many times faster than scipy, the best lapx variant, the best of all
    128: (3, 1, 1),
    256: (12, 3, 3),
    1024: (45, 12, 12),
    4096: (100, 35, 20),
    8192: (180, 50, 25),
}


def ratios(row: dict[str, Any]) -> tuple[float | None, float | None, float | None]:
    """How many times faster we are than scipy, the best lapx variant, the best of all peers."""
    peers = row["ratio"]
    lapx = [ratio for name, ratio in peers.items() if name.startswith("lapx")]
    kinds = ([peers["scipy"]] if "scipy" in peers else [], lapx, list(peers.values()))
    scipy, best_lapx, best = (min(kind) if kind else None for kind in kinds)
    return scipy, best_lapx, best


def goal_table(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in (row for row in rows if row["n"] in GOALS and len(row["ms"]) > 2):
        cells = [
            "–" if ratio is None else f"{ratio:.1f}× (≥ {goal}×){'' if ratio >= goal else ' missed'}"
            for ratio, goal in zip(ratios(row), GOALS[row["n"]], strict=True)
        ]
        lines.append([row["family"], f"{row['n']:,}", f"{row['ms']['brenier']:.3g}", *cells])
    heads = [
        "scores",
        "rows",
        "ours, ms",
        "against scipy",
        "against the best lapx",
        "against the best of all",
    ]
    return tabulate(lines, headers=heads, tablefmt="github", disable_numparse=True)


def time_table(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row["ms"]))
    lines = [
        [
            row["family"],
            f"{row['n']:,}",
            *(f"{row['ms'][name]:.3g}" if name in row["ms"] else "–" for name in names),
        ]
        for row in rows
    ]
    return tabulate(lines, headers=["scores", "rows", *names], tablefmt="github", disable_numparse=True)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "brenier"  # the same file from the same numbers
    from matplotlib import pyplot

    family = rows[0]["family"]
    mine = [row for row in rows if row["family"] == family]
    figure, axes = pyplot.subplots(figsize=(7, 5))
    for name in dict.fromkeys(name for row in mine for name in row["ms"]):
        sizes = [row["n"] for row in mine if name in row["ms"]]
        times = [row["ms"][name] for row in mine if name in row["ms"]]
        style = {"color": "black", "linewidth": 2.5} if name == "brenier" else {"linewidth": 1}
        axes.loglog(sizes, times, marker="o", markersize=3, label=name, **style)
    axes.set_xlabel("rows")
    axes.set_ylabel("processor time, ms")
    axes.set_title(f"Exact assignment: {family} against noise, d = 3,072")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def write_report(found: dict[str, Any], docs: Path) -> None:
    rows, machine = found["rows"], found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    text = [
        "## Measured on the CPU",
        "",
        f"{machine['processor']}, {machine['processors']} processors, load {machine['load']:.1f}, {machine['date']}; "
        f"{versions}. Processor time of one thread, scores given in float32; medians, and medians "
        "of the turns' ratios; `python benchmarks/pairing_cpu.py --save` "
        "writes this section.",
        "",
        goal_table(rows),
        "",
        "![time against size](images/pairing-cpu.svg)",
        "",
        "All times in ms:",
        "",
        time_table(rows),
        "",
    ]
    worst = max(value for row in rows for name, value in row["difference"].items() if name == "brenier")
    text += [f"Largest relative difference of our total from scipy's: {worst:.1e}.", ""]
    if "memory" in found:
        text += [_memory(found["memory"]), "", _training(found["training"]), ""]
    page = docs / "pairing.md"
    kept = page.read_text()
    kept = kept[: kept.index("\n", kept.index(MARK)) + 1]
    page.write_text(kept + "\n" + "\n".join(text))
    (docs / "images").mkdir(exist_ok=True)
    plot(rows, docs / "images" / "pairing-cpu.svg")


def _memory(memory: dict[str, Any]) -> str:
    taken = ", ".join(f"{name} {mb}" for name, mb in memory.items() if name not in ("n", "scores MB"))
    scores = f"{memory['scores MB']:.0f} MB in float32"
    return f"Memory beyond the prepared costs ({scores}) at {memory['n']:,} rows, MB: {taken}."


def _training(training: dict[str, Any]) -> str:
    return (
        f"A training step (small U-Net, 3 × 32 × 32, batch {training['batch']}, on the processor) with a pool of "
        f"{training['pool']:,} paired in the background: {100 * training['overhead in wall time']:+.1f}% wall time "
        f"({', '.join(f'{100 * each:+.1f}%' for each in training['least and most'])} at the least and most), "
        f"{100 * training['overhead in processor time']:.1f}% processor time."
    )
