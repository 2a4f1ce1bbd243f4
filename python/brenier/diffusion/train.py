"""EDM training with one switch for how noise meets data."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from brenier.diffusion.loss import draw_sigma, edm_loss
from brenier.diffusion.precond import EDMPrecond
from brenier.engine.checks import as_tensor, require_finite
from brenier.errors import BrenierError, InputError
from brenier.pair import PairedPool
from brenier.transport.coupling import Assigner, Coupling, IndependentCoupling, PairSource, PooledCoupling
from brenier.types import Array

CouplingName = Literal["independent", "aot", "semidiscrete"]
GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class TrainResult:
    """A trained denoiser and what its training cost."""

    denoiser: EDMPrecond  # with the averaged (EMA) weights, ready to sample
    losses: Tensor  # (steps,) float32, one per micro-batch
    seconds: float  # wall time, pairing included
    pairing_seconds: float  # of which on assignments
    coupling: str
    steps: int

    def summary(self) -> str:
        tail = self.losses[-max(1, self.steps // 10) :].mean()
        return (
            f"{self.steps} steps with {self.coupling} pairs in {self.seconds:.1f} s "
            f"({self.pairing_seconds:.1f} s pairing), last loss {tail:.3f}"
        )


def train_edm(
    network: nn.Module,
    images: Array,
    *,
    coupling: CouplingName | PairSource | PairedPool = "independent",
    potential: Assigner | None = None,
    steps: int,
    batch: int = 64,
    pool: int = 512,
    lr: float = 1e-3,
    ema: float = 0.999,
    sigma_data: float | None = None,
    P_mean: float = -1.2,
    P_std: float = 1.2,
    labels: Tensor | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool = True,
    callback: Callable[[int, float], object] | None = None,
) -> TrainResult:
    """Train a copy of a network as an EDM denoiser: Adam on edm_loss, clipped gradients, averaged weights.

    The pair (ε, y) comes from the coupling, σ is drawn afterwards for each pair (Karras et al. 2022; AOT,
    arXiv 2403.05069). The learning rate rises over the first 2% of the steps, then falls to 0 as a cosine.

    network : module called as network(x, c_noise), x in the shape of the images; it is copied, not changed
    images : (n, ...) float32, float16 or bfloat16
    coupling : "independent"; "aot" (assignments within pools); "semidiscrete" (through `potential`); or an
        iterator of brenier.transport over (noise, index) or a PairedPool over these images, whose own batch and
        seed then count
    potential : for "semidiscrete": fitted to these images, in this order
    steps, batch, lr : micro-batches in all, pairs in each, highest learning rate
    pool : for "aot", pairs per assignment, a multiple of batch
    ema : decay of the averaged weights per step, warmed up as min(ema, (1 + t)/(10 + t))
    sigma_data : None takes the standard deviation of the images
    labels : (n,) for "aot": assign within classes only
    seed : of noise, order and levels; the same seed gives the same losses on one machine
    device : None is the network's own
    callback : called as callback(step, loss) after every step; a true result stops the training

    Returns TrainResult. Torch's global random state is left as it was. Raises InputError, and BrenierError
    where the loss is no longer finite.
    """
    data = check_images(images, steps)
    pairs = make_pairs(coupling, data.flatten(1), potential, batch, pool, labels, seed)
    spread = float(data.std(correction=0)) if sigma_data is None else sigma_data
    denoiser = EDMPrecond(copy.deepcopy(network), spread).to(device)
    training = Training(denoiser, steps, lr=lr, ema=ema, P_mean=P_mean, P_std=P_std, seed=seed)
    began = time.perf_counter()
    with scoped_seed(seed, training.device):
        losses = run(training, pairs, data, progress, callback)
    seconds = time.perf_counter() - began
    return TrainResult(
        training.average, torch.tensor(losses), seconds, pairs.seconds, pairs.kind, len(losses)
    )


class Training:
    """What changes while training: weights, their average, the optimiser, the levels drawn so far."""

    def __init__(
        self,
        denoiser: EDMPrecond,
        steps: int,
        *,
        lr: float,
        ema: float,
        P_mean: float,
        P_std: float,
        seed: int,
    ) -> None:
        self.denoiser, self.steps, self.ema, self.done = denoiser.train(), steps, ema, 0
        self.average = copy.deepcopy(denoiser).requires_grad_(False).eval()
        self.device = next(denoiser.parameters()).device
        self.optimizer = torch.optim.Adam(denoiser.parameters(), lr=lr, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: rate(step, steps))
        self.levels = torch.Generator().manual_seed(seed)
        self.P_mean, self.P_std = P_mean, P_std

    def step(self, images: Tensor, noise: Tensor) -> float:
        """One optimiser step on pairs (y, ε), (N, ...) each; returns the loss."""
        sigma = draw_sigma(len(images), P_mean=self.P_mean, P_std=self.P_std, generator=self.levels)
        loss = edm_loss(self.denoiser, images, noise.reshape(images.shape), sigma.to(images))
        value = float(loss.detach())
        if not value < float("inf"):
            raise BrenierError(
                "training diverged", expected="a finite loss", got=str(value), remedy="lower lr"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self.schedule.step()
        update_average(self.average, self.denoiser, min(self.ema, (1 + self.done) / (10 + self.done)))
        self.done += 1
        return value


def run(
    training: Training,
    pairs: PairSource,
    images: Tensor,
    progress: bool,
    callback: Callable[[int, float], object] | None,
) -> list[float]:
    """Train to the end or until the callback says so; returns the losses."""
    images, losses = images.to(training.device), []
    bar = tqdm(range(training.steps), desc=f"training ({pairs.kind})", disable=not progress, leave=False)
    for step in bar:
        noise, indices = next(pairs)
        losses.append(training.step(images[indices.to(images.device)], noise.to(images.device)))
        if callback is not None and callback(step, losses[-1]):
            break
    return losses


@contextmanager
def scoped_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's random state from `seed` inside, as it was before outside (for networks with dropout)."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def check_images(images: Array, steps: int) -> Tensor:
    """The images as finite float32 (n, ...), n ≥ 1."""
    data = as_tensor(images, "images")
    if data.ndim < 2 or not data.is_floating_point() or data.numel() == 0:
        raise InputError(
            "images",
            expected="floating-point images (n, ...), n ≥ 1",
            got=f"{data.dtype} {tuple(data.shape)}",
        )
    require_finite(data, "images")
    if not (isinstance(steps, int) and steps >= 1):
        raise InputError("steps", expected="an integer ≥ 1", got=repr(steps))
    return data.float()


def make_pairs(
    coupling: CouplingName | PairSource | PairedPool,
    data: Tensor,
    potential: Assigner | None,
    batch: int,
    pool: int,
    labels: Tensor | None,
    seed: int,
) -> PairSource:
    """The iterator a coupling's name stands for, over data (n, d)."""
    if isinstance(coupling, PairedPool):
        return PooledCoupling(coupling)
    if isinstance(coupling, PairSource):
        return coupling
    if (potential is not None) != (coupling == "semidiscrete"):
        raise InputError(
            "potential",
            expected="one with coupling='semidiscrete', None with the others",
            got=f"{type(potential).__name__} with coupling={coupling!r}",
        )
    if labels is not None and coupling != "aot":
        raise InputError("labels", expected="None unless coupling='aot'", got=f"labels with {coupling!r}")
    if coupling == "independent":
        return IndependentCoupling(len(data), data.shape[1], batch, seed)
    if coupling == "aot":
        return PooledCoupling(PairedPool(data, pool, batch, seed=seed, labels=labels))
    if potential is not None:
        return Coupling(potential, batch, seed, dim=data.shape[1])
    raise InputError("coupling", expected="'independent', 'aot' or 'semidiscrete'", got=repr(coupling))


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
