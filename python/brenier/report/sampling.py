"""Sampling from file to file: a network, perhaps a potential and its images, in; samples and a picture out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.data import NoisedLatents, require_writable, save_array
from brenier.data.files import output_path, read_numbers
from brenier.diffusion import (
    HeunSchedule,
    LangevinSchedule,
    Level,
    ReverseProcess,
    VPSchedule,
    edm_sigmas,
    first_noise,
    guided,
    noise_of,
    sample_dpm_ot,
    score_of,
)
from brenier.diffusion.process import Model, run_process
from brenier.diffusion.store import StoredNetwork, load_network
from brenier.errors import FileError, InputError
from brenier.report.fitting import read_or_stream
from brenier.report.pictures import save_grid
from brenier.report.record import new_record, read_record
from brenier.solve import Potential, StreamedPotential
from brenier.transport import Extension

Say = Callable[[str], None]
SAMPLERS = ("heun", "langevin", "ddim", "ddpm")


@dataclass(frozen=True)
class Steps:
    """The options that make the steps from a level down to 0."""

    sampler: str
    steps: int
    sigma_min: float
    rho: float
    langevin_steps: int

    def down_from(self, sigma: float, denoiser: Any) -> tuple[ReverseProcess, Model]:
        """A process of that many steps from σ, and the denoiser as the model it takes. Raises InputError."""
        if self.sampler == "langevin":
            levels = LangevinSchedule.geometric(
                sigma, self.sigma_min, self.steps, steps_each=self.langevin_steps
            )
            return levels, score_of(denoiser)
        sigmas = edm_sigmas(self.steps, sigma_min=self.sigma_min, sigma_max=sigma, rho=self.rho)
        if self.sampler == "heun":
            return HeunSchedule(sigmas), denoiser
        if self.sampler not in SAMPLERS:
            raise InputError("sampler", expected=" or ".join(SAMPLERS), got=repr(self.sampler))
        schedule = VPSchedule.from_sigmas(sigmas, eta=float(self.sampler == "ddpm"))
        return schedule, noise_of(denoiser, schedule)


def sample_file(
    network: Path,
    out: Path,
    *,
    grid: Path | None = None,
    count: int = 64,
    sampler: str = "heun",
    steps: int = 18,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
    langevin_steps: int = 5,
    potential: Path | None = None,
    targets: Path | None = None,
    fresh: bool = False,
    extend: float | None = None,
    labels: Path | None = None,
    guidance: float = 1.0,
    null_label: int | None = None,
    seed: int = 0,
    value_range: str | None = None,
    layout: str = "nchw",
    tensor: str | None = None,
    progress: bool = True,
    say: Say = print,
) -> dict[str, Any]:
    """Draw samples with a stored network and write them; returns the record.

    sampler : "heun"; "langevin" (geometric levels, langevin_steps at each); "ddim" or "ddpm" on EDM's levels
    potential, targets : of fit_file with sigma, for DPM-OT: the potential's level is the start and ``steps`` steps
        lead from there to 0; fresh noises its latents anew; extend mixes neighbouring targets up to that angle
    labels : integer classes, for a network with classes: one per sample or, with a potential, one per target
    guidance, null_label : classifier-free guidance away from the class null_label, as in guided
    seed : sample k has seed + k, and depends on it alone

    Raises BrenierError; writes nothing then.
    """
    settings = {k: v for k, v in locals().items() if k not in ("progress", "say")}
    check_request(out, grid, count, potential, targets, fresh or extend is not None)
    how = Steps(sampler, steps, sigma_min, rho, langevin_steps)
    stored, seeds = load_network(network), list(range(seed, seed + count))
    told = Told(stored, None if labels is None else read_numbers(labels), guidance, null_label)
    if potential is None or targets is None:
        process, model = how.down_from(sigma_max, told.about(None, count))
        noise = process.start(steps).sigma * first_noise(seeds, width_of(stored))
        samples, start = run_process(process, model, noise, steps, seeds, progress), sigma_max
    else:
        reading = {"value_range": value_range, "layout": layout, "tensor": tensor}
        fitted, latents = fitted_to(potential, targets, reading)
        start, noise = latents.sigma, first_noise(seeds, latents.shape[1])
        denoiser = told.about(torch.as_tensor(fitted.assign(noise)) if told.needed else None, len(latents))
        process, model = how.down_from(start, denoiser)
        fitted, latents = at_level(fitted, latents, process.start(steps))
        extension = None if extend is None else Extension(extend)
        options: dict[str, Any] = {"latents": latents, "fresh": fresh, "seeds": seeds, "extension": extension}
        samples = sample_dpm_ot(model, fitted, None, process, steps, **options, progress=progress).samples
        say("DPM-OT starts from noised data: measure memorisation (brenier evaluate --held-out)")
    save_array(out, samples)
    if grid is not None:
        save_grid(grid, samples[:64], stored.image_shape)
    calls = process.evaluations(steps)
    way = f"{'DPM-OT' if potential else 'plain'} {sampler} from σ = {start:g}"
    summary = f"{count} samples, {way}, {calls} evaluations each; {out}"
    return new_record("sample", settings) | {"evaluations": calls, "how": way, "summary": summary}


def check_request(
    out: Path, grid: Path | None, count: int, potential: Path | None, targets: Path | None, mapped: bool
) -> None:
    """Raise what would otherwise be raised after the work."""
    require_writable(output_path(out))
    if grid is not None and grid.suffix != ".png":
        raise FileError(str(grid), expected="a name ending in .png", got=repr(grid.suffix))
    if grid is not None:
        require_writable(grid)
    if (potential is None) != (targets is None):
        raise InputError("potential and targets", expected="both for DPM-OT, or neither", got="one of them")
    if mapped and potential is None:
        raise InputError("fresh and extend", expected="a potential with them", got="none")
    if count < 1:
        raise InputError("count", expected="an integer ≥ 1", got=str(count))


@dataclass(frozen=True)
class Told:
    """A stored network with the classes that were asked for."""

    stored: StoredNetwork
    labels: np.ndarray | None
    guidance: float
    null_label: int | None

    @property
    def needed(self) -> bool:
        return int(self.stored.arguments.get("classes", 0)) > 0

    def about(self, winners: Tensor | None, rows: int) -> Any:
        """The denoiser of so many samples, or of the samples of those targets; raises InputError."""
        given = self.labels
        guides = self.guidance != 1 or self.null_label is not None
        if self.needed != (given is not None) or (guides and (not self.needed or self.null_label is None)):
            raise InputError(
                "labels and null_label",
                expected="labels for a network with classes, and null_label with guidance; else none",
                got=f"classes={self.stored.arguments.get('classes', 0)}, guidance={self.guidance}",
            )
        if given is None:
            return self.stored.denoiser
        if given.shape != (rows,) or given.dtype.kind not in "iu":
            raise InputError(
                "labels", expected=f"integers of shape ({rows},)", got=f"{given.dtype} {given.shape}"
            )
        classes = torch.from_numpy(given).long()
        own = classes if winners is None else classes[winners]
        null = None if self.null_label is None else torch.full_like(own, self.null_label)
        return guided(self.stored.denoiser, own, guidance=self.guidance, null=null)


def at_level(potential: Any, latents: NoisedLatents, level: Level) -> tuple[Any, NoisedLatents]:
    """A potential over y + σ·ε as one over a·(y + σ·ε): the same winners, as heights scale with the targets."""
    if level.scale == 1.0:
        return potential, latents
    scaled = NoisedLatents(latents.images, sigma=level.sigma, scale=level.scale, seed=latents.seed)
    if isinstance(potential, StreamedPotential):
        return Winners(potential), scaled
    masses: Tensor = potential.masses
    return Potential.of(scaled.materialise(), level.scale * potential.heights, masses), scaled


def width_of(stored: StoredNetwork) -> int:
    if stored.kind == "mlp":
        return int(stored.arguments["dim"])
    return int(stored.arguments["channels"]) * int(stored.arguments["image_size"]) ** 2


@dataclass(frozen=True)
class Winners:
    """A streamed potential over targets scaled by a positive number: only its winners are asked for."""

    potential: StreamedPotential

    def assign(self, x: Tensor) -> Tensor:
        found: Tensor = self.potential.assign(x)
        return found


def fitted_to(potential: Path, targets: Path, reading: dict[str, Any]) -> tuple[Potential, NoisedLatents]:
    """A potential and the latents it was fitted to, from its record and the images; raises FileError."""
    beside = potential.with_suffix(".json")
    settings = read_record(beside, "fit")["settings"]
    if settings.get("sigma") is None:
        raise FileError(
            str(beside),
            expected="a fit onto noised latents",
            got="one without sigma",
            remedy="fit with brenier fit --sigma, the level where sampling is to start",
        )
    rows, _ = read_or_stream(targets, None, flips=settings.get("flips", False), **reading)
    latents = NoisedLatents(rows, sigma=settings["sigma"], seed=settings["latent_seed"])
    if not isinstance(rows, Tensor):
        return StreamedPotential.load(potential, targets=latents), latents
    try:
        return Potential.load(potential, targets=latents.materialise()), latents
    except (
        InputError
    ) as refused:  # fitted with less memory, perhaps: streamed targets have their own fingerprint
        try:
            return StreamedPotential.load(potential, targets=latents), latents
        except InputError:
            raise refused from None
