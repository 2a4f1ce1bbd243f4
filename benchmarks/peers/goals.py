"""The goals that the project set itself (issue 2), and whether a run meets them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Goal:
    """A peer's figure must be at least ``times`` brenier's.

    Samples and seconds are those until χ² reaches the level by the common judge. A peer does not check itself, so
    brenier's own check is left out too; the row "brenier.fit(tol)" shows a whole call with it.
    """

    problem: str
    solver: str
    figure: str
    times: float


TUNED_PEERS = ("POT tuned", "OTT-JAX tuned")
GOALS = (
    *(Goal("digits", peer, "samples", 1.0) for peer in TUNED_PEERS),
    Goal("digits", "POT defaults", "samples", 4.0),
    *(Goal("digits", peer, "seconds", 2.0) for peer in TUNED_PEERS),
    *(Goal("mixture", peer, "samples", 3.0) for peer in TUNED_PEERS),
)


def find(rows: list[dict[str, Any]], problem: str, level: float, solver: str) -> dict[str, Any]:
    wanted = (problem, level, solver)
    return next(row for row in rows if (row["problem"], row["level"], row["solver"]) == wanted)


def judge_goals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every goal at every level that was measured."""
    verdicts = []
    for goal in GOALS:
        for row in rows:
            if (row["problem"], row["solver"]) == (goal.problem, goal.solver):
                verdicts.append(judged(goal, row, rows))
    return verdicts


def judged(goal: Goal, row: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A peer that stopped short of the level gives a lower bound, which can meet a goal but not miss it."""
    ratio = ratio_to_brenier(goal, row, rows)
    met = "yes" if ratio >= goal.times else "not decided" if row["only a bound"] else "NO"
    return {
        "problem": goal.problem,
        "χ² ≤": row["level"],
        "goal": f"{goal.solver}: {goal.figure} ≥ {goal.times:g} × brenier's",
        "measured": ("> " if row["only a bound"] else "") + f"{ratio:.2f}",
        "met": met,
    }


def ratio_to_brenier(goal: Goal, row: dict[str, Any], rows: list[dict[str, Any]]) -> float:
    column = "samples/n" if goal.figure == "samples" else "seconds"
    return row[column] / find(rows, goal.problem, row["level"], "brenier")[column]
