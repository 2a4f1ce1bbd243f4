"""Value range and layout of loaded arrays: always said, never guessed from the values."""

from __future__ import annotations

import torch
from torch import Tensor

from brenier.engine.checks import require_finite
from brenier.errors import InputError

RANGES = ("raw", "0..1", "-1..1", "uint8")
LAYOUTS = ("nchw", "nhwc")
BOUNDS = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}


def to_range(rows: Tensor, value_range: str | None, what: str) -> tuple[Tensor, str]:
    """Rows in the range asked for, and a sentence on what was done.

    None: uint8 becomes float32 in [-1, 1] by v/127.5 - 1, floats stay as stored. "raw": values as stored, in
    float32. "0..1", "-1..1": uint8 is scaled, floats are checked to lie there. "uint8": bytes stay bytes.
    Raises InputError.
    """
    if value_range not in (None, *RANGES):
        raise InputError("value_range", expected=" or ".join(RANGES), got=repr(value_range))
    if rows.dtype == torch.uint8:
        return _from_bytes(rows, value_range or "-1..1")
    if value_range == "uint8":
        raise InputError(
            what, expected="uint8 values", got=_name(rows.dtype), remedy="use value_range='raw' for floats"
        )
    rows = rows.to(torch.float32)
    require_finite(rows, what)
    if value_range in BOUNDS:
        _require_within(rows, value_range, what)
    return rows, f"{value_range or 'raw'}: floats as stored"


def image_rows(array: Tensor, layout: str, what: str) -> tuple[Tensor, tuple[int, int, int] | None]:
    """Rows (n, d) and the image shape (channels, height, width), None for a matrix.

    (n, d) is a matrix, (n, height, width) is one channel, four axes are read in the layout given.
    """
    if layout not in LAYOUTS:
        raise InputError("layout", expected=" or ".join(LAYOUTS), got=repr(layout))
    if array.ndim == 2:
        return array, None
    if array.ndim not in (3, 4):
        raise InputError(
            what,
            expected="shape (n, d), (n, height, width), (n, channels, height, width) or layout='nhwc'",
            got=f"shape {tuple(array.shape)}",
        )
    images = array[:, None] if array.ndim == 3 else array
    if array.ndim == 4 and layout == "nhwc":
        images = images.permute(0, 3, 1, 2)
    channels, height, width = images.shape[1:]
    return images.reshape(len(images), channels * height * width), (channels, height, width)


def _from_bytes(rows: Tensor, value_range: str) -> tuple[Tensor, str]:
    if value_range == "uint8":
        return rows, "uint8: bytes as stored"
    if value_range == "raw":
        return rows.to(torch.float32), "raw: uint8 as numbers 0 to 255"
    if value_range == "0..1":
        return rows.to(torch.float32).div_(255), "0..1: uint8 divided by 255"
    return rows.to(torch.float32).div_(127.5).sub_(1), "-1..1: uint8 mapped by v/127.5 - 1"


def _require_within(rows: Tensor, value_range: str, what: str) -> None:
    low, high = BOUNDS[value_range]
    if rows.numel() == 0:
        return
    least, most = (float(v) for v in torch.aminmax(rows))
    if least < low or most > high:
        raise InputError(
            what,
            expected=f"floats within {value_range}, as value_range says",
            got=f"values from {least:.6g} to {most:.6g}",
            remedy="scale them first, or say value_range='raw'",
        )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
