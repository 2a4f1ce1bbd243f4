"""DPM-OT: noise goes through the potential to a stored noised latent, and only the last M steps are run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from brenier.data.latents import NoisedLatents
from brenier.diffusion.guidance import guided
from brenier.diffusion.heun import HeunSchedule
from brenier.diffusion.process import (
    Level,
    ReverseProcess,
    Seeds,
    check_samples,
    first_noise,
    run_process,
    whole_seeds,
)
from brenier.diffusion.starts import Assigner, check_source, check_start, device_of, map_noise
from brenier.errors import InputError
from brenier.solve.labelled import LabelledPotential
from brenier.transport import Blend, Extension, TopTargets
from brenier.types import Array


@dataclass(frozen=True)
class DPMOTSamples:
    """Samples and where they came from."""

    samples: Tensor  # (N, d), or (N, ...) in the shape of the noise
    indices: Tensor  # (N,) int64: the target of each noise
    starts: Tensor  # as samples: the latents x_M the last steps began from
    blend: Blend | None = None  # the targets mixed for each start, with an extension
    top: TopTargets | None = None  # the best targets of each noise, if asked for


def sample_dpm_ot(
    denoiser: Any,
    potential: Assigner | LabelledPotential,
    noise: Tensor | None,
    sigmas: Tensor | ReverseProcess,
    last_steps: int,
    *,
    latents: NoisedLatents,
    fresh: bool = False,
    seeds: Seeds | None = None,
    labels: Array | None = None,
    guidance: float | None = 1.0,
    null_label: Any = None,
    extension: Extension | None = None,
    top: int = 0,
    image_shape: tuple[int, ...] | None = None,
    progress: bool = False,
) -> DPMOTSamples:
    """Map noise to its latent x_M = a·y + b·ε and run the last M steps of a model from there (arXiv 2307.11308).

    index = argmax_i ⟨noise, y_i⟩ + h_i, then M steps from the level of x_M. x_M is the target the potential was
    fitted to, so `latents` must be its source: same images, order, level and seed.

    The latents' noise is independent of their images, so use a model trained on independent pairs: one trained
    on AOT pairs never saw such latents, which shows where the level is high.
    Where the level is low the result is close to a stored image: report `metrics.memorisation` beside quality.

    sigmas : the whole schedule, of which the last M steps are run. It says what `denoiser` is:
        levels (steps + 1,) ending in 0, or a HeunSchedule: a denoiser D(x, σ) (EDM)
        a LangevinSchedule: a score s(x, σ) (NCSNv2)
        a VPSchedule: a model of (x, t) (DDPM, DDIM)
    last_steps : M, from 1 to the steps of the schedule; latents lie at start_level(sigmas, last_steps)
    noise : (N, ...) standard normal, or None: made from the seeds, in image_shape, where the potential is
    seeds : (N,), needed where noise is None, with fresh, and where the steps draw noise: sample k depends on noise k
        and seed k alone
    fresh : noise each latent anew instead of with its stored noise
    labels : (N,) classes, for a LabelledPotential; the model is called with them as its third argument
    guidance, null_label : classifier-free guidance with labels, see guided; guidance None leaves a model without
        conditions alone
    extension : mix neighbouring targets (brenier.transport.Extension); the noise stays at its level
    top : also return so many best targets of each noise, with their gaps and angles
    image_shape : of a sample for the model; None is that of the noise

    Raises InputError, also where start level and latent level differ, or where a potential with .targets was
    fitted to something else; BrenierError where NaN or Inf came out.
    """
    process = as_process(sigmas)
    check_start(latents, process.start(last_steps))
    check_source(latents, potential)
    own = None if seeds is None else whole_seeds(seeds)
    check_seeds(own, noise, fresh, process.stochastic)
    check_guidance(labels, guidance, null_label)
    if noise is None:
        noise = first_noise(own or [], image_shape or latents.shape[1]).to(device_of(potential))
    shape = (len(check_samples(noise)), *(image_shape or noise.shape[1:]))
    if math.prod(shape[1:]) != math.prod(noise.shape[1:]):
        raise InputError(
            "image_shape", expected=f"{math.prod(noise.shape[1:])} numbers", got=str(image_shape)
        )
    model = denoiser
    if labels is not None and guidance is not None:
        model = guided(denoiser, labels, guidance=guidance, null=null_label)
    options: dict[str, Any] = {"labels": labels, "extension": extension, "top": top}
    starts = map_noise(potential, noise.flatten(1), latents, seeds=own if fresh else None, **options)
    x = starts.latents.reshape(shape)
    samples = run_process(process, model, x, last_steps, own, progress)
    return DPMOTSamples(samples, starts.indices, x, starts.blend, starts.top)


def start_level(sigmas: Tensor | ReverseProcess, last_steps: int) -> Level:
    """Scale and sigma of the level where the last M steps of a schedule begin: NoisedLatents takes both.

    sigmas : as in sample_dpm_ot. Raises InputError.
    """
    return as_process(sigmas).start(last_steps)


def as_process(sigmas: Tensor | ReverseProcess) -> ReverseProcess:
    """A schedule, or levels as Heun's; raises InputError for anything else."""
    if isinstance(sigmas, Tensor):
        return HeunSchedule(sigmas)
    if not hasattr(sigmas, "run"):
        raise InputError(
            "sigmas",
            expected="a tensor of levels or a schedule",
            got=type(sigmas).__name__,
            remedy="see edm_sigmas",
        )
    return sigmas


def check_seeds(seeds: Sequence[int] | None, noise: Tensor | None, fresh: bool, stochastic: bool) -> None:
    """Raise InputError unless seeds are given exactly where they are used, one per noise."""
    wanted = noise is None or fresh or stochastic
    if wanted != (seeds is not None):
        raise InputError(
            "seeds",
            expected="one per sample where noise is None, with fresh=True or noisy steps; else None",
            got=f"fresh={fresh}, noisy steps={stochastic}, seeds={'given' if seeds is not None else None}",
            remedy="pass seeds=range(N), say" if wanted else "leave seeds out",
        )
    if seeds is not None and noise is not None and len(seeds) != len(noise):
        raise InputError("seeds", expected=f"one per noise, {len(noise)}", got=str(len(seeds)))


def check_guidance(labels: Array | None, guidance: float | None, null_label: Any) -> None:
    """Raise InputError for guidance that nothing would be guided by."""
    if labels is None and (guidance not in (None, 1.0) or null_label is not None):
        raise InputError(
            "guidance and null_label",
            expected="labels with them",
            got=f"guidance={guidance}, null_label={null_label!r} and no labels",
            remedy="with a plain potential, guide the model itself: guided(model, condition, guidance=...)",
        )
