"""Run a paper's recipe on your copy of its data, and see which published figure to compare with.

python examples/recipe.py examples/recipes/cifar10_aot.toml --images cifar10.npy --inception weights.pth --out runs/aot
python examples/recipe.py examples/recipes/cifar10_dpm_ot.toml --images cifar10.npy --held-out test.npy \
    --checkpoint ncsnv2.pth --inception weights.pth --out runs/dpm_ot
python examples/recipe.py examples/recipes/ffhq_dpm_ot.toml --stand-in     # every line, on crops of two photographs

Images are uint8: .npy (n, 3, H, W), .safetensors, a folder or a zip. Nothing is downloaded. Samples are written as
uint8 (n, 3, H, W) while they are drawn; what is killed continues where it was when it is started again, sampling apart.
"""

from __future__ import annotations

import argparse
import importlib
import math
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brenier
import numpy as np
import torch
from brenier.data import LatentSource, NoisedLatents, open_source, replacing
from brenier.data.atomic import require_folder, write_bytes
from brenier.data.files import read_numbers
from brenier.data.noise import Stream, normal
from brenier.diffusion import (
    LangevinSchedule,
    NCSNv2,
    SmallUNet,
    edm_sigmas,
    evaluations,
    load_ncsnv2,
    sample_dpm_ot,
    sample_heun,
    start_level,
    train_edm,
)
from brenier.errors import InputError
from brenier.report.pictures import grid, png
from brenier.report.record import new_record, plain, write_record
from recipe_figures import CHUNK, first_rows, measure, signed, summary
from torch import Tensor
from tqdm import tqdm

Draw = Callable[[Tensor, int], Tensor]  # noise (N, C, H, W), and the number of its first, to samples

SMALL = {
    "images": 24,
    "steps": 2,
    "batch": 8,
    "pool": 16,
    "count": 3,
    "last_steps": 2,
    "width": 8,
    "tol": 1.0,
}


def main() -> None:
    options = parse()
    recipe = tomllib.loads(options.recipe.read_text())
    record = run_recipe(reduced(recipe) if options.stand_in else recipe, options)
    print(record["summary"])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--images", type=Path, help="the training images")
    parser.add_argument("--held-out", type=Path, help="images not trained on, for the memorisation")
    parser.add_argument("--labels", type=Path, help=".npy of integers, for conditional recipes")
    parser.add_argument(
        "--checkpoint", type=Path, help="weights of the network that a DPM-OT recipe samples with"
    )
    parser.add_argument("--network", help="module:function that makes your network in place of the small one")
    parser.add_argument("--inception", type=Path, help="Inception weights, for the FID")
    parser.add_argument("--out", type=Path, default=Path("recipe_run"))
    parser.add_argument("--device")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--stand-in", action="store_true", help="small crops of scikit-learn's two photographs instead"
    )
    return parser.parse_args()


def reduced(recipe: dict[str, Any]) -> dict[str, Any]:
    """The same recipe with everything that takes time made small; the shapes stay."""
    cut = {
        part: {
            key: SMALL.get(key, value) if key != "steps" or part == "train" else value
            for key, value in body.items()
        }
        for part, body in recipe.items()
        if isinstance(body, dict)
    }
    return recipe | cut


