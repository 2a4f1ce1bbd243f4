"""How many samples, and how much time, a solver needs to reach a level of χ²."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .judge import Verdict

GROWTH = 1.15  # of the budget from one run to the next
MOST_RUNS = 8


@dataclass(frozen=True)
class Crossing:
    """Where χ² falls to the level; with ``only_bound`` the level was not reached and more is needed."""

    level: float
    samples: float
    seconds: float
    only_bound: bool = False
    verdicts: list[Verdict] = field(default_factory=list)


def between(worse: Verdict, better: Verdict, level: float) -> tuple[float, float]:
    """Samples and seconds at the level, both taken as powers of χ² between two runs."""
    if better.error <= 0 or worse.error <= better.error:
        return float(better.samples), better.seconds
    share = math.log(worse.error / level) / math.log(worse.error / better.error)

    def along(start: float, end: float) -> float:
        return start * (end / start) ** share

    return along(worse.samples, better.samples), along(worse.seconds, better.seconds)


def down_a_ladder(verdicts: Iterator[Verdict], level: float) -> Crossing:
    """For a solver that is judged as it runs: stops at the first step of the ladder that reaches the level."""
    seen: list[Verdict] = []
    for verdict in verdicts:
        seen.append(verdict)
        if verdict.error <= level:
            worse = seen[-2] if len(seen) > 1 else verdict
            return Crossing(level, *between(worse, verdict, level), verdicts=seen)
    return unreached(seen, level)


def unreached(seen: list[Verdict], level: float) -> Crossing:
    longest = max(seen, key=lambda verdict: verdict.samples)
    return Crossing(level, longest.samples, longest.seconds, only_bound=True, verdicts=seen)


def smallest_budget(
    run: Callable[[int], Verdict], level: float, start: float, most: float = math.inf
) -> Crossing:
    """For a solver whose schedule depends on its budget: whole runs at budgets GROWTH apart.

    From ``start`` samples the budget grows until a run reaches the level, or shrinks until one does not.
    No run takes more than ``most`` samples, and there are MOST_RUNS at most.
    """
    budget = min(start, most)
    seen = [run(round(budget))]
    reached = seen[0].error <= level
    while len(seen) < MOST_RUNS:
        if not reached and budget >= most:
            return unreached(seen, level)
        budget = budget / GROWTH if reached else min(budget * GROWTH, most)
        seen.append(run(round(budget)))
        if (seen[-1].error <= level) != reached:
            better, worse = (seen[-2], seen[-1]) if reached else (seen[-1], seen[-2])
            return Crossing(level, *between(worse, better, level), verdicts=seen)
    return Crossing(level, seen[-1].samples, seen[-1].seconds, not reached, seen)
