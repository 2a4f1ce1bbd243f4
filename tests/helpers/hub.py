"""Small diffusers components for tests: exact networks for a mixture, tiny random ones, maps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from brenier import Potential
from brenier.data import NoisedLatents
from brenier.diffusion import Level, start_level
from brenier.diffusion.diffusers import OTMap, SchedulerProcess
from diffusers import UNet2DConditionModel, UNet2DModel
from helpers.mixture import Mixture
from torch import Tensor, nn


class ExactNetwork(nn.Module):
    """What an ideal U-Net of a scheduler's kind predicts for a mixture, at x as the scheduler hands it over.

    kind : "vp" (x = √ᾱ y + √(1−ᾱ) ε, predicts ε, v or y) or "flow" (x = (1−σ) y + σ ε, predicts ε − y)
    """

    def __init__(self, mixture: Mixture, scheduler: Any, prediction: str = "epsilon") -> None:
        super().__init__()
        self.mixture, self.prediction = mixture, prediction
        self.dtype, self.device = torch.float32, torch.device("cpu")
        self.alphas = getattr(scheduler, "alphas_cumprod", None)
        self.calls: list[float] = []

    def level(self, time: float) -> Level:
        if self.alphas is None:
            return Level(1 - time / 1000, time / 1000)
        sigmas = ((1 - self.alphas) / self.alphas).sqrt().numpy()
        sigma = float(np.interp(time, np.arange(len(sigmas)), sigmas))  # between timesteps as Euler does
        return Level(1 / (1 + sigma**2) ** 0.5, sigma / (1 + sigma**2) ** 0.5)

    def forward(self, x: Tensor, time: Tensor, **condition: Any) -> SimpleNamespace:
        assert not condition
        self.calls.append(float(time))
        level = self.level(float(time))
        clean = self.mixture.denoise_at(x, level)
        epsilon = (x - level.scale * clean) / level.sigma
        if self.alphas is None:
            return SimpleNamespace(sample=epsilon - clean)
        v = level.scale * epsilon - level.sigma * clean
        return SimpleNamespace(
            sample={"epsilon": epsilon, "v_prediction": v, "sample": clean}[self.prediction]
        )


def map_for(
    scheduler: Any, steps: int, last: int, data: Tensor, shape: tuple[int, ...], **options: Any
) -> OTMap:
    """Data noised to the start of the last steps, with heights 0."""
    level = start_level(SchedulerProcess(scheduler, steps), last)
    latents = NoisedLatents(data, sigma=level.sigma, scale=level.scale, seed=1)
    potential = options.pop("potential", Potential.of)(latents.materialise(), torch.zeros(len(data)))
    return OTMap.of(
        potential, latents, image_shape=shape, num_inference_steps=steps, last_steps=last, **options
    )


def sizes(channels: int, size: int) -> dict[str, Any]:
    """What the tiny networks share; their weights are drawn from one seed."""
    torch.manual_seed(0)
    return {
        "sample_size": size,
        "in_channels": channels,
        "out_channels": channels,
        "layers_per_block": 1,
        "block_out_channels": (8, 16),
        "norm_num_groups": 4,
    }


def tiny_unet(channels: int = 1, size: int = 8, classes: int | None = None) -> UNet2DModel:
    return UNet2DModel(
        **sizes(channels, size),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        num_class_embeds=classes,
    ).eval()


def tiny_conditional_unet(channels: int = 1, size: int = 8) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        **sizes(channels, size),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=4,
    ).eval()
