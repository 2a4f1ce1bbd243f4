"""What a recipe's samples are measured by, and what it prints; images are read a few at a time (see recipe.py)."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from brenier.data import LatentSource
from brenier.metrics import Inception, frechet_distance, kernel_distance, load_inception, memorisation
from torch import Tensor
from tqdm import tqdm

CHUNK = 64  # samples drawn, and images looked at, at a time
MEASURED = 10_000  # images, at most, whose distances are measured,
NUMBERS = 1 << 27  # and numbers in all: 1 GiB as float64, 682 images of 3 x 256 x 256


def signed(rows: Tensor, recipe: dict[str, Any]) -> Tensor:
    return 2 * rows - 1 if recipe["value_range"] == "0..1" else rows


def measure(
    recipe: dict[str, Any],
    options: argparse.Namespace,
    samples: LatentSource,
    images: LatentSource,
    held_out: Tensor | None,
) -> dict[str, Any]:
    """FID with Inception weights, kernel distance of pixels, and memorisation where images are held out."""
    real, fake = first_rows(images), first_rows(samples)
    found: dict[str, Any] = {"kernel_pixels": kernel_distance(real, fake)}
    if held_out is not None:
        found["memorisation"] = memorisation(fake, real, held_out)
    if options.inception is not None:
        inception = load_inception(options.inception, device=options.device or "cpu")
        found["fid"] = frechet_distance(*(features(inception, rows, recipe) for rows in (images, samples)))
    return found


def first_rows(images: LatentSource) -> Tensor:
    """As many as distances are measured of."""
    return images.read(0, min(len(images), MEASURED, max(2, NUMBERS // images.shape[1])))


def features(inception: Inception, images: LatentSource, recipe: dict[str, Any]) -> Tensor:
    """Inception's features of all images, CHUNK at a time."""
    parts = []
    for first in tqdm(range(0, len(images), CHUNK), "features"):
        rows = signed(images.read(first, min(first + CHUNK, len(images))), recipe)
        parts.append(inception.features(rows.reshape(-1, *recipe["image_shape"])))
    return torch.cat(parts)


def summary(recipe: dict[str, Any], found: dict[str, Any], small: bool) -> str:
    """What was done, what came out, and what to hold it against."""
    lines = [f"{recipe['title']}: {found['evaluations']} evaluations, {found['seconds']:.1f} s"]
    lines += [found[key] for key in ("training", "fit") if key in found]
    lines.append(f"FID {found['fid']:.2f}" if "fid" in found else "no FID: pass --inception WEIGHTS")
    kernel = found["kernel_pixels"]
    lines.append(f"kernel distance of pixels {kernel.value:.4g} ± {kernel.stderr:.2g}")
    if "memorisation" in found:
        lines.append(found["memorisation"].summary())
    lines += [f"compare with {recipe['compare']}", f"differs from the paper: {recipe['differs']}"]
    return "\n".join(lines + (["a stand-in: the figures mean nothing"] if small else []))
