"""Samples and time to a good potential: brenier.fit beside POT's and OTT-JAX's semi-discrete solvers.

    python benchmarks/fit_peers.py [--problems digits,mixture] [--save] [--quick]
    python benchmarks/fit_peers.py --tune POT --problems digits --budget 50 --minutes 5

Every potential is judged by the same fresh samples and exact winners (peers/judge.py). A peer's settings are
tuned per problem and level (peers/tuned.py), and it is run whole at several budgets around its crossing of
the level; brenier is judged as it runs. Samples and time at the level itself are interpolated in logarithms.
Times of peers leave out compilation; "fit" is a whole call of brenier.fit with its own checks.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from brenier.report.record import new_record, write_record
from peers import goals, ours, tune
from peers.crossing import GROWTH, Crossing, down_a_ladder, smallest_budget
from peers.judge import Answer, Judge, Verdict
from peers.problems import CASES, Case
from peers.tuned import TUNED, Tuned
from tabulate import tabulate

RESULTS = Path(__file__).parent / "results" / "fit_peers.json"
PEERS = {"POT": "ot.semidiscrete", "OTT-JAX": "ott.solvers.linear.semidiscrete"}
FIRST_RUNG, LAST_RUNG = 4.0, 2000.0  # samples per target where brenier is judged first, and last
DEFAULTS_MARGIN = (
    4.2  # POT's defaults are run with that many times brenier's samples, where a quarter is claimed
)


def installed(solver: str) -> bool:
    try:
        return importlib.util.find_spec(PEERS[solver]) is not None
    except ModuleNotFoundError:
        return False


def rungs(case: Case) -> list[int]:
    """Numbers of samples GROWTH apart."""
    found, rung = [], FIRST_RUNG
    while rung < LAST_RUNG:
        found.append(round(rung * case.size))
        rung *= GROWTH
    return found


def our_crossing(case: Case, judge: Judge, level: float, seed: int) -> Crossing:
    """Judged from 0.15 n/level samples on: before that the level is out of reach (great circles end near 0.21)."""
    ladder = [rung for rung in rungs(case) if rung > 0.15 * case.size / level]
    return down_a_ladder((judge(answer) for answer in ours.trajectory(case, ladder, seed)), level)


def our_fit(case: Case, judge: Judge, level: float, seed: int) -> tuple[Verdict, dict[str, Any]]:
    result = ours.whole_fit(case, level, seed)
    verdict = judge(Answer(result.potential, result.samples, result.seconds))
    checks = {"check samples per target": result.check_samples / case.size, "converged": result.converged}
    return verdict, checks


def peer_crossing(
    solver: str, case: Case, judge: Judge, level: float, tuned: Tuned, seed: int, most: float
) -> Crossing:
    def run(samples: int) -> Verdict:
        return judge(tune.solve(solver, case, tuned.settings, samples, seed))

    return smallest_budget(run, level, tuned.start * case.size, most * case.size)


def row_of(case: Case, name: str, settings: str, crossing: Crossing) -> dict[str, Any]:
    return {
        "problem": case.name,
        "level": crossing.level,
        "solver": name,
        "settings": settings,
        "samples/n": crossing.samples / case.size,
        "seconds": crossing.seconds,
        "only a bound": crossing.only_bound,
        "runs": [
            dataclasses.asdict(verdict) | {"samples/n": verdict.samples / case.size}
            for verdict in crossing.verdicts
        ],
    }


def measure_level(case: Case, judge: Judge, level: float, seed: int, most: float) -> list[dict[str, Any]]:
    """All solvers at one level of one problem; brenier first, since the ratios are to it."""
    crossing = our_crossing(case, judge, level, seed)
    rows = [shown(row_of(case, "brenier", "none", crossing))]
    verdict, checks = our_fit(case, judge, level, seed)
    whole = Crossing(level, verdict.samples, verdict.seconds, verdicts=[verdict])
    rows.append(shown(row_of(case, "brenier.fit(tol)", "tol = level", whole) | checks))
    for solver in filter(installed, PEERS):
        tuned = TUNED.get((solver, case.name, level))
        if tuned is not None:
            found = peer_crossing(solver, case, judge, level, tuned, seed, most)
            rows.append(shown(row_of(case, f"{solver} tuned", str(tuned.settings), found)))
    if case.name != "mixture" and installed("POT"):
        start = DEFAULTS_MARGIN * crossing.samples / case.size
        found = peer_crossing("POT", case, judge, level, Tuned(None, start), seed, start)
        rows.append(shown(row_of(case, "POT defaults", "none", found)))
    return rows


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """The row, its runs printed as they come."""
    for run in row["runs"]:
        print(
            f"{row['problem']:8} χ² ≤ {row['level']:<6g} {row['solver']:17} {run['samples/n']:8.1f} n "
            f"{run['seconds']:8.2f} s   χ² = {run['error']:.5f} ± {run['stderr']:.5f}",
            flush=True,
        )
    return row


def summary(rows: list[dict[str, Any]]) -> str:
    """Samples and time at each level, and both as multiples of brenier's."""
    lines = []
    for row in rows:
        own = goals.find(rows, row["problem"], row["level"], "brenier")
        fit = goals.find(rows, row["problem"], row["level"], "brenier.fit(tol)")
        more = "> " if row["only a bound"] else ""
        lines.append(
            {
                "problem": row["problem"],
                "χ² ≤": row["level"],
                "solver": row["solver"],
                "samples/n": f"{more}{row['samples/n']:.1f}",
                "seconds": f"{more}{row['seconds']:.2f}",
                "samples / brenier": f"{more}{row['samples/n'] / own['samples/n']:.2f}",
                "time / brenier": f"{more}{row['seconds'] / own['seconds']:.2f}",
                "time / fit": f"{more}{row['seconds'] / fit['seconds']:.2f}",
                "settings": short(row["settings"]),
            }
        )
    return tabulate(lines, headers="keys", disable_numparse=True)


