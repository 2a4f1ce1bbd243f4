"""Validation of what users pass, in one place: what, expected, got, remedy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.errors import InputError

FLOATS = (torch.float32, torch.bfloat16, torch.float16)


def as_matrix(value: Any, what: str, *, dtypes: tuple[torch.dtype, ...] = FLOATS) -> Tensor:
    """A finite 2-D tensor of an accepted floating type; arrays come in without a copy where torch allows it."""
    tensor = as_tensor(value, what)
    if tensor.ndim != 2:
        raise InputError(
            what,
            expected="a matrix (rows, d)",
            got=f"shape {tuple(tensor.shape)}",
            remedy="flatten images with .flatten(1); pass one row as x[None]",
        )
    if tensor.dtype not in dtypes:
        raise InputError(
            what,
            expected=" or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes),
            got=str(tensor.dtype).removeprefix("torch."),
            remedy="convert with .float(); scores are summed in float64 whatever the input",
        )
    require_finite(tensor, what)
    return tensor


def as_tensor(value: Any, what: str) -> Tensor:
    """A tensor over the caller's memory; anything torch cannot read is an InputError."""
    if isinstance(value, Tensor):
        return value.detach()
    try:
        array = np.asarray(value)
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except (TypeError, ValueError) as error:
        raise InputError(what, expected="a tensor or an array of numbers", got=str(error)) from error


def require_finite(tensor: Tensor, what: str) -> None:
    """Raise InputError at the first NaN or Inf, in blocks so that no copy of the size of the data is made."""
    flat = tensor if tensor.ndim > 0 else tensor[None]
    step = max(1, (1 << 22) // max(1, math.prod(flat.shape[1:])))
    for lo in range(0, len(flat), step):
        finite = finite_mask(flat[lo : lo + step])
        if not finite.all():
            first = tuple(int(i) for i in torch.nonzero(~torch.as_tensor(finite))[0])
            position = (first[0] + lo, *first[1:])
            value = flat[position].item()
            raise InputError(
                what,
                expected="finite numbers",
                got=f"{value} at {list(position)}",
                remedy="remove or replace such rows first",
            )


def finite_mask(block: Tensor) -> Any:
    """Where numbers are finite; numpy on the CPU, whose single thread beats waking torch's on small blocks."""
    if block.device.type != "cpu":
        return torch.isfinite(block)
    return np.isfinite((block if block.dtype in (torch.float32, torch.float64) else block.float()).numpy())


def heights(h: Any, targets: int, device: torch.device) -> Tensor:
    """Heights as float64 (n,); None means zeros; -inf is allowed (that target never wins), NaN and +inf not."""
    if h is None:
        return torch.zeros(targets, dtype=torch.float64, device=device)
    tensor = as_tensor(h, "h").to(device=device, dtype=torch.float64)
    if tensor.shape != (targets,):
        raise InputError(
            "h",
            expected=f"shape (n,) = ({targets},)",
            got=str(tuple(tensor.shape)),
            remedy="pass one height per target or None for zeros",
        )
    bad = torch.isnan(tensor) | (tensor == torch.inf)
    if bad.any():
        i = int(bad.nonzero()[0])
        raise InputError("h", expected="numbers below +inf", got=f"{tensor[i].item()} at [{i}]")
    return tensor.contiguous()


def same_depth(x: Tensor, y: Any) -> None:
    """Noise and targets must agree in dimension and device."""
    if x.shape[1] != y.shape[1]:
        raise InputError(
            "x and y",
            expected=f"the same dimension d, as y has d = {y.shape[1]}",
            got=f"x with d = {x.shape[1]}",
            remedy="flatten both the same way",
        )
    if x.device != y.device:
        raise InputError(
            "x and y",
            expected="one device",
            got=f"{x.device} and {y.device}",
            remedy="move one with .to(...)",
        )
