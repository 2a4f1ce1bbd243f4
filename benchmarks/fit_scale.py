"""Time against size: brenier.fit at 50,000 × 3,072 beside POT and OTT-JAX, and its growth up to 300,000 × 512.

    python benchmarks/fit_scale.py --save [--parts POT,OTT-JAX,growth,levels] [--scale 0.1] [--peer-seconds 1200]

POT, OTT-JAX: a whole call of brenier.fit (its own checks included) to χ² ≤ 0.05 and ≤ 0.02. The peer runs for about
--peer-seconds with the settings tuned for the mixture of benchmarks/fit_peers.py. All potentials are judged by the
same exact count of fresh samples in full dimension, whose time is nobody's. Where a peer is above the level, its time
is EXTRAPOLATED: samples per target at that level from its best curve measured in benchmarks/results/fit_peers.json,
divided by the rate measured here. Where it ends below the level, the whole run's time is an upper bound (≤), for it is
judged at its end only. Fits and the peer take turns --rounds times, and medians are compared (the same seeds give the
same potentials, so these are judged once).
growth: brenier.fit to χ² ≤ 0.1 from 30,000 × 512 to 300,000 × 512, and the exponent in n between neighbours.
levels: the same of brenier.fit_hierarchical, and to 1,000,000 × 512.
--scale s multiplies every n. --save writes benchmarks/results/fit_scale.json and its part of docs/scaling.md.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import brenier
import torch
from brenier.data import Stream, normal
from brenier.report.record import new_record, write_record
from marked_pages import replace_part
from peers import tune
from peers.judge import Judge
from peers.problems import Case
from peers.tuned import TUNED
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "fit_scale.json"
CURVES = ROOT / "benchmarks" / "results" / "fit_peers.json"
PAGE = ROOT / "docs" / "scaling.md"
IMAGES, LEVELS = (50_000, 3072), (0.05, 0.02)
GROWTH = {"fit": (30_000, 300_000), "fit_hierarchical": (30_000, 300_000, 1_000_000)}
GROWTH_DIMENSION, GROWTH_LEVEL = 512, 0.1
PEERS = ("POT", "OTT-JAX")
TIMES = ("seconds", "of which steps")
GRAIN = 0.3  # of white noise on every value
SEED, ROTATION = 0x73697A65, 1 << 40
FIRST_SHARE = 0.1  # of a peer's time, which tells its rate


def image_like(n: int, d: int) -> torch.Tensor:
    """Smooth content with variances like 1/k in a random basis, ‖y‖² = d on average, plus white noise."""
    deviations = torch.arange(1, d + 1).float() ** -0.5
    basis = torch.linalg.qr(normal(SEED, ROTATION, d, d, stream=Stream.SAMPLE)).Q
    content = (normal(SEED, 0, n, d, stream=Stream.SAMPLE) * deviations) @ basis
    content *= math.sqrt(d) / float(deviations.norm())
    return content.add_(normal(SEED, n, n, d, stream=Stream.SAMPLE), alpha=GRAIN)


def our_row(
    targets: torch.Tensor, level: float, judge: Judge | None = None, fit: str = "fit"
) -> dict[str, Any]:
    """A whole call of fit, or of fit_hierarchical."""
    worked = time.process_time()
    result = getattr(brenier, fit)(targets, tol=level, progress=False)
    n, d = targets.shape
    row = {"solver": f"brenier.{fit}", "n": n, "d": d, "χ² ≤": level, "seconds": result.seconds}
    row["processor seconds"] = time.process_time() - worked
    row |= {"χ²": result.error, "standard error": result.error_stderr, "converged": result.converged}
    row |= {"samples/n": result.samples / n, "check samples/n": result.check_samples / n}
    if judge is not None:
        row["judged χ²"], row["standard error of judge"] = judge.chi_square(result.potential)
    return shown(row | {"of which steps": result.history[-1].seconds, "sampling": result.sampling})


def shown(row: dict[str, Any]) -> dict[str, Any]:
    print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    return row


def peer_run(solver: str, case: Case, seconds: float) -> dict[str, Any]:
    """About so many seconds of a peer, and what it had at their end."""
    settings = TUNED[solver, "mixture", 0.05].settings
    first = tune.solve(solver, case, settings, 4 * settings.batch)
    rate = first.samples / first.seconds
    if first.seconds < FIRST_SHARE * seconds:
        first = tune.solve(solver, case, settings, round(FIRST_SHARE * seconds * rate))
        rate = first.samples / first.seconds
    verdict = Judge(case)(tune.solve(solver, case, settings, round(seconds * rate)))
    row = {"solver": solver, "samples/s": verdict.samples / verdict.seconds, "seconds": verdict.seconds}
    row |= {"samples": verdict.samples, "samples/n": verdict.samples / case.size, "χ²": verdict.error}
    return shown(row | {"standard error": verdict.stderr, "settings": str(settings)})


def peer_rate(run: dict[str, Any], case: Case) -> float:
    """Samples a second of the first FIRST_SHARE of the run once more, not judged again."""
    settings = TUNED[run["solver"], "mixture", 0.05].settings
    again = tune.solve(run["solver"], case, settings, round(FIRST_SHARE * run["samples"]))
    return again.samples / again.seconds


def best_samples(solver: str, level: float) -> tuple[float, str]:
    """Fewest samples per target that the peer was measured to need for the level or a looser one, and where."""
    rows = json.loads(CURVES.read_text())["rows"]
    known = [row for row in rows if row["solver"] == f"{solver} tuned"]
    fitting = [row for row in known if row["level"] == level] or [
        row for row in known if row["level"] > level
    ]
    best = min(fitting, key=lambda row: row["samples/n"])
    return best["samples/n"], f"{best['problem']} to {best['level']:g}"


def extrapolated(run: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """The peer's time to the level of our row."""
    level, n = ours["χ² ≤"], ours["n"]
    reached = run["χ²"] <= level
    if reached:  # and judged at its end only, so it may have got there before
        samples, source = run["samples/n"], f"at most: its run ended at χ² = {run['χ²']:.3g}"
    else:
        samples, where = best_samples(run["solver"], level)
        source = f"extrapolated: {where} took it {samples:.0f} n samples"
    seconds = samples * n / run["samples/s"]
    row = {"solver": run["solver"], "n": n, "d": ours["d"], "χ² ≤": level, "seconds": seconds}
    row |= {"samples/n": samples, "time / brenier.fit": seconds / ours["seconds"]}
    row |= {"time / its steps": seconds / ours["of which steps"], "source": source}
    return shown(row | {"at most": reached})


