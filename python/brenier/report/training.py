"""Training and sampling from file to file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import brenier
from brenier.data import Loaded, NoisedLatents, load_array, require_writable, save_array
from brenier.data.files import output_path, read_numbers
from brenier.data.noise import Stream, normal
from brenier.diffusion import edm_sigmas, evaluations, sample_dpm_ot, sample_heun, train_edm
from brenier.diffusion.store import StoredNetwork, build_network, load_network, save_network
from brenier.errors import FileError, InputError
from brenier.report.fitting import describe, require_outputs
from brenier.report.pictures import save_grid
from brenier.report.record import new_record, plain, read_record, write_record

Say = Callable[[str], None]


def train_file(
    images: Path,
    out: Path,
    *,
    coupling: str = "independent",
    potential: Path | None = None,
    network: str = "mlp",
    width: int | None = None,
    depth: int = 4,
    steps: int = 2000,
    batch: int = 64,
    pool: int = 512,
    lr: float = 1e-3,
    labels: Path | None = None,
    seed: int = 0,
    device: str | None = None,
    value_range: str | None = None,
    layout: str = "nchw",
    tensor: str | None = None,
    progress: bool = True,
    say: Say = print,
) -> dict[str, Any]:
    """Train a network on a file of images and write it, with a record beside it; returns the record.

    width : None is 512 for "mlp", 32 for "unet"; depth counts for "mlp" only
    Other arguments as in train_edm and load_array. Raises BrenierError; writes nothing then.
    """
    settings = {k: v for k, v in locals().items() if k not in ("progress", "say")}
    beside = require_outputs(out, (".safetensors",))
    loaded = load_array(images, value_range=value_range, layout=layout, tensor=tensor)
    say(f"{images}: {describe(loaded.array)}; {loaded.note}")
    arguments = network_arguments(network, loaded, width, depth) | {"seed": seed}
    result = train_edm(
        build_network(network, arguments),
        loaded.array.float(),
        coupling=coupling,  # type: ignore[arg-type]  # checked by train_edm
        potential=None if potential is None else brenier.Potential.load(potential),
        steps=steps,
        batch=batch,
        pool=pool,
        lr=lr,
        labels=None if labels is None else torch.from_numpy(read_numbers(labels)),
        seed=seed,
        device=device,
        progress=progress,
    )
    save_network(out, result.denoiser, kind=network, arguments=arguments, image_shape=loaded.image_shape)
    record = new_record("train", settings) | plain(
        {
            "arguments": arguments,
            "value_range": loaded.note,
            "losses": result.losses,
            "seconds": result.seconds,
            "pairing_seconds": result.pairing_seconds,
            "summary": f"{result.summary()}; {out}",
        }
    )
    write_record(beside, record)
    return record


def network_arguments(kind: str, loaded: Loaded, width: int | None, depth: int) -> dict[str, Any]:
    """What the network is built from; raises InputError for a U-Net on anything but square images."""
    if kind == "mlp":
        return {"dim": loaded.array.shape[1], "width": width or 512, "depth": depth}
    shape = loaded.image_shape
    if shape is None or shape[1] != shape[2]:
        raise InputError(
            "images", expected="square images for a U-Net", got=str(shape), remedy="use --network mlp"
        )
    return {"channels": shape[0], "image_size": shape[1], "width": width or 32}


def sample_file(
    network: Path,
    out: Path,
    *,
    grid: Path | None = None,
    count: int = 64,
    steps: int = 18,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
    potential: Path | None = None,
    targets: Path | None = None,
    seed: int = 0,
    value_range: str | None = None,
    layout: str = "nchw",
    tensor: str | None = None,
    progress: bool = True,
    say: Say = print,
) -> dict[str, Any]:
    """Draw samples with a stored network and write them; returns the record.

    With a potential (written by fit_file with sigma) and its targets, DPM-OT: the potential's level is the
    start and ``steps`` Heun steps lead from there to 0. Raises BrenierError; writes nothing then.
    """
    settings = {k: v for k, v in locals().items() if k not in ("progress", "say")}
    require_writable(output_path(out))
    if grid is not None and grid.suffix != ".png":
        raise FileError(str(grid), expected="a name ending in .png", got=repr(grid.suffix))
    if grid is not None:
        require_writable(grid)
    if (potential is None) != (targets is None):
        raise InputError("potential and targets", expected="both for DPM-OT, or neither", got="one of them")
    if count < 1:
        raise InputError("count", expected="an integer ≥ 1", got=str(count))
    stored = load_network(network)
    dim = width_of(stored)
    noise = torch.as_tensor(normal(seed, 0, count, dim, stream=Stream.SAMPLE))
    if potential is None or targets is None:
        sigmas = edm_sigmas(steps, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho)
        samples = sample_heun(stored.denoiser, noise * sigma_max, sigmas, progress=progress)
        how = f"plain Heun from σ = {sigma_max:g}"
    else:
        latents = latents_of(
            potential, load_array(targets, value_range=value_range, layout=layout, tensor=tensor)
        )
        sigmas = edm_sigmas(steps, sigma_min=sigma_min, sigma_max=latents.sigma, rho=rho)
        fitted = brenier.Potential.load(potential, targets=latents.materialise())
        samples = sample_dpm_ot(
            stored.denoiser, fitted, noise, sigmas, steps, latents=latents, progress=progress
        ).samples
        how = f"DPM-OT from σ = {latents.sigma:g}"
        say("DPM-OT starts from noised data: measure memorisation (brenier evaluate --held-out)")
    save_array(out, samples)
    if grid is not None:
        save_grid(grid, samples[:64], stored.image_shape)
    summary = f"{count} samples, {how}, {evaluations(steps)} evaluations each; {out}"
    return new_record("sample", settings) | {
        "evaluations": evaluations(steps),
        "how": how,
        "summary": summary,
    }


def width_of(stored: StoredNetwork) -> int:
    if stored.kind == "mlp":
        return int(stored.arguments["dim"])
    return int(stored.arguments["channels"]) * int(stored.arguments["image_size"]) ** 2


def latents_of(potential: Path, images: Loaded) -> NoisedLatents:
    """The latents a potential was fitted to, from its record and the images; raises FileError."""
    beside = potential.with_suffix(".json")
    settings = read_record(beside, "fit")["settings"]
    if settings.get("sigma") is None:
        raise FileError(
            str(beside),
            expected="a fit onto noised latents",
            got="one without sigma",
            remedy="fit with brenier fit --sigma, the level where sampling is to start",
        )
    return NoisedLatents(images.array, sigma=settings["sigma"], seed=settings["latent_seed"])
