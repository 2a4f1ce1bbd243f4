"""EDM's preconditioning: a raw network becomes a denoiser with unit-variance inputs and targets."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from brenier.errors import InputError


class EDMPrecond(nn.Module):
    """The denoiser D(x; σ) = c_skip·x + c_out·F(c_in·x, c_noise) around a network F.

    c_skip = σ_d²/(σ²+σ_d²), c_out = σ·σ_d/√(σ²+σ_d²), c_in = 1/√(σ²+σ_d²), c_noise = ln(σ)/4
    (Karras et al. 2022, eq. 7 and table 1).

    network : module called as network(x, c_noise), c_noise (N,); returns the shape of x. One that knows classes
        or other conditions is called as network(x, c_noise, condition) where a condition is given
    sigma_data : σ_d > 0, the standard deviation of the data

    Raises InputError.
    """

    def __init__(self, network: nn.Module, sigma_data: float = 0.5) -> None:
        super().__init__()
        if not 0 < sigma_data < math.inf:
            raise InputError("sigma_data", expected="a finite number > 0", got=repr(sigma_data))
        self.network = network
        self.sigma_data = float(sigma_data)

    def forward(self, x: Tensor, sigma: Tensor | float, condition: Tensor | None = None) -> Tensor:
        """The denoised x (N, ...) at noise level σ, a number or (N,); σ = 0 returns x. condition : (N, ...)."""
        levels = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1).expand(len(x))
        skip, out, scale, noise = self.coefficients(levels)
        given = () if condition is None else (condition,)
        raw = self.network(like(scale, x) * x, noise, *given)
        return like(skip, x) * x + like(out, x) * raw

    def coefficients(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """c_skip, c_out, c_in and c_noise at levels σ (N,)."""
        variance = sigma**2 + self.sigma_data**2
        skip = self.sigma_data**2 / variance
        out = sigma * self.sigma_data / variance.sqrt()
        # σ = 0 has c_out = 0, so any finite c_noise will do there
        tiny = torch.finfo(sigma.dtype).tiny
        return skip, out, variance.rsqrt(), sigma.clamp_min(tiny).log() / 4


def like(factor: Tensor, x: Tensor) -> Tensor:
    """Factors (N,) shaped to multiply x (N, ...)."""
    return factor.reshape(-1, *[1] * (x.ndim - 1))
