"""DPM-OT: noise goes through the potential to a stored noised latent, and only the last M steps are run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from brenier.data.latents import NoisedLatents
from brenier.diffusion.heun import sample_heun
from brenier.diffusion.loss import Denoiser
from brenier.diffusion.schedules import check_sigmas
from brenier.errors import InputError
from brenier.types import Array


class Assigner(Protocol):
    """What is needed of a potential: the winning target of each row of noise."""

    def assign(self, x: Tensor) -> Array:
        """int64 indices (N,)."""


@dataclass(frozen=True)
class DPMOTSamples:
    """Samples and where they came from."""

    samples: Tensor  # (N, d)
    indices: Tensor  # (N,) int64: the target of each noise
    starts: Tensor  # (N, d): the latents x_M the last steps began from


def sample_dpm_ot(
    denoiser: Denoiser,
    potential: Assigner,
    noise: Tensor,
    sigmas: Tensor,
    last_steps: int,
    *,
    latents: NoisedLatents,
    fresh: bool = False,
    seeds: Sequence[int] | None = None,
    progress: bool = False,
) -> DPMOTSamples:
    """Map noise to its latent x_M = y + σ_M·ε and run the last M Heun steps (DPM-OT, arXiv 2307.11308).

    index = argmax_i ⟨noise, y_i⟩ + h_i, then M steps from σ_M to 0: 2M − 1 evaluations. x_M is the target the
    potential was fitted to, so `latents` must be its source: same images, order, level and seed.

    The latents' noise is independent of their images, so use a denoiser trained on independent pairs: one
    trained on AOT pairs never saw such latents, which shows where σ_M is large.
    Where σ_M is small the result is close to a stored image: report `metrics.memorisation` beside quality.

    denoiser : D(x, σ) on flat rows (N, d) (brenier.diffusion.networks accept them)
    noise : (N, d) standard normal
    sigmas : the full schedule (steps + 1,), ending in 0; latents.sigma must be sigmas[-(M+1)], scale 1
    last_steps : M, from 1 to the steps of the schedule
    fresh : noise each latent anew instead of with its stored noise
    seeds : (N,) one per sample, needed with fresh: sample k depends on noise k and seed k alone

    Raises InputError, also where start level and latent level differ, or where a potential with .targets was
    fitted to something else.
    """
    levels = last_levels(sigmas, last_steps)
    check_start(latents, levels)
    check_source(latents, getattr(potential, "targets", None))
    if fresh != (seeds is not None):
        raise InputError(
            "seeds",
            expected="one seed per sample with fresh=True, none without",
            got=f"fresh={fresh}, seeds={'given' if seeds is not None else None}",
            remedy="pass fresh=True, seeds=range(len(noise)), say",
        )
    indices = torch.as_tensor(potential.assign(noise))
    starts = latents.take(indices.cpu(), seeds=seeds).to(noise.device)
    return DPMOTSamples(sample_heun(denoiser, starts, levels, progress=progress), indices, starts)


def last_levels(sigmas: Tensor, last_steps: int) -> Tensor:
    """The levels of the last M steps, (M + 1,)."""
    steps = len(check_sigmas(sigmas)) - 1
    if not (isinstance(last_steps, int) and 1 <= last_steps <= steps):
        raise InputError("last_steps", expected=f"an integer from 1 to {steps}", got=repr(last_steps))
    return sigmas[-(last_steps + 1) :]


def check_start(latents: NoisedLatents, levels: Tensor) -> None:
    """Raise InputError where latents do not lie at the level where sampling starts."""
    start = float(levels[0])
    if latents.scale != 1.0 or not math.isclose(latents.sigma, start, rel_tol=1e-6):
        raise InputError(
            "latents",
            expected=f"scale 1 and the start level, sigma = {start:.9g}",
            got=f"scale {latents.scale:g} and sigma {latents.sigma:.9g}",
            remedy="build NoisedLatents with sigma=float(sigmas[-(last_steps + 1)]) and fit to that",
        )


def check_source(latents: NoisedLatents, targets: Tensor | None) -> None:
    """Raise InputError where a potential's targets are visibly not these latents: shape, then a few rows."""
    if targets is None:
        return
    if tuple(targets.shape) != latents.shape:
        raise InputError("latents", expected=f"shape {tuple(targets.shape)}", got=str(latents.shape))
    rows = torch.linspace(0, len(latents) - 1, min(8, len(latents))).long()
    fitted, given = targets[rows.to(targets.device)].float().cpu(), latents.take(rows).cpu()
    if not torch.allclose(fitted, given, rtol=1e-2, atol=1e-2 * float(given.abs().max())):
        raise InputError(
            "latents",
            expected="the targets that the potential was fitted to",
            got="other rows",
            remedy="use the same images, order, sigma and seed",
        )
