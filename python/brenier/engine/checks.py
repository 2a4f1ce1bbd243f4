"""Validation of what users pass, in one place: what, expected, got, remedy."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.engine import threads
from brenier.errors import InputError

FLOATS = (torch.float32, torch.bfloat16, torch.float16)
WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
REAL = frozenset({*FLOATS, torch.float64, *WHOLE, torch.uint16, torch.uint32, torch.uint64})
NUMBERS = "a tensor or an array of real numbers"


def as_matrix(
    value: Any, what: str, *, dtypes: tuple[torch.dtype, ...] = FLOATS, finite: bool = True
) -> Tensor:
    """A 2-D tensor of an accepted floating type, finite unless the caller sees to that; arrays uncopied if possible."""
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
            expected=" or ".join(map(name_of, dtypes)),
            got=name_of(tensor.dtype),
            remedy=f"convert with {conversion(value, what)}; scores are summed in float64 whatever the input",
        )
    if finite:
        require_finite(tensor, what)
    return tensor


def conversion(value: Any, what: str) -> str:
    """How the caller makes float32 of what was passed."""
    if isinstance(value, Tensor):
        return ".float()"
    if isinstance(value, np.ndarray):
        return ".astype('float32')"
    return f"numpy.asarray({what}, dtype='float32')"


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def shown(value: Any) -> str:
    """The value as a message shows it: short, and never an error of its own."""
    try:
        text = repr(value)
    except Exception:  # an integer of more than 4300 digits, or anything with a broken repr
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def as_tensor(value: Any, what: str) -> Tensor:
    """A dense tensor of real numbers over the caller's memory; a copy only of arrays that torch cannot hold.

    Raises InputError for anything else, whatever it is.
    """
    if isinstance(value, Tensor):
        _require_plain(value, what)
        return value.detach().resolve_neg()
    array = as_array(value, what)
    straight = array.flags.aligned and all(s >= 0 and s % array.itemsize == 0 for s in array.strides)
    plain = np.dtype(array.dtype.str).newbyteorder("=")  # torch does not know C's long long, the same bytes
    if not (straight and array.flags.writeable and array.dtype.isnative and array.dtype.num == plain.num):
        array = array.astype(plain, order="C")
    return torch.from_numpy(array)


def as_array(value: Any, what: str) -> np.ndarray:
    """A numpy array of real numbers of at most 64 bits from an array or nested lists; raises InputError."""
    if isinstance(value, np.ma.MaskedArray):
        got, remedy = "a masked array, whose mask would be lost", "replace masked entries with .filled(...)"
        raise InputError(what, expected=NUMBERS, got=got, remedy=remedy)
    try:
        array = np.asarray(value)
    except Exception as error:  # whatever a foreign __array__ raises
        raise _not_numbers(what, str(error)) from error
    if array.dtype.kind not in "buif" or array.itemsize > 8:
        raise _not_numbers(what, "None" if value is None else f"dtype {array.dtype}")
    return array


def _not_numbers(what: str, got: str) -> InputError:
    remedy = f"pass real numbers of at most 64 bits, for example numpy.asarray({what}, dtype='float32')"
    return InputError(what, expected=NUMBERS, got=got, remedy=remedy)


def _require_plain(tensor: Tensor, what: str) -> None:
    """Raise InputError for tensors that are not plain memory with real numbers in it."""
    if tensor.layout != torch.strided or tensor.is_nested:
        got = "a nested tensor" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
        remedy = "pad its rows to one length" if tensor.is_nested else "convert with .to_dense()"
    elif tensor.device.type == "meta":
        got, remedy = "a tensor on the meta device, which holds no numbers", "create it on a real device"
    elif tensor.is_complex():
        got, remedy = name_of(tensor.dtype), "pass .real, or both parts with torch.view_as_real"
    elif tensor.dtype not in REAL:
        remedy = "convert with .dequantize()" if tensor.is_quantized else "convert with .float()"
        got = name_of(tensor.dtype)
    else:
        return
    raise InputError(what, expected="a dense tensor of real numbers", got=got, remedy=remedy)


def number(value: Any, what: str, *, positive: bool = False) -> float:
    """A finite number ≥ 0 (> 0 if positive) as a float; True and False are none. Raises InputError."""
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if real:
        with contextlib.suppress(OverflowError):  # an integer that no float holds
            found = float(value)  # before it is compared: narrow numpy numbers would make the bound theirs
            if 0 <= found < math.inf and (found > 0 or not positive):
                return found
    raise InputError(
        what,
        expected=f"a finite number {'>' if positive else '≥'} 0",
        got=shown(value),
        remedy="pass an int or a float",
    )


def require_finite(tensor: Tensor, what: str, *, first: int = 0) -> None:
    """Raise InputError at the first NaN or Inf, in blocks so that no copy of the size of the data is made.

    first : the number of the first row, for the message
    While a CUDA graph is captured nothing can be read back: then values are not looked at.
    """
    if capturing(tensor):
        return
    flat = tensor if tensor.ndim > 0 else tensor[None]
    step = max(1, (1 << 22) // max(1, math.prod(flat.shape[1:])))
    starts = range(0, len(flat), step)

    def fine(lo: int) -> bool:
        return bool(finite_mask(flat[lo : lo + step]).all())

    each = threads.run(fine, starts) if tensor.device.type == "cpu" else map(fine, starts)
    for lo, finite in zip(starts, each, strict=True):
        if not finite:
            row, *rest = torch.nonzero(~torch.as_tensor(finite_mask(flat[lo : lo + step])))[0].tolist()
            value, position = flat[(row + lo, *rest)].item(), [row + lo + first, *rest]
            raise InputError(
                what,
                expected="finite numbers",
                got=f"{value} at {position}",
                remedy="remove or replace such rows first",
            )


def capturing(tensor: Tensor) -> bool:
    """Whether work on this tensor goes into a CUDA graph that is being captured."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()