def peer_part(solver: str, scale: float, seconds: float, rounds: int) -> dict[str, Any]:
    n, d = round(scale * IMAGES[0]), IMAGES[1]
    targets = image_like(n, d)
    case = Case("images", targets.numpy(), LEVELS, judged=2)
    ours = [our_row(targets, level, Judge(case)) for level in LEVELS]
    run = peer_run(solver, case, seconds)
    for _ in range(rounds - 1):
        for row in ours:
            again = our_row(targets, row["χ² ≤"])
            for column in TIMES:
                row.setdefault(f"{column} of all", [row[column]]).append(again[column])
        run.setdefault("samples/s of all", [run["samples/s"]]).append(peer_rate(run, case))
    for row in [*ours, run]:
        row |= {name.removesuffix(" of all"): median(row[name]) for name in row if name.endswith(" of all")}
    return {"brenier": ours, "peer run": run, "peer": [extrapolated(run, row) for row in ours]}


def growth_part(scale: float, fit: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for size in GROWTH[fit]:
        began = time.perf_counter()
        targets = image_like(round(scale * size), GROWTH_DIMENSION)
        print(f"targets made in {time.perf_counter() - began:.0f} s", flush=True)
        rows.append(our_row(targets, GROWTH_LEVEL, fit=fit))
        if len(rows) > 1:
            for name in ("seconds", "processor seconds", "of which steps"):
                ratio = rows[-1][name] / rows[-2][name]
                rows[-1][f"exponent of {name}"] = math.log(ratio) / math.log(rows[-1]["n"] / rows[-2]["n"])
    return {"brenier": rows}


COLUMNS = ("solver", "n", "d", "χ² ≤", "seconds", "of which steps", "χ²", "samples/n", "check samples/n")
BESIDE = (*COLUMNS, "judged χ²", "time / brenier.fit", "time / its steps", "source")
TABLES = {
    **dict.fromkeys(PEERS, BESIDE),
    "growth": (*COLUMNS, "exponent of seconds", "exponent of of which steps"),
    "levels": (*COLUMNS, "processor seconds", "exponent of seconds", "exponent of processor seconds"),
}


# what a run that ended below the level bounds
BOUNDED = ("seconds", "samples/n", "time / brenier.fit", "time / its steps")


def page(parts: dict[str, Any]) -> str:
    """The measured part of docs/scaling.md: each part's table, and the run that measured it."""
    return "\n\n".join(part_text(parts[name], columns) for name, columns in TABLES.items() if name in parts)


def part_text(part: dict[str, Any], columns: tuple[str, ...]) -> str:
    rows = [*part["brenier"], *part.get("peer", [])]
    cells = [[sign(row, column) + cell(row.get(column)) for column in columns] for row in rows]
    machine = part["machine"]
    text = tabulate(cells, columns, tablefmt="github", disable_numparse=True)
    text += f"\n\n`{part['settings']['command']}`, {part['date'][:10]}, "
    text += f"{machine['processor']}, {machine['cores']} cores."
    if run := part.get("peer run"):
        text += f"\n\n{run['solver']} ran {run['seconds']:.0f} s here: {run['samples/s']:,.0f} samples/s, "
        text += f"{run['samples/n']:.2f} n samples, χ² = {run['χ²']:.3g} ± {run['standard error']:.2g}; "
        text += f"`{run['settings']}`."
    return text


def sign(row: dict[str, Any], column: str) -> str:
    return "≤ " if row.get("at most") and column in BOUNDED else ""


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--parts", default=",".join(TABLES))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--peer-seconds", type=float, default=1200.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--save",
        action="store_true",
        help="parts not asked for keep their saved figures and the run that they are from",
    )
    given = parser.parse_args()
    line = " ".join(["python benchmarks/fit_scale.py", *sys.argv[1:]])
    run = new_record("fit_scale", {"command": line, "scale": given.scale})
    parts = json.loads(RESULTS.read_text())["parts"] if RESULTS.exists() else {}
    asked = given.parts.split(",")
    for solver in [peer for peer in PEERS if peer in asked]:
        parts[solver] = run | peer_part(solver, given.scale, given.peer_seconds, given.rounds)
    if "growth" in asked:
        parts["growth"] = run | growth_part(given.scale, "fit")
    if "levels" in asked:
        parts["levels"] = run | growth_part(given.scale, "fit_hierarchical")
    print(page(parts))
    if given.save:
        write_record(RESULTS, run | {"parts": parts})
        replace_part(PAGE, "fit_scale", page(parts))


if __name__ == "__main__":
    main()
