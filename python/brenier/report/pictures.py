"""Samples as pixels: grids of images, enlarged without smoothing."""

from __future__ import annotations

import io
import math
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.data.atomic import write_bytes
from brenier.errors import InputError, require_package

LEAST_SIDE = 40  # pixels of one enlarged image


def grid(rows: Tensor, image_shape: tuple[int, ...] | None, columns: int = 8) -> np.ndarray:
    """Rows (N, d) in [-1, 1] as one picture, (height, width) or (height, width, 3) uint8, white in between.

    image_shape : (channels, height, width), 1 or 3 channels; None reads rows as square grey images.
    Raises InputError where they are not.
    """
    channels, height, width = image_shape or square(rows.shape[1])
    if channels not in (1, 3):
        raise InputError("image_shape", expected="1 or 3 channels", got=f"{channels} channels")
    pixels = ((rows.detach().cpu().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    zoom = max(1, math.ceil(LEAST_SIDE / min(height, width)))
    images = pixels.reshape(-1, channels, height, width)
    images = images.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)
    lines, gap = math.ceil(len(images) / columns), 3
    tall, wide = height * zoom + gap, width * zoom + gap
    sheet = torch.full((channels, lines * tall - gap, columns * wide - gap), 255, dtype=torch.uint8)
    for place, image in enumerate(images):
        top, left = place // columns * tall, place % columns * wide
        sheet[:, top : top + height * zoom, left : left + width * zoom] = image
    array = sheet.permute(1, 2, 0).numpy()
    return array[:, :, 0] if channels == 1 else array


def png(picture: np.ndarray) -> bytes:
    """A picture as the bytes of a PNG file."""
    image: Any = require_package("PIL.Image", "report")
    out = io.BytesIO()
    image.fromarray(picture).save(out, "PNG", optimize=True)
    return out.getvalue()


def save_grid(path: str | os.PathLike[str], rows: Tensor, image_shape: tuple[int, ...] | None) -> None:
    """Write a grid of images as PNG, whole or not at all."""
    write_bytes(path, png(grid(rows, image_shape)))


def square(dim: int) -> tuple[int, int, int]:
    side = math.isqrt(dim)
    if side * side != dim:
        raise InputError(
            "image_shape", expected="one for rows that are not square images", got=f"None and d = {dim}"
        )
    return 1, side, side
