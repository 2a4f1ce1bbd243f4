"""What a fit returns: a potential, how good it is, and how that is known."""

from __future__ import annotations

import math
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
    error         χ² of the cell masses by an independent check of this potential. Where the fit was interrupted before
                  one, in full dimension by the fitting samples, in subspaces by the last check of an earlier state, and
                  nan if there was none; ``error_source`` says so
    error_stderr  its standard error; inf where the error is nan
    error_source  what error goes by, where it is no check of this potential; else empty
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
    error_source: str = ""

    @property
    def converged(self) -> bool:
        return self.status is Status.CONVERGED

    @property
    def check_samples(self) -> int:
        return sum(check.samples for check in self.checks)

    def measured(self) -> str:
        """χ², how it is known, and what it means."""
        text = shown_error(self.error, self.error_stderr, self.tol, self.error_source)
        if math.isnan(self.error):
            return text
        return f"{text}, so cell masses are off by {100 * max(self.error, 0) ** 0.5:.1f}% (root mean square)"

    def summary(self) -> str:
        """A few lines for people."""
        n = self.targets
        lines = [
            str(self.status),
            self.measured(),
            f"{self.samples:,} fitting samples = {self.samples / n:.1f} per target "
            f"(floor of hard counts n/N = {n / max(self.samples, 1):.4g}); "
            f"{self.check_samples:,} samples in {len(self.checks)} check{'s' * (len(self.checks) != 1)}",
            f"{self.seconds:.1f} s, start: {self.start}, noise: {self.sampling}",
        ]
        return "\n".join([*lines, *filter(None, [self.traffic])])


def shown_error(error: float, stderr: float, tol: float, source: str) -> str:
    """χ² ± its standard error, the tolerance, and where χ² comes from."""
    if math.isnan(error):
        return f"χ² {source} (tolerance {tol:g})"
    return ", ".join([f"χ² = {error:.4g} ± {stderr:.2g} (tolerance {tol:g})", *filter(None, [source])])


def warn_unconverged(status: Status, error: float, stderr: float, tol: float, source: str = "") -> None:
    remedy = "" if status is Status.INTERRUPTED else " Raise max_samples, or accept a larger tol."
    warnings.warn(
        f"{status} {shown_error(error, stderr, tol, source)}.{remedy}",
        NotConvergedWarning,
        stacklevel=4,  # the line that called fit
    )
