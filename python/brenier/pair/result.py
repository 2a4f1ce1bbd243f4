"""What a pairing is, and the one function that says how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol


class PairingStatus(Enum):
    """How a solve ended; the value is the sentence to print."""

    OPTIMAL = "optimal: the dual bound proves that no permutation is better, up to float64 rounding"
    OPTIMAL_BY_PATHS = "optimal by the dual bound, up to rounding; bidding stalled and paths finished"
    WITHIN_GAP = "within the gap asked for, proved by the dual bound; a better permutation may exist"
    FINISHED_ON_CPU = (
        "proved as good as asked for; the device's prices left it open, and the CPU's solver finished"
    )
    UNPROVED = "all rows are matched, but rounding leaves a larger gap than asked for: rescale the scores"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Pairing:
    """Which noise goes with which row of data, one to one.

    permutation : (N,) int64, the noise given to each row of data; (B, n) for a batch of score matrices
    cost, cost_before : mean squared distance of the pairs (solve_assignment: total score), and that of the
        given order; per matrix (B,) for a batch
    gap : at most this share of the gain over a random permutation is lost (the worst of a batch); 0 when
        optimal
    status : a PairingStatus
    seconds : wall time of the call
    weight : of the conditions' distance in the cost, 0 without conditions
    """

    permutation: Any
    cost: Any
    cost_before: Any
    gap: float
    status: PairingStatus
    seconds: float
    weight: float = 0.0


_new, _set = object.__new__, object.__setattr__
OPTIMAL = PairingStatus.OPTIMAL


def optimal(permutation: Any, cost: float, cost_before: float, seconds: float) -> Pairing:
    """A proved optimum; fills the record at once, because one guarded field after the other takes longer than
    solving a small problem."""
    made = _new(Pairing)
    fields = {
        "permutation": permutation,
        "cost": cost,
        "cost_before": cost_before,
        "gap": 0.0,
        "status": OPTIMAL,
        "seconds": seconds,
        "weight": 0.0,
    }
    _set(made, "__dict__", fields)
    return made


class Judged(Protocol):
    """What judges an answer: engine.assignment.Assigned, engine.auction.Proof."""

    @property
    def excess(self) -> float: ...
    @property
    def rounding(self) -> float: ...
    @property
    def gain(self) -> float: ...
    @property
    def stalled(self) -> bool: ...


def judge(solved: Sequence[Judged], gap: float) -> tuple[float, PairingStatus]:
    """The gap proved for independent problems together, and the status that it earns."""
    if all(one.excess <= one.rounding for one in solved):
        stalled = any(one.stalled for one in solved)
        return 0.0, PairingStatus.OPTIMAL_BY_PATHS if stalled else PairingStatus.OPTIMAL
    proved = max(one.excess / one.gain for one in solved if one.excess > one.rounding)
    return proved, PairingStatus.WITHIN_GAP if proved <= gap else PairingStatus.UNPROVED