def finite_mask(block: Tensor) -> Any:
    """Where numbers are finite; numpy on the CPU, whose single thread beats waking torch's on small blocks."""
    if block.device.type != "cpu":
        return torch.isfinite(block)
    return np.isfinite((block if block.dtype in (torch.float32, torch.float64) else block.float()).numpy())


def below_infinity(numbers: Tensor) -> Any:
    """Where numbers are below +inf; numpy on the CPU, as in finite_mask."""
    return (numbers.numpy() if numbers.device.type == "cpu" else numbers) < np.inf


def heights(h: Any, targets: int, device: torch.device, what: str = "h") -> Tensor:
    """Heights as float64 (n,); None means zeros; -inf is allowed (that target never wins), NaN and +inf not.

    what is the caller's name for them in messages. Raises InputError.
    """
    if h is None:
        return torch.zeros(targets, dtype=torch.float64, device=device)
    tensor = as_tensor(h, what).to(device=device, dtype=torch.float64)
    if tensor.shape != (targets,):
        raise InputError(
            what,
            expected=f"shape (n,) = ({targets},)",
            got=str(tuple(tensor.shape)),
            remedy="pass one height per target or None for zeros",
        )
    if not capturing(tensor) and not (fine := below_infinity(tensor)).all():
        i = int(torch.as_tensor(~fine).nonzero()[0])
        raise InputError(
            what,
            expected="numbers below +inf",
            got=f"{tensor[i].item()} at [{i}]",
            remedy="replace it; -inf takes a target out",
        )
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
    same_device("x and y", x.device, y.device)


def same_device(what: str, first: torch.device, second: torch.device) -> None:
    if first != second:
        raise InputError(
            what, expected="one device", got=f"{first} and {second}", remedy="move one with .to(...)"
        )


def wins_to_add_to(counts: Any, targets: int, device: torch.device) -> None:
    """Raise InputError unless counts is memory to which int64 wins can be added in place."""
    remedy = "pass torch.zeros(n, dtype=torch.int64, device=y.device)"
    expected = f"an int64 tensor of shape ({targets},) on {device}"
    if not isinstance(counts, Tensor):
        raise InputError("counts", expected=expected, got=f"a {type(counts).__name__}", remedy=remedy)
    _require_plain(counts, "counts")
    if counts.dtype != torch.int64 or counts.shape != (targets,) or counts.device != device:
        got = f"{name_of(counts.dtype)} {tuple(counts.shape)} on {counts.device}"
        raise InputError("counts", expected=expected, got=got, remedy=remedy)
    if counts.numel() > 1 and counts.stride(0) == 0:
        got = "an expanded tensor, whose elements share memory"
        raise InputError("counts", expected=expected, got=got, remedy=remedy)
    if counts.is_inference() and not torch.is_inference_mode_enabled():
        got = "a tensor made in inference mode, which cannot change outside it"
        raise InputError("counts", expected=expected, got=got, remedy=remedy)


def last_winners(warm: Any, rows: int, targets: int, device: torch.device) -> Tensor | None:
    """Guesses of the winners (N,), -1 for none, as int64 on the device; raises InputError for other numbers."""
    if warm is None:
        return None
    tensor = as_tensor(warm, "warm")
    remedy = "pass what the last call returned, or None"
    if tensor.dtype not in WHOLE or tensor.shape != (rows,):
        got = f"{name_of(tensor.dtype)} {tuple(tensor.shape)}"
        raise InputError("warm", expected=f"whole numbers of shape ({rows},)", got=got, remedy=remedy)
    guesses = tensor.to(device=device, dtype=torch.int64).contiguous()
    outside = (guesses < -1) | (guesses >= targets)
    if outside.any():
        i = int(outside.nonzero()[0])
        expected = f"indices of targets, from -1 (none) to {targets - 1}"
        raise InputError("warm", expected=expected, got=f"{guesses[i].item()} at [{i}]", remedy=remedy)
    return guesses


def count(value: Any, what: str, *, lowest: int = 1) -> int:
    """A whole number ≥ lowest as an int, of numpy's too; True and False are none. Raises InputError."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not (whole and value >= lowest):
        raise InputError(what, expected=f"an integer ≥ {lowest}", got=shown(value))
    return int(value)
