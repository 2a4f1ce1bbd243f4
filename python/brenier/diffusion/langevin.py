"""Annealed Langevin dynamics for score networks trained by NCSNv2 (Song & Ermon 2020, arXiv 2006.09011)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from brenier.diffusion.loss import Denoiser
from brenier.diffusion.process import (
    Level,
    Model,
    Seeds,
    StepNoise,
    check_last_steps,
    run_process,
    same_shape,
)
from brenier.diffusion.schedules import check_sigmas
from brenier.errors import InputError

PUBLISHED = {  # σ_1, σ_L, L, T, ε of the paper's table; images in [0, 1]
    "cifar10": (50.0, 0.01, 232, 5, 6.2e-6),
    "celeba": (90.0, 0.01, 500, 5, 3.3e-6),
    "ffhq": (348.0, 0.01, 2311, 3, 9e-7),
}
"""Schedules of NCSNv2; DPM-OT (arXiv 2307.11308) uses them too."""


@dataclass(frozen=True, eq=False)
class LangevinSchedule:
    """Levels σ_1 > … > σ_L > 0, each with T Langevin steps, and a last denoising step: a ReverseProcess.

    x ← x + α_i s(x, σ_i) + √(2α_i) z,  α_i = ε σ_i²/σ_L²     (Song & Ermon 2020, algorithm 1)
    x ← x + σ_L² s(x, σ_L)                                    (at the end, where denoise is true)

    sigmas : (L,), decreasing, in units of the data (NCSNv2 has its images in [0, 1])
    steps_each, epsilon : T and ε

    A step of the schedule is a level: the last M are M·T + 1 evaluations. They begin with T Langevin steps at
    σ_{L−M+1} = sigmas[-M], so their start is y + sigmas[-M]·ε. Raises InputError.
    """

    sigmas: Tensor
    steps_each: int
    epsilon: float
    denoise: bool = True
    stochastic = True

    def __post_init__(self) -> None:
        check_levels(self.sigmas)
        if not (isinstance(self.steps_each, int) and self.steps_each >= 1):
            raise InputError("steps_each", expected="an integer ≥ 1", got=repr(self.steps_each))
        if not 0 < self.epsilon < math.inf:
            raise InputError("epsilon", expected="a finite number > 0", got=repr(self.epsilon))

    @classmethod
    def published(cls, name: str) -> LangevinSchedule:
        """NCSNv2's own for "cifar10", "celeba" or "ffhq"; raises InputError for other names."""
        if name not in PUBLISHED:
            raise InputError("schedule", expected=" or ".join(PUBLISHED), got=repr(name))
        high, low, levels, steps_each, epsilon = PUBLISHED[name]
        return cls.geometric(high, low, levels, steps_each=steps_each, epsilon=epsilon)

    @classmethod
    def geometric(
        cls,
        sigma_max: float,
        sigma_min: float,
        levels: int,
        *,
        steps_each: int = 5,
        epsilon: float | None = None,
        denoise: bool = True,
    ) -> LangevinSchedule:
        """Levels in geometric progression; ε None is langevin_epsilon's. Raises InputError."""
        if not (isinstance(levels, int) and levels >= 2 and 0 < sigma_min < sigma_max < math.inf):
            raise InputError(
                "levels",
                expected="at least 2, between 0 < sigma_min < sigma_max",
                got=f"{levels!r} between {sigma_min} and {sigma_max}",
            )
        ramp = torch.linspace(0, 1, levels, dtype=torch.float64)
        sigmas = math.log(sigma_max) + ramp * (math.log(sigma_min) - math.log(sigma_max))
        sigmas = sigmas.exp()
        sigmas[0], sigmas[-1] = sigma_max, sigma_min  # exactly, so that start levels can be compared
        chosen = langevin_epsilon(sigmas, steps_each) if epsilon is None else epsilon
        return cls(sigmas, steps_each, chosen, denoise)

    @property
    def steps(self) -> int:
        return len(self.sigmas)

    def start(self, last_steps: int) -> Level:
        return Level(1.0, float(self.sigmas[-check_last_steps(last_steps, self.steps)]))

    def evaluations(self, last_steps: int) -> int:
        return last_steps * self.steps_each + self.denoise

    def run(
        self, model: Model, x: Tensor, last_steps: int, *, noise: StepNoise | None, progress: bool
    ) -> Tensor:
        assert noise is not None  # the callers see to it
        model = same_shape(model)
        levels = [float(sigma) for sigma in self.sigmas[-last_steps:]]
        # counted from the front of the whole schedule: a level draws the same noise whatever M is
        number = 1 + (self.steps - last_steps) * self.steps_each
        for sigma in tqdm(levels, desc="Langevin", disable=not progress, leave=False):
            alpha = self.epsilon * (sigma / levels[-1]) ** 2
            for _ in range(self.steps_each):
                x = x + alpha * model(x, sigma) + math.sqrt(2 * alpha) * noise(number, x)
                number += 1
        return x + levels[-1] ** 2 * model(x, levels[-1]) if self.denoise else x


