"""The few-step samplers that DPM-OT is compared with, one evaluation a step, on EDM's levels."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, float], Tensor]


@torch.no_grad()
def sample_ddim(denoiser: Denoiser, x: Tensor, sigmas: Tensor) -> Tensor:
    """DDIM (Song et al. 2021, eq. 12 with η = 0), which in x/√ᾱ is Euler's step x + (σ' − σ)·(x − D)/σ."""
    for sigma, lower in pairwise(sigmas.tolist()):
        x = x + (lower - sigma) / sigma * (x - denoiser(x, sigma))
    return x


@torch.no_grad()
def sample_dpm_solver(denoiser: Denoiser, x: Tensor, sigmas: Tensor) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2), in VE form, λ = −ln σ; the last step, to 0, is first order."""
    before: tuple[Tensor, float] | None = None
    for sigma, lower in pairwise(sigmas.tolist()):
        now = denoiser(x, sigma)
        if lower == 0:
            return now
        h = math.log(sigma / lower)
        guess = now
        if before is not None:
            old, last_h = before
            guess = now + h / (2 * last_h) * (now - old)
        x = lower / sigma * x - math.expm1(-h) * guess
        before = now, h
    return x
