"""EDM's deterministic sampler: Heun's method on the probability-flow ODE dx/dσ = (x − D(x; σ))/σ."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, overload

import torch
from torch import Tensor
from tqdm import tqdm

from brenier.diffusion.loss import Denoiser
from brenier.diffusion.process import (
    Level,
    Model,
    StepNoise,
    check_drawn,
    check_last_steps,
    check_samples,
    same_shape,
)
from brenier.diffusion.schedules import check_sigmas


def evaluations(steps: int) -> int:
    """Evaluations of the denoiser by `steps` Heun steps ending at σ = 0: 2·steps − 1."""
    return 2 * steps - 1


@dataclass(frozen=True, eq=False)
class HeunSchedule:
    """Levels σ_0 > … > σ_S, usually ending in 0, gone through by sample_heun: a ReverseProcess for EDM models.

    The last M steps begin at sigmas[-(M + 1)], where x = y + σ·ε. Raises InputError.
    """

    sigmas: Tensor  # (steps + 1,)
    stochastic = False

    def __post_init__(self) -> None:
        check_sigmas(self.sigmas)

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    def start(self, last_steps: int) -> Level:
        return Level(1.0, float(self.sigmas[-(check_last_steps(last_steps, self.steps) + 1)]))

    def evaluations(self, last_steps: int) -> int:
        return 2 * last_steps - (float(self.sigmas[-1]) == 0)

    def run(
        self,
        model: Model,
        x: Tensor,
        last_steps: int,
        *,
        noise: StepNoise | None,  # noqa: ARG002  # deterministic
        progress: bool,
    ) -> Tensor:
        return sample_heun(model, x, self.sigmas[-(last_steps + 1) :], progress=progress)


@overload
def sample_heun(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, progress: bool = ..., trajectory: Literal[False] = ...
) -> Tensor: ...
@overload
def sample_heun(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, progress: bool = ..., trajectory: Literal[True]
) -> tuple[Tensor, Tensor]: ...
def sample_heun(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, progress: bool = False, trajectory: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Denoise x from level sigmas[0] to sigmas[-1] (Karras et al. 2022, algorithm 1 without churn).

    denoiser : D(x, σ), σ a number; x is passed on in its own shape and type
    x : (N, ...) already at noise level sigmas[0]: sigmas[0]·noise for EDM's start, or a noised image
    sigmas : (steps + 1,), decreasing; a last step to 0 is an Euler step (2·steps − 1 evaluations in all)
    trajectory : also return every state, (steps + 1, N, ...)

    Deterministic, without gradients; x is not changed. Raises InputError, BrenierError where NaN or Inf came out.
    """
    levels = check_sigmas(sigmas)
    check_samples(x)
    denoiser, states = same_shape(denoiser), [x]
    intervals = list(pairwise(levels))
    with torch.no_grad():
        for sigma, lower in tqdm(intervals, desc="Heun", disable=not progress, leave=False):
            x = heun_step(denoiser, x, sigma, lower)
            if trajectory:
                states.append(x)
    check_drawn(x)
    return (x, torch.stack(states)) if trajectory else x


def heun_step(denoiser: Denoiser, x: Tensor, sigma: float, lower: float) -> Tensor:
    """One step from σ to a lower level; Euler where the lower level is 0."""
    slope = (x - denoiser(x, sigma)) / sigma
    euler = x + (lower - sigma) * slope
    if lower == 0:
        return euler
    corrected = (euler - denoiser(euler, lower)) / lower
    return x + (lower - sigma) * 0.5 * (slope + corrected)
