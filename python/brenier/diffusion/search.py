"""Schedule search: the best ρ for each number of evaluations of a trained network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor
from tqdm import tqdm

from brenier.diffusion.heun import evaluations, sample_heun
from brenier.diffusion.loss import Denoiser
from brenier.diffusion.schedules import edm_sigmas
from brenier.errors import BrenierError, InputError

RHOS = (1.0, 2.0, 3.0, 5.0, 7.0, 12.0, 25.0, 90.0)


@dataclass(frozen=True)
class Trial:
    """One schedule and what it scored; lower is better."""

    steps: int
    evaluations: int
    rho: float
    quality: float


@dataclass(frozen=True)
class ScheduleSearch:
    """All trials of a search."""

    trials: tuple[Trial, ...]

    def curve(self) -> list[Trial]:
        """The best trial for each number of evaluations, ascending."""
        best: dict[int, Trial] = {}
        for trial in self.trials:
            known = best.get(trial.evaluations)
            if known is None or trial.quality < known.quality:
                best[trial.evaluations] = trial
        return [best[count] for count in sorted(best)]

    def best(self, *, most_evaluations: int | None = None, slack: float = 0.0) -> Trial:
        """The cheapest schedule within (1 + slack) of the best quality, among those of so many evaluations at most."""
        curve = [t for t in self.curve() if most_evaluations is None or t.evaluations <= most_evaluations]
        if not curve:
            raise InputError(
                "most_evaluations", expected="a number that was tried", got=str(most_evaluations)
            )
        bound = (1 + slack) * min(trial.quality for trial in curve)
        return next(trial for trial in curve if trial.quality <= bound)


def search_schedule(
    denoiser: Denoiser,
    noise: Tensor,
    quality: Callable[[Tensor], float],
    *,
    steps: Sequence[int] = (3, 4, 5, 6, 8, 10, 14, 18),
    rhos: Sequence[float] = RHOS,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    progress: bool = True,
) -> ScheduleSearch:
    """Sample with every (steps, ρ) from one noise and score the samples (AOT, arXiv 2403.05069, tunes both so).

    Search on other noise and other reference images than those that the result is reported on.

    denoiser : D(x, σ); wrap a conditional one so that it knows its labels
    noise : (N, ...) standard normal, the same for all trials
    quality : of samples (N, ...), lower is better: lambda s: frechet_distance(features(train), features(s))
    steps, rhos : Heun steps (2·steps − 1 evaluations) and ρ to try

    Returns ScheduleSearch. Raises InputError, and BrenierError where a quality is NaN.
    """
    if not steps or not rhos:
        raise InputError(
            "steps and rhos", expected="at least one of each", got=f"{list(steps)}, {list(rhos)}"
        )
    trials = []
    grid = [(count, rho) for count in sorted(set(steps)) for rho in (rhos if count > 1 else rhos[:1])]
    for count, rho in tqdm(grid, "searching schedules", disable=not progress, leave=False):
        sigmas = edm_sigmas(count, sigma_min, sigma_max, rho)
        score = float(quality(sample_heun(denoiser, sigma_max * noise, sigmas)))
        if score != score:
            raise BrenierError("quality", expected="a number", got=f"NaN with {count} steps, ρ = {rho:g}")
        trials.append(Trial(count, evaluations(count), float(rho), score))
    return ScheduleSearch(tuple(trials))
