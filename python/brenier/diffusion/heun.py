"""EDM's deterministic sampler: Heun's method on the probability-flow ODE dx/dσ = (x − D(x; σ))/σ."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, overload

import torch
from torch import Tensor
from tqdm import tqdm

from brenier.diffusion.loss import Denoiser
from brenier.diffusion.schedules import check_sigmas
from brenier.engine.checks import require_finite
from brenier.errors import InputError


def evaluations(steps: int) -> int:
    """Evaluations of the denoiser by `steps` Heun steps ending at σ = 0: 2·steps − 1."""
    return 2 * steps - 1


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

    Deterministic, without gradients; x is not changed. Raises InputError.
    """
    levels = check_sigmas(sigmas)
    if x.ndim < 2 or not x.is_floating_point():
        raise InputError("x", expected="floating-point samples (N, ...)", got=f"{x.dtype} {tuple(x.shape)}")
    require_finite(x, "x")
    states = [x]
    intervals = list(pairwise(levels))
    with torch.no_grad():
        for sigma, lower in tqdm(intervals, desc="Heun", disable=not progress, leave=False):
            x = heun_step(denoiser, x, sigma, lower)
            if trajectory:
                states.append(x)
    return (x, torch.stack(states)) if trajectory else x


def heun_step(denoiser: Denoiser, x: Tensor, sigma: float, lower: float) -> Tensor:
    """One step from σ to a lower level; Euler where the lower level is 0."""
    slope = (x - denoiser(x, sigma)) / sigma
    euler = x + (lower - sigma) * slope
    if lower == 0:
        return euler
    corrected = (euler - denoiser(euler, lower)) / lower
    return x + (lower - sigma) * 0.5 * (slope + corrected)