def short(settings: str) -> str:
    return settings.split("(", 1)[-1].rstrip(")")[:90]


def package_versions() -> dict[str, str]:
    names = ("POT", "ott-jax", "jax", "optax", "scikit-learn")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def arguments(words: list[str] | None) -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--problems", default="digits,mixture")
    parser.add_argument("--quick", action="store_true", help="225 digits to χ² ≤ 0.2, in seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=float, default=1e9, help="samples per target a peer may take at most")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS}")
    parser.add_argument("--out", type=Path, help="write the record there")
    parser.add_argument("--tune", choices=list(PEERS), help="search settings instead of measuring")
    parser.add_argument("--budget", type=float, default=50.0, help="tune: samples per target")
    parser.add_argument("--minutes", type=float, default=5.0, help="tune: how long")
    return parser.parse_args(words)


def tuning(asked: argparse.Namespace, cases: list[Case]) -> None:
    for case in cases:
        rows = tune.search(asked.tune, case, asked.budget, 60 * asked.minutes, asked.seed)
        print(tabulate(rows[:10], headers="keys", floatfmt=".3g"))


def main(words: list[str] | None = None) -> None:
    asked = arguments(words)
    cases = [CASES[name]() for name in (["tiny"] if asked.quick else asked.problems.split(","))]
    if asked.tune:
        return tuning(asked, cases)
    rows = []
    for case in cases:
        judge = Judge(case)
        for level in case.levels:
            rows += measure_level(case, judge, level, asked.seed, asked.most)
    verdicts = goals.judge_goals(rows)
    print(summary(rows))
    print(tabulate(verdicts, headers="keys", floatfmt=".3g"))
    command = " ".join(["python benchmarks/fit_peers.py", *(words if words is not None else sys.argv[1:])])
    record = new_record("fit_peers", {"command": command, "seed": asked.seed})
    record |= {"peers": package_versions(), "rows": rows, "goals": verdicts}
    for path in [RESULTS] * asked.save + [asked.out] * (asked.out is not None):
        write_record(path, record)
    return None


if __name__ == "__main__":
    main()
