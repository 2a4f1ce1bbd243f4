"""Latent-diffusion models: images through their VAE once, samples back through it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.data import ArraySource, LatentSource, open_source, replacing
from brenier.errors import InputError
from brenier.types import Array


def encode_images(
    vae: Any,
    images: Array | LatentSource,
    *,
    image_shape: tuple[int, int, int] | None = None,
    batch: int = 8,
    path: str | os.PathLike[str] | None = None,
) -> LatentSource:
    """A data set's latents (mode(q(z|x)) − shift)·scaling_factor, as the diffusion model was trained on.

    vae : a diffusers autoencoder with encode(...).latent_dist
    images : (n, C, H, W) in [−1, 1], uint8 read as y/127.5 − 1, or a LatentSource of such rows with image_shape
    path : a .npy to write the latents to batch by batch, for data larger than memory; None keeps them in memory

    Returns a source of rows (n, c·h·w) float32: NoisedLatents takes it, its `image_shape` is (c, h, w).
    Raises InputError, FileError where the file cannot be written.
    """
    source = open_source(images)
    shape = image_shape or getattr(source, "image_shape", None)
    if shape is None or len(source) == 0:
        raise InputError(
            "images", expected="(n, C, H, W), n ≥ 1, or a source with image_shape", got=str(source.shape)
        )
    parts = encoded(vae, source, tuple(shape), batch)
    if path is None:
        return ArraySource(torch.cat(list(parts)), value_range="raw")
    with replacing(path) as temporary:
        write_parts(temporary, parts, len(source))
    return open_source(path, value_range="raw")


def encoded(vae: Any, source: LatentSource, shape: tuple[int, ...], batch: int) -> Iterator[Tensor]:
    """Latents of a few images at a time, float32 (rows, c, h, w) on the CPU."""
    for lo in range(0, len(source), batch):
        rows = source.read(lo, min(lo + batch, len(source))).reshape(-1, *shape)
        with torch.no_grad():
            mode = vae.encode(rows.to(vae.device, vae.dtype)).latent_dist.mode()
        yield ((mode - shift(vae)) * vae.config.scaling_factor).float().cpu()


def write_parts(place: os.PathLike[str], parts: Iterator[Tensor], rows: int) -> None:
    first = next(parts)
    file = np.lib.format.open_memmap(place, "w+", np.float32, (rows, *first.shape[1:]))
    file[: len(first)], lo = first.numpy(), len(first)
    for part in parts:
        file[lo : lo + len(part)] = part.numpy()
        lo += len(part)
    file.flush()


def decode_latents(vae: Any, latents: Tensor) -> Tensor:
    """Images (N, C, H, W) of latents of the diffusion model (N, c, h, w)."""
    scaled = latents / vae.config.scaling_factor + shift(vae)
    images: Tensor = vae.decode(scaled.to(vae.device, vae.dtype)).sample
    return images


def shift(vae: Any) -> float:
    """The constant that some autoencoders subtract from their latents."""
    return float(getattr(vae.config, "shift_factor", None) or 0.0)
