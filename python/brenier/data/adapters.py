"""Latent sources over what other libraries keep: Hugging Face data sets, and shards in the layout of webdataset."""

from __future__ import annotations

import functools
import glob
import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.data.file_sources import ListedSource
from brenier.data.files import require_readable
from brenier.data.images import MAX_FILE, ImageFile, decode
from brenier.data.sources import CallableSource
from brenier.errors import FileError, InputError, require_package

FIELDS = ("png", "jpg", "jpeg", "npy")


def huggingface_source(data: Any, column: str, *, value_range: str, layout: str = "nchw") -> CallableSource:
    """A column of a Hugging Face data set of random access: images or arrays of one shape.

    data : a datasets.Dataset, or the folder that its save_to_disk wrote (then the package is needed); anything
        with len and data[lo:hi][column] will do. Nothing is downloaded
    column : of PIL images (8-bit grey or RGB), tensors, arrays or lists of numbers
    value_range, layout : as in CallableSource; layout is that of arrays, images say their own

    Raises InputError for an absent column or a data set without rows, MissingPackageError for a folder without the
    package; reading raises InputError for rows of another shape.
    """
    if isinstance(data, str | os.PathLike):
        data = require_package("datasets", "datasets").load_from_disk(os.fspath(data))
    if len(data) == 0:
        raise InputError("data", expected="at least one row", got="none")
    try:
        first = row_of(data[0:1][column][0])
    except (KeyError, TypeError) as error:
        names = getattr(data, "column_names", "its columns")
        raise InputError("column", expected=f"one of {names}", got=repr(column)) from error

    def read(lo: int, hi: int) -> Tensor:
        rows = [row_of(value) for value in data[lo:hi][column]]
        if any(row.shape != first.shape for row in rows):
            raise InputError(
                f"rows {lo} to {hi - 1} of {column!r}",
                expected=f"shape {first.shape} as the first",
                got=str(next(row.shape for row in rows if row.shape != first.shape)),
                remedy="resize all images to one size and colour mode",
            )
        return torch.from_numpy(np.stack(rows))

    images = hasattr(data[0:1][column][0], "getbands")
    return CallableSource(
        read,
        shape=(len(data), *first.shape),
        dtype=torch.from_numpy(first).dtype,
        value_range=value_range,
        layout="nhwc" if images else layout,
    )


def row_of(value: Any) -> np.ndarray:
    """One row as an array; floats of Python become float32."""
    if isinstance(value, Tensor):
        return value.cpu().numpy()
    if hasattr(value, "getbands") and value.mode not in ("L", "RGB"):
        raise InputError(
            "image", expected="8-bit grey (L) or RGB", got=f"mode {value.mode}", remedy="convert it"
        )
    row = np.array(value)
    if isinstance(value, list) and row.dtype == np.float64:
        return row.astype(np.float32)
    return row


def webdataset_source(
    shards: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    field: str | None = None,
    value_range: str | None = None,
    layout: str = "nchw",
) -> ListedSource:
    """Samples of tar shards in the layout of webdataset, read in place, in the order of the shards and in them.

    shards : a .tar file, a pattern such as "train-*.tar" (in the order of names), or several files
    field : which file of each sample, by what follows the first dot of its name: "png", "jpg" or "npy"; None
        takes the first of these that occurs
    value_range, layout : see brenier.data.sources.Source; images say their own layout

    The package is not needed: headers are read once (an index of names and offsets), then each sample where it lies;
    nothing is extracted. Raises FileError for damaged or compressed shards and for samples of different shapes.
    """
    members = [member for path in shard_paths(shards) for member in shard_members(path)]
    wanted = field or next((kind for kind, _ in members if kind in FIELDS), None)
    found = [file for kind, file in members if kind == wanted]
    if not found or wanted not in FIELDS:
        kinds = sorted({kind for kind, _ in members})
        raise FileError(
            str(shards), expected="samples with " + ", ".join(FIELDS), got=f"{wanted}; fields {kinds}"
        )
    reader = decode_array if wanted == "npy" else decode
    return ListedSource(found, str(shards), value_range=value_range, layout=layout, decode=reader)


def shard_paths(shards: Any) -> list[Path]:
    given = [shards] if isinstance(shards, str | os.PathLike) else list(shards)
    paths = [
        Path(name)
        for one in given
        for name in (sorted(glob.glob(os.fspath(one))) if any(c in os.fspath(one) for c in "*?[") else [one])
    ]
    if not paths:
        raise FileError(str(shards), expected="at least one matching file", got="none")
    return paths


def shard_members(path: Path) -> list[tuple[str, ImageFile]]:
    """(field, file) of every plain file in a shard, from its headers."""
    require_readable(path)
    try:
        with tarfile.open(path, "r:") as archive:
            entries = [entry for entry in archive if entry.isreg()]
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise FileError(str(path), expected="a whole, uncompressed tar file", got=str(error)) from error
    return [
        (
            Path(entry.name).name.partition(".")[2].lower(),
            ImageFile(
                f"{path}:{entry.name}", functools.partial(read_at, path, entry.offset_data, entry.size)
            ),
        )
        for entry in entries
    ]


def read_at(path: Path, offset: int, size: int) -> bytes:
    """Bytes of a file inside another; raises FileError where they are too many or not there."""
    if size > MAX_FILE:
        raise FileError(str(path), expected=f"samples up to {MAX_FILE} bytes", got=str(size))
    with path.open("rb", buffering=0) as file:
        data = os.pread(file.fileno(), size, offset)
    if len(data) < size:
        raise FileError(str(path), expected=f"{size} bytes at {offset}", got=f"{len(data)}")
    return data


def decode_array(file: ImageFile) -> np.ndarray:
    """The array of a .npy sample; pickles are refused."""
    try:
        array = np.load(io.BytesIO(file.read()), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise FileError(file.name, expected="a whole .npy file of numbers", got=str(error)) from error
    return np.asarray(array)
