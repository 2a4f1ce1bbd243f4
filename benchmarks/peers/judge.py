"""One judge for all solvers: hard counts of fresh samples, exact winners, unbiased χ²."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import brenier
import numpy as np
import torch
from brenier.data.noise import Stream, normal
from brenier.solve import Potential, chi_square

from .problems import Case

JUDGE_SEED = 0x6A756467  # no solver here is given this seed
ROWS = 4096


@dataclass(frozen=True)
class Answer:
    """What a solver hands over: a potential, the noise samples and the wall time that it took."""

    potential: Potential
    samples: int
    seconds: float


@dataclass(frozen=True)
class Verdict:
    """An answer judged: χ² and its standard error."""

    samples: int
    seconds: float
    error: float
    stderr: float


@dataclass
class Judge:
    """Judges every potential of a case on the same samples."""

    case: Case
    seconds: float = field(default=0.0)

    def __call__(self, answer: Answer) -> Verdict:
        error, stderr = self.chi_square(answer.potential)
        return Verdict(answer.samples, answer.seconds, error, stderr)

    def chi_square(self, potential: Potential) -> tuple[float, float]:
        began = time.perf_counter()
        n, d = self.case.targets.shape
        counts = torch.zeros(n, dtype=torch.int64)
        total = self.case.judged * n
        for first in range(0, total, ROWS):
            noise = normal(JUDGE_SEED, first, min(ROWS, total - first), d, stream=Stream.CHECK)
            brenier.assign(noise, potential.prepared(), potential.heights, counts=counts)
        self.seconds += time.perf_counter() - began
        return chi_square(counts.numpy(), np.full(n, 1 / n))
