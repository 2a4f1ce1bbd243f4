"""Latent sources over what other libraries keep: Hugging Face data sets, and shards in the layout of webdataset."""

from __future__ import annotations

import functools
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.data.file_sources import ListedSource
from brenier.data.files import is_pattern, matching, require_readable
from brenier.data.images import MAX_FILE, ImageFile, decode, decode_array
from brenier.data.sources import CallableSource
from brenier.engine.checks import as_array
from brenier.errors import FileError, InputError, require_package

FIELDS = ("png", "jpg", "jpeg", "npy")
Sample = tuple[str, dict[str, ImageFile]]  # its shard and name, and its files by field


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
        first = row_of(data[0:1][column][0], f"row 0 of {column!r}")
    except (KeyError, TypeError) as error:
        names = getattr(data, "column_names", "its columns")
        raise InputError("column", expected=f"one of {names}", got=repr(column)) from error

    def read(lo: int, hi: int) -> Tensor:
        rows = [row_of(value, f"row {lo + k} of {column!r}") for k, value in enumerate(data[lo:hi][column])]
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


def row_of(value: Any, what: str) -> np.ndarray:
    """One row as an array; floats of Python become float32. Raises InputError for what is no image and no numbers."""
    if isinstance(value, Tensor):
        return value.cpu().numpy()
    if hasattr(value, "getbands") and value.mode not in ("L", "RGB"):
        raise InputError(
            what, expected="8-bit grey (L) or RGB", got=f"mode {value.mode}", remedy="convert it"
        )
    row = np.array(as_array(value, what))
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
    """One row for each sample of tar shards in the layout of webdataset, in place, in the order of shards and samples.

    shards : a .tar file, a pattern such as "train-*.tar" (in the order of names), or several files
    field : which file of each sample, by what follows the first dot of its name: "png", "jpg", "jpeg" or "npy", or
        several, "png;jpg", of which the first that a sample has counts. None takes the only one that it has
    value_range, layout : see brenier.data.sources.Source; images say their own layout

    A sample is the files of one name up to the first dot that lie side by side; hidden names and those without a dot
    belong to none. The package is not needed: headers are read once (an index of names and offsets), then each
    sample where it lies; nothing is extracted. Raises FileError for damaged or compressed shards, and for a sample
    without the field, with several of them where field is None, or of another kind, shape or type than the first.
    """
    wanted = FIELDS if field is None else tuple(field.lower().split(";"))
    if not set(wanted) <= set(FIELDS):
        raise InputError("field", expected="None or some of " + ", ".join(FIELDS), got=repr(field))
    samples = [sample for path in shard_paths(shards) for sample in shard_samples(path)]
    if not samples:
        raise FileError(str(shards), expected="samples with " + " or ".join(wanted), got="none")
    found = [field_of(sample, wanted, field is None) for sample in samples]
    kinds = ["array" if kind == "npy" else "image" for kind, _ in found]
    for kind, (_, file) in zip(kinds, found, strict=True):
        if kind != kinds[0]:
            raise FileError(file.name, expected=f"an {kinds[0]} as {found[0][1].name}", got=f"an {kind}")
    reader = decode_array if kinds[0] == "array" else decode
    files = [file for _, file in found]
    return ListedSource(files, str(shards), value_range=value_range, layout=layout, decode=reader)


def field_of(sample: Sample, wanted: tuple[str, ...], only: bool) -> tuple[str, ImageFile]:
    """The first of the wanted files that a sample has, by field; raises FileError for none or, with only, several."""
    name, files = sample
    have = [kind for kind in wanted if kind in files]
    if not have or (only and len(have) > 1):
        raise FileError(
            f"sample {name}",
            expected=("one of " if only or len(wanted) > 1 else "") + ", ".join(wanted),
            got=f"files {', '.join(sorted(files))}",
            remedy="say which with field="
            if have
            else "write its files side by side, or leave it out of the shards",
        )
    return have[0], files[have[0]]


def shard_paths(shards: Any) -> list[Path]:
    given = [shards] if isinstance(shards, str | os.PathLike) else list(shards)
    paths = [path for one in given for path in (matching(one) if is_pattern(one) else [Path(one)])]
    if not paths:
        raise FileError(str(shards), expected="at least one matching file", got="none")
    return paths


def shard_samples(path: Path) -> list[Sample]:
    """The samples of a shard, from its headers: files side by side with one name up to the first dot."""
    samples: list[Sample] = []
    for entry in shard_entries(path):
        folder, base = os.path.split(entry.name)
        stem, _, field = base.partition(".")
        if not stem or not field or base.startswith("__"):
            continue  # hidden, no sample's, or webdataset's own notes
        key = f"{path}:{os.path.join(folder, stem)}"
        if not samples or samples[-1][0] != key:
            samples.append((key, {}))
        files, name = samples[-1][1], f"{path}:{entry.name}"
        if field.lower() in files:
            raise FileError(f"sample {key}", expected="one file of each kind", got=f"two of .{field.lower()}")
        files[field.lower()] = ImageFile(
            name, functools.partial(read_at, path, entry.offset_data, entry.size)
        )
    return samples


def shard_entries(path: Path) -> list[tarfile.TarInfo]:
    """The headers of all plain files in a shard."""
    require_readable(path)
    try:
        with tarfile.open(path, "r:") as archive:
            return [entry for entry in archive if entry.isreg()]
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise FileError(str(path), expected="a whole, uncompressed tar file", got=str(error)) from error


def read_at(path: Path, offset: int, size: int) -> bytes:
    """Bytes of a file inside another; raises FileError where they are too many or not there."""
    if size > MAX_FILE:
        raise FileError(str(path), expected=f"samples up to {MAX_FILE} bytes", got=str(size))
    with path.open("rb", buffering=0) as file:
        data = os.pread(file.fileno(), size, offset)
    if len(data) < size:
        raise FileError(str(path), expected=f"{size} bytes at {offset}", got=f"{len(data)}")
    return data
