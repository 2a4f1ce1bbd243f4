"""One step of EDM training, and all that changes from step to step."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from brenier.data import noise
from brenier.data.latents import number
from brenier.diffusion.feed import MicroBatch
from brenier.diffusion.loss import edm_loss
from brenier.diffusion.precond import EDMPrecond
from brenier.engine.ranks import Ranks
from brenier.errors import BrenierError, InputError

Precision = Literal["fp32", "bf16"]
GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Settings:
    """What decides the numbers of a training, beside network, data and pairs; as in train_edm."""

    steps: int
    lr: float
    ema: float
    P_mean: float
    P_std: float
    seed: int
    accumulate: int
    precision: Precision
    compile: bool

    def __post_init__(self) -> None:
        for name in ("lr", "P_mean", "P_std"):
            number(getattr(self, name), name, lowest=-math.inf if name == "P_mean" else 0.0)
        if not (isinstance(self.seed, int) and 0 <= self.seed < 1 << 64):
            raise InputError("seed", expected="a whole number in [0, 2**64)", got=repr(self.seed))
        for name in ("steps", "accumulate"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise InputError(name, expected="an integer ≥ 1", got=repr(value))
        if self.precision not in ("fp32", "bf16"):
            raise InputError("precision", expected="'fp32' or 'bf16'", got=repr(self.precision))
        if not 0 <= self.ema < 1:
            raise InputError("ema", expected="a decay from 0 to below 1", got=repr(self.ema))


class PairLoss(nn.Module):
    """edm_loss as a module: what torch.compile and DistributedDataParallel wrap."""

    def __init__(self, denoiser: EDMPrecond) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, images: Tensor, noise: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        return edm_loss(self.denoiser, images, noise, sigma, condition)


class Training:
    """What changes while training: weights, their average, the optimiser, the steps done.

    Everything random in a step is a function of (seed, micro-batch number).
    """

    def __init__(self, denoiser: EDMPrecond, settings: Settings, ranks: Ranks) -> None:
        if not any(parameter.requires_grad for parameter in denoiser.parameters()):
            raise InputError("network", expected="a parameter that requires gradients", got="none")
        self.denoiser, self.settings, self.ranks, self.done = denoiser.train(), settings, ranks, 0
        self.losses: list[float] = []
        self.average = copy.deepcopy(denoiser).requires_grad_(False).eval()
        self.device = next(denoiser.parameters()).device
        self.optimizer = torch.optim.Adam(denoiser.parameters(), lr=settings.lr, fused=True)
        self.loss = wrapped(PairLoss(denoiser), settings, ranks, self.device)

    def step(self, batches: Sequence[tuple[MicroBatch, Tensor, Tensor | None]]) -> float:
        """One optimiser step on micro-batches with their images and conditions; returns the mean loss."""
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for place, (batch, images, condition) in enumerate(batches):
            # gradients are exchanged once, after the last micro-batch
            with contextlib.nullcontext() if place == len(batches) - 1 else self.no_sync():
                loss = self.loss_of(batch, images, condition) / len(batches)
                loss.backward()
            total += loss.detach()
        value = self.finite_mean(total)
        self.update()
        self.losses.append(value)
        return value

    def loss_of(self, batch: MicroBatch, images: Tensor, condition: Tensor | None) -> Tensor:
        torch.manual_seed((self.settings.seed << 32) + batch.number & (1 << 63) - 1)  # for dropout
        sigma = levels(self.settings, batch.number * len(images), len(images)).to(images)
        epsilon = batch.noise.to(images).reshape(images.shape)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            result: Tensor = self.loss(images, epsilon, sigma, condition)
        return result

    def finite_mean(self, total: Tensor) -> float:
        """The mean over ranks; raises BrenierError on all of them where it is not finite."""
        if self.ranks.world > 1:
            dist.all_reduce(total, group=self.ranks.group)
            total /= self.ranks.world
        value = float(total)
        if not math.isfinite(value):
            raise BrenierError(
                "training diverged", expected="a finite loss", got=str(value), remedy="lower lr"
            )
        return value

    def update(self) -> None:
        """Move the weights by their gradients, and their average after them."""
        settings = self.settings
        norm = torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), GRADIENT_NORM)
        if not math.isfinite(float(norm)):  # the weights are still those of the step before
            raise BrenierError(
                "training diverged",
                expected="finite gradients",
                got=f"a norm of {float(norm)}",
                remedy="lower lr",
            )
        for group in self.optimizer.param_groups:
            group["lr"] = settings.lr * rate(self.done, settings.steps)
        self.optimizer.step()
        update_average(self.average, self.denoiser, min(settings.ema, (1 + self.done) / (10 + self.done)))
        self.done += 1

    def no_sync(self) -> Any:
        return self.loss.no_sync() if self.ranks.world > 1 else contextlib.nullcontext()


def wrapped(loss: PairLoss, settings: Settings, ranks: Ranks, device: torch.device) -> Any:
    """The loss, distributed over ranks and compiled as wished."""
    module: Any = loss
    if ranks.world > 1:
        devices = [device] if device.type == "cuda" else None
        module = nn.parallel.DistributedDataParallel(module, devices, process_group=ranks.group)
    if settings.compile:
        module.compile()  # in place: the wrapped module keeps no_sync and its parameters' names
    return module


def levels(settings: Settings, first: int, count: int) -> Tensor:
    """Noise levels of pairs number first to first + count − 1, float32 (count,): ln σ ~ N(P_mean, P_std²)."""
    drawn = noise.normal(settings.seed, first, count, 1, stream=noise.Stream.LEVEL)[:, 0]
    return (settings.P_mean + settings.P_std * drawn).exp()


def rate(step: int, steps: int) -> float:
    """The learning rate's factor: a linear rise over 2% of the steps, then half a cosine to 0."""
    rise = max(1, steps // 50)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, decay: float) -> None:
    """average ← decay·average + (1 − decay)·current, for parameters; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(current.parameters()), 1 - decay)
    for kept, fresh in zip(average.buffers(), current.buffers(), strict=True):
        kept.copy_(fresh)
