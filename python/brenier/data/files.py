"""Arrays from files: .npy, .safetensors, a folder or a zip of images."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from brenier.data.atomic import replacing
from brenier.data.images import load_folder, load_zip
from brenier.data.ranges import image_rows, to_range
from brenier.errors import FileError, InputError

FORMATS = ".npy, .safetensors, a folder of PNG or JPEG images, or a .zip of them"
WILD = "*?["  # what makes a name a pattern


@dataclass(frozen=True)
class Loaded:
    """Rows read from a file: array (n, d) float32 or uint8, and where and how they were read."""

    array: Tensor
    image_shape: tuple[int, int, int] | None  # (channels, height, width); None for a matrix
    source: Path
    note: str  # what was done to the values


def load_array(
    path: str | os.PathLike[str],
    *,
    value_range: str | None = None,
    layout: str = "nchw",
    tensor: str | None = None,
) -> Loaded:
    """Read rows (n, d) from a file or folder.

    path : .npy (memory-mapped, no pickle), .safetensors (``name*.safetensors`` for shards, in order of their names),
        a folder or a .zip of PNG/JPEG images (sorted by name, equal shapes; the zip is read in place), or a .zip of
        .npy latents (channels, height, width), as EDM2 writes them
    value_range : "raw", "0..1", "-1..1", "uint8" or None; None maps uint8 to [-1, 1] and leaves floats
    layout : "nchw" or "nhwc", for arrays of four axes
    tensor : which tensor of a .safetensors file; None takes the first by name

    Returns Loaded. Raises FileError for what cannot be read, InputError for values that cannot be used.
    """
    source = Path(path)
    array, note = _read(source, tensor)
    rows, image_shape = image_rows(array, layout, str(source))
    if len(rows) == 0 or rows.shape[1] == 0:
        raise InputError(str(source), expected="at least one row of at least one number", got=_shape(array))
    rows, conversion = to_range(rows, value_range, str(source))
    return Loaded(rows, image_shape, source, f"{note}; {conversion}")


def save_array(path: str | os.PathLike[str], array: Tensor, metadata: dict[str, str] | None = None) -> None:
    """Write a tensor as .npy or, under the name "array" with string metadata, as .safetensors; whole or not.

    Raises FileError, also for another suffix.
    """
    final = output_path(path)
    array = array.detach().cpu().contiguous()
    with replacing(final) as temporary:
        if final.suffix == ".npy":
            np.save(temporary, array.numpy(), allow_pickle=False)
        else:
            save_file({"array": array}, temporary, metadata)


def read_numbers(path: str | os.PathLike[str]) -> np.ndarray:
    """A small .npy of one axis, masses or labels, in its own type; raises FileError."""
    source = Path(path)
    require_readable(source)
    try:
        array = np.lib.format.open_memmap(source, mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise damaged(source, "a whole .npy file of numbers", error) from error
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise FileError(
            str(source), expected="numbers of shape (n,)", got=f"{array.dtype} of shape {array.shape}"
        )
    return np.array(array.astype(array.dtype.newbyteorder("=")))


def output_path(path: str | os.PathLike[str]) -> Path:
    """The path if its suffix is one that save_array writes; raises FileError."""
    final = Path(path)
    if final.suffix not in (".npy", ".safetensors"):
        raise FileError(str(final), expected="a name ending in .npy or .safetensors", got=repr(final.suffix))
    return final


def _read(source: Path, tensor: str | None) -> tuple[Tensor, str]:
    if is_pattern(source):
        return _read_shards(source, tensor)
    require_readable(source)
    if source.is_dir():
        return load_folder(source)
    if source.suffix == ".npy":
        return _read_npy(source), "memory-mapped .npy"
    if source.suffix == ".safetensors":
        return _read_safetensors(source, tensor)
    if source.suffix == ".zip":
        return load_zip(source)
    raise FileError(str(source), expected=FORMATS, got=f"suffix {source.suffix!r}")


def is_pattern(name: str | os.PathLike[str]) -> bool:
    """Whether a name stands for all files that match it; a file of that very name comes first."""
    return any(c in os.fspath(name) for c in WILD) and not Path(name).exists()


def matching(pattern: str | os.PathLike[str]) -> list[Path]:
    """The files that match, in the order of their names; raises FileError for none."""
    paths = sorted(Path(name) for name in glob.glob(os.fspath(pattern)))
    if not paths:
        raise FileError(os.fspath(pattern), expected="at least one matching file", got="none")
    return paths


def _read_shards(pattern: Path, tensor: str | None) -> tuple[Tensor, str]:
    from brenier.data.file_sources import shards  # it builds on this module

    # as stored: neither range nor layout plays a part
    source = shards(pattern, value_range=None, layout="nchw", tensor=tensor)
    return source.stored(0, len(source)), f"{len(matching(pattern))} shards in order of their names"


def require_readable(source: Path) -> None:
    """Raise FileError unless the file or folder is there and may be read."""
    try:
        if source.is_dir():
            os.scandir(source).close()
        else:
            source.open("rb").close()
    except OSError as error:
        raise FileError(
            str(source),
            expected="a readable file or folder",
            got=error.strerror or str(error),
            remedy="check the name and its permissions",
        ) from error


def _read_npy(source: Path) -> Tensor:
    try:
        # Copy-on-write: torch wants writable memory, and the file stays as it is.
        array: np.ndarray = np.lib.format.open_memmap(source, mode="c")
    except (ValueError, OSError, EOFError) as error:
        raise damaged(source, "a whole .npy file of numbers", error) from error
    if array.dtype.kind not in "f" and array.dtype != np.uint8:
        raise _wrong_type(source, str(array.dtype))
    if array.dtype.newbyteorder("=") != array.dtype or array.dtype.itemsize > 8:
        array = array.astype(np.float32)
    return torch.from_numpy(array)


def _read_safetensors(source: Path, tensor: str | None) -> tuple[Tensor, str]:
    try:
        with safetensors.safe_open(source, framework="pt") as handle:
            names = list(handle.keys())
            name = pick(names, tensor, source)
            array = handle.get_tensor(name)
    except (safetensors.SafetensorError, OSError) as error:
        if isinstance(error, FileError):
            raise
        raise damaged(source, "a whole .safetensors file", error) from error
    if not array.is_floating_point() and array.dtype != torch.uint8:
        raise _wrong_type(source, str(array.dtype).removeprefix("torch."))
    return array, f"tensor {name!r} of {len(names)}"


def pick(names: list[str], wanted: str | None, source: Path) -> str:
    """The name of the tensor that is wanted, None for the first by name; raises FileError where there is none.

    Not the first as stored, for a header lists its tensors by type, and what reads it whole lists them by name.
    """
    if wanted in names or (wanted is None and names):
        return min(names) if wanted is None else wanted
    known = ", ".join(names[:8]) or "none at all"
    raise FileError(f"{source}: tensor", expected=f"a name among {known}", got=repr(wanted))


def damaged(source: Path, expected: str, error: Exception) -> FileError:
    return FileError(
        str(source), expected=expected, got=str(error), remedy="copy or write it again, it may be cut off"
    )


def _wrong_type(source: Path, dtype: str) -> FileError:
    return FileError(
        str(source),
        expected="floating-point numbers or uint8",
        got=dtype,
        remedy="convert it first; integers have no agreed range",
    )


def _shape(array: Tensor) -> str:
    return f"shape {tuple(array.shape)}"
