"""EDM's training loss and its distribution of noise levels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from brenier.diffusion.precond import EDMPrecond, like
from brenier.errors import InputError

Denoiser = Callable[[Tensor, Tensor | float], Tensor]


def draw_sigma(
    count: int, *, P_mean: float = -1.2, P_std: float = 1.2, generator: torch.Generator | None = None
) -> Tensor:
    """Levels with ln σ ~ N(P_mean, P_std²) (Karras et al. 2022, table 1): float32 (count,), on the CPU."""
    return (P_mean + P_std * torch.randn(count, generator=generator)).exp()


def edm_loss(
    denoiser: EDMPrecond,
    images: Tensor,
    noise: Tensor,
    sigma: Tensor,
    condition: Tensor | None = None,
) -> Tensor:
    """The mean of λ(σ)·(D(y + σε; σ) − y)², λ = (σ²+σ_d²)/(σσ_d)² (Karras et al. 2022, eq. 2 and table 1).

    images, noise : y and ε, (N, ...) of one shape, ε with unit variance; any coupling of the two is allowed
    sigma : σ > 0, (N,)
    condition : (N, ...), passed on to the network where given

    Returns a scalar. Raises InputError where shapes differ.
    """
    if images.shape != noise.shape or sigma.shape != (len(images),):
        raise InputError(
            "images, noise and sigma",
            expected="shapes (N, ...), the same, and (N,)",
            got=f"{tuple(images.shape)}, {tuple(noise.shape)} and {tuple(sigma.shape)}",
        )
    given = () if condition is None else (condition,)
    denoised = denoiser(images + like(sigma, images) * noise, sigma, *given)
    weight = (sigma**2 + denoiser.sigma_data**2) / (sigma * denoiser.sigma_data) ** 2
    return (like(weight, images) * (denoised - images) ** 2).mean()
