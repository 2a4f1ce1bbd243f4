"""What a fit returns: a potential, how good it is, and how that is known."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from brenier.errors import NotConvergedWarning
from brenier.solve.check import Check

if TYPE_CHECKING:
    from brenier.solve.potential import Potential


class Status(Enum):
    """How a fit ended, as a sentence."""

    CONVERGED = "Converged: an independent check proves the tolerance (error + 2 standard errors ≤ tol)."
    BUDGET = "Not converged: max_samples was reached before an independent check could prove the tolerance."
    INTERRUPTED = "Not converged: interrupted by the user; the best potential so far is returned."

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Record:
    """One step of the history."""

    samples: int  # fitting samples so far
    error: float  # monitor: χ² of recent averaged potentials on samples they had not seen
    epsilon: float  # temperature, in units of the score
    seconds: float


@dataclass(frozen=True)
class FitResult:
    """A fitted potential.

    potential     the Brenier potential, for the targets as given
    status        how the fit ended, a sentence
    error         χ² of the cell masses by the last independent check (by the monitor if interrupted)
    error_stderr  its standard error
    samples       noise samples used for fitting; those of the checks are listed in ``checks``
    seconds       wall time
    history       one Record per step
    checks        independent checks, each on samples used for nothing else
    sampling      how the noise was drawn: full dimension or subspaces
    traffic       passes over streamed targets, their rates, and what bounded them; empty for targets in memory
    """

    potential: Potential
    status: Status
    error: float
    error_stderr: float
    samples: int
    seconds: float
    tol: float
    targets: int
    history: list[Record] = field(repr=False)
    checks: list[Check] = field(repr=False)
    sampling: str = "full dimension"
    start: str = "extreme value"
    traffic: str = ""

    @property
    def converged(self) -> bool:
        return self.status is Status.CONVERGED

    @property
    def check_samples(self) -> int:
        return sum(check.samples for check in self.checks)

    def summary(self) -> str:
        """A few lines for people."""
        n = self.targets
        lines = [
            str(self.status),
            f"χ² = {self.error:.4g} ± {self.error_stderr:.2g} (tolerance {self.tol:g}), "
            f"so cell masses are off by {100 * max(self.error, 0) ** 0.5:.1f}% (root mean square)",
            f"{self.samples:,} fitting samples = {self.samples / n:.1f} per target "
            f"(floor of hard counts n/N = {n / max(self.samples, 1):.4g}); "
            f"{self.check_samples:,} samples in {len(self.checks)} checks",
            f"{self.seconds:.1f} s, start: {self.start}, noise: {self.sampling}",
        ]
        return "\n".join([*lines, *filter(None, [self.traffic])])


def warn_unconverged(status: Status, error: float, stderr: float, tol: float) -> None:
    warnings.warn(
        f"{status} Measured χ² = {error:.4g} ± {stderr:.2g}, tolerance {tol:g}. "
        "Raise max_samples, or accept a larger tol.",
        NotConvergedWarning,
        stacklevel=4,  # the line that called fit
    )
