"""A mixture of Gaussians, whose denoiser, score and predictions at every level of noise are known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from brenier.diffusion import Level
from torch import Tensor


@dataclass(frozen=True)
class Mixture:
    """Equal parts N(centre_k, spread²·I), in rows (K, d)."""

    centres: Tensor
    spread: float

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """D(x; σ) = E[y | y + σε = x], for rows or images (N, ...)."""
        rows, sigma = x.flatten(1), float(sigma)
        centres = self.centres.to(rows)
        total = self.spread**2 + sigma**2
        parts = torch.softmax(-(torch.cdist(rows, centres) ** 2) / (2 * total), dim=1)
        means = (rows[:, None] * self.spread**2 + centres * sigma**2) / total
        return (parts[:, :, None] * means).sum(dim=1).reshape(x.shape)

    def denoise_at(self, x: Tensor, level: Level) -> Tensor:
        """E[y | scale·y + sigma·ε = x]."""
        return self.denoise(x / level.scale, level.sigma / level.scale)

    def draw(self, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Samples (count, d) and the parts they come from."""
        generator = torch.Generator().manual_seed(seed)
        parts = torch.randint(len(self.centres), (count,), generator=generator)
        noise = torch.randn(count, self.centres.shape[1], generator=generator)
        return self.centres[parts] + self.spread * noise, parts

    def nearest(self, x: Tensor) -> Tensor:
        """The part whose centre is nearest to each of (N, ...)."""
        return torch.cdist(x.flatten(1), self.centres.to(x)).argmin(dim=1)


def apart(parts: int = 6, dim: int = 4, *, distance: float = 1.0, spread: float = 0.05) -> Mixture:
    """Parts at corners whose distance from each other is at least the given one."""
    corners = torch.eye(dim, dtype=torch.float64).repeat(-(-parts // dim), 1)[:parts]
    signs = torch.where(torch.arange(parts) < dim, 1.0, -1.0)[:, None]
    return Mixture((corners * signs * distance / 2**0.5).float(), spread)