def sample_langevin(
    score: Model,
    x: Tensor,
    schedule: LangevinSchedule,
    *,
    seeds: Seeds,
    last_steps: int | None = None,
    progress: bool = False,
) -> Tensor:
    """Annealed Langevin dynamics through the last M levels of a schedule (all, if None), then one denoising.

    score : s(x, σ) ≈ ∇ log p_σ(x), σ a number; score_of(denoiser) makes one of a denoiser
    x : (N, ...) at the first level run: y + sigmas[-M]·ε, or sigmas[0]·noise for the whole schedule
    seeds : (N,); the noise of sample k comes from seed k alone (first_noise is its number 0)

    Returns (N, ...), without gradients; x is not changed. Raises InputError.
    """
    return run_process(schedule, score, x, last_steps, seeds, progress)


def score_of(denoiser: Denoiser) -> Model:
    """The score s(x, σ) = (D(x; σ) − x)/σ² of a denoiser (Tweedie's formula)."""

    def score(x: Tensor, sigma: float) -> Tensor:
        return (denoiser(x, sigma) - x) / sigma**2

    return score


def denoiser_of(score: Model) -> Denoiser:
    """The denoiser D(x; σ) = x + σ² s(x, σ) of a score: an NCSNv2 network for Heun's sampler."""

    def denoise(x: Tensor, sigma: Tensor | float) -> Tensor:
        return x + sigma**2 * score(x, sigma)

    return denoise


def langevin_epsilon(sigmas: Tensor, steps_each: int) -> float:
    """The ε that keeps the spread of one Gaussian closest to σ_i across levels (Song & Ermon 2020, technique 4).

    The ratio of variances after T steps at a level, s_T²/σ_i² = q^{2T}(γ² − c) + c with γ = σ_{i−1}/σ_i,
    q = 1 − ε/σ_L² and c = 2ε/(σ_L²(1 − q²)), is brought as close to 1 as it can be. Raises InputError.
    """
    levels = check_levels(sigmas)
    gamma = levels[0] / levels[1]
    # in u = ε/σ_L², over which the ratio has one dip: a grid in its logarithm, refined twice
    low, high = math.log(1e-6), math.log(0.999)
    for _ in range(3):
        grid = torch.linspace(low, high, 4001, dtype=torch.float64)
        misses = variance_miss(grid.exp(), gamma, steps_each)
        best, width = float(grid[int(misses.argmin())]), (high - low) / 4000
        low, high = best - 2 * width, best + 2 * width
    return math.exp(best) * levels[-1] ** 2


def variance_miss(u: Tensor, gamma: float, steps_each: int) -> Tensor:
    keep = 1 - u
    settled = 2 * u / (1 - keep**2)
    return (keep ** (2 * steps_each) * (gamma**2 - settled) + settled - 1).abs()


def check_levels(sigmas: Tensor) -> list[float]:
    """The levels as floats; raises InputError unless they are finite, strictly decreasing and > 0."""
    levels = [*check_sigmas(torch.cat([torch.as_tensor(sigmas, dtype=torch.float64), torch.zeros(1)]))]
    return levels[:-1]