def run_recipe(recipe: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Train or fit, sample, measure; writes samples and a record, and says what to compare with."""
    began, folder = time.perf_counter(), require_folder(options.out)
    images, held_out, labels = open_data(recipe, options)
    work = trained if "train" in recipe else mapped
    draw, found = work(recipe, options, images, labels)
    samples = write_samples(folder / "samples.npy", draw, recipe, options)
    shown = signed(samples.read(0, min(CHUNK, len(samples))), recipe)
    write_bytes(folder / "samples.png", png(grid(shown, tuple(recipe["image_shape"]))))
    found |= measure(recipe, options, samples, images, held_out)
    found["seconds"] = time.perf_counter() - began
    record = new_record("recipe", vars(options) | {"recipe": recipe}) | plain(found)
    record["summary"] = summary(recipe, found, options.stand_in)
    write_record(folder / "record.json", record)
    return record


def open_data(
    recipe: dict[str, Any], options: argparse.Namespace
) -> tuple[Any, Tensor | None, Tensor | None]:
    """The images as a source in the recipe's range, those held out, and labels; raises InputError."""
    if options.stand_in:
        images, held_out, labels = stand_in(recipe)
        return open_source(images, value_range=recipe["value_range"]), in_range(held_out, recipe), labels
    if options.images is None:
        raise InputError("--images", expected="the training images (or --stand-in)", got="none")
    source = open_source(options.images, value_range=recipe["value_range"])
    if source.shape[1] != math.prod(recipe["image_shape"]):
        raise InputError(
            "--images", expected=f"images of shape {recipe['image_shape']}", got=str(source.shape)
        )
    held = None
    if options.held_out is not None:
        other = open_source(options.held_out, value_range=recipe["value_range"])
        held = first_rows(other)
    labels = None if options.labels is None else torch.from_numpy(read_numbers(options.labels)).long()
    if "classes" in recipe and labels is None:
        raise InputError("--labels", expected="one class per image, for a conditional recipe", got="none")
    return source, held, labels


def stand_in(recipe: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Crops of the two photographs in the recipe's shape: uint8 images and held-out images, and labels."""
    photographs = importlib.import_module("sklearn.datasets").load_sample_images().images
    side, count = recipe["image_shape"][1], 2 * SMALL["images"]
    generator, crops = torch.Generator().manual_seed(0), []
    for number in range(count):
        image = torch.from_numpy(photographs[number % 2].copy()).permute(2, 0, 1)
        top, left = (int(torch.randint(size - side + 1, (), generator=generator)) for size in image.shape[1:])
        crops.append(image[:, top : top + side, left : left + side])
    stack = torch.stack(crops)
    labels = torch.arange(SMALL["images"]) % recipe.get("classes", 2)
    return stack[: SMALL["images"]], stack[SMALL["images"] :], labels


def in_range(images: Tensor, recipe: dict[str, Any]) -> Tensor:
    rows = images.flatten(1).float() / 255
    return rows if recipe["value_range"] == "0..1" else 2 * rows - 1


# ---- the two kinds of recipe


def trained(
    recipe: dict[str, Any], options: argparse.Namespace, images: LatentSource, labels: Tensor | None
) -> tuple[Draw, dict[str, Any]]:
    """EDM training on paired noise; samples by Heun with the recipe's schedule."""
    shape, sample = recipe["image_shape"], recipe["sample"]
    classes = recipe.get("classes", 0)
    labels = labels if classes else None
    result = train_edm(
        make_network(recipe, options, classes),
        images.read(0, len(images)).reshape(-1, *shape),
        **recipe["train"],
        labels=labels,
        condition=labels,
        checkpoint=options.out / "training.safetensors",
        resume=True,
        seed=options.seed,
        device=options.device,
    )
    sigmas = edm_sigmas(sample["steps"], sample["sigma_min"], sample["sigma_max"], sample["rho"])

    def draw(noise: Tensor, first: int) -> Tensor:
        told = (
            None if labels is None else (torch.arange(first, first + len(noise)) % classes).to(noise.device)
        )
        denoiser = lambda x, sigma: result.denoiser(x, sigma, told)  # noqa: E731
        return sample_heun(denoiser, sample["sigma_max"] * noise.to(device_of(result.denoiser)), sigmas)

    return draw, {"evaluations": evaluations(sample["steps"]), "training": result.summary()}


def mapped(
    recipe: dict[str, Any], options: argparse.Namespace, images: LatentSource, _labels: Tensor | None
) -> tuple[Draw, dict[str, Any]]:
    """A potential onto the images noised to the start of the last levels; samples by those of Langevin dynamics."""
    settings = recipe["dpm_ot"]
    schedule = LangevinSchedule.published(settings["schedule"])
    level = start_level(schedule, settings["last_steps"])
    latents = NoisedLatents(images, sigma=level.sigma, scale=level.scale, seed=options.seed)
    kept = options.out / "fit.checkpoint"
    fitted = brenier.fit(latents, tol=settings["tol"], seed=options.seed, checkpoint=kept, resume=True)
    network = make_network(recipe, options, 0).to(options.device)

    def score(x: Tensor, sigma: float) -> Tensor:
        found: Tensor = network(
            x.to(device_of(network)), sigma
        )  # the map is on the CPU, the network anywhere
        return found.to(x.device)

    def draw(noise: Tensor, first: int) -> Tensor:
        seeds = range(first, first + len(noise))
        return sample_dpm_ot(
            score, fitted.potential, noise.flatten(1), schedule, settings["last_steps"], latents=latents,
            fresh=settings["fresh"], seeds=seeds, image_shape=tuple(recipe["image_shape"]),
        ).samples  # fmt: skip

    count = schedule.evaluations(settings["last_steps"])
    return draw, {"evaluations": count, "start_sigma": level.sigma, "fit": fitted.summary()}


def make_network(recipe: dict[str, Any], options: argparse.Namespace, classes: int) -> Any:
    """The user's network, a published one, or a small one of the right shape."""
    channels, side, _ = recipe["image_shape"]
    body = recipe["network"]
    if options.network:
        module, name = options.network.split(":")
        return getattr(importlib.import_module(module), name)()
    if body["kind"] == "unet":
        return SmallUNet(channels, side, body["width"], classes=classes)
    if options.checkpoint is not None:
        return load_ncsnv2(options.checkpoint)
    if not options.stand_in:
        raise InputError("--checkpoint", expected="the weights of NCSNv2 (or --network)", got="none")
    return NCSNv2(channels, body["width"], body["stages"]).eval()


def device_of(network: Any) -> torch.device:
    return next(network.parameters()).device


def write_samples(
    place: Path, draw: Draw, recipe: dict[str, Any], options: argparse.Namespace
) -> LatentSource:
    """Samples as pixels, uint8 (count, C, H, W), CHUNK at a time, each from its own noise number; on disk only."""
    count, shape = recipe["sample"]["count"], recipe["image_shape"]
    with replacing(place) as temporary:
        file = np.lib.format.open_memmap(temporary, "w+", np.uint8, (count, *shape))
        for first in tqdm(range(0, count, CHUNK), "sampling"):
            rows = min(CHUNK, count - first)
            noise = normal(options.seed, first, rows, math.prod(shape), stream=Stream.SAMPLE)
            drawn = draw(torch.as_tensor(noise).reshape(-1, *shape), first).cpu()
            pixels = (signed(drawn, recipe) + 1) * 127.5
            file[first : first + rows] = pixels.round().clamp(0, 255).byte().reshape(rows, *shape).numpy()
        file.flush()
    return open_source(place, value_range=recipe["value_range"])


if __name__ == "__main__":
    main()
