"""Latent sources on disk: .npy and raw files, safetensors shards, folders and zips of images.

Rows are read with positioned reads, not through a memory map: what the system keeps of a file in its page cache
is then no memory of this process, and a file larger than memory leaves its peak where the plan says.
"""

from __future__ import annotations

import json
import math
import operator
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.data.files import FORMATS, damaged, is_pattern, matching, pick, require_readable
from brenier.data.images import (
    ImageFile,
    decode,
    decoder_of,
    folder_images,
    require_images,
    require_same_kind,
    zip_images,
)
from brenier.data.opened import OpenFile, OpenFiles
from brenier.data.ranges import to_range
from brenier.data.sources import LatentSource, Source, checked_shape
from brenier.engine import checks
from brenier.errors import FileError, InputError

TYPES = {
    "U8": "u1",
    "F16": "<f2",
    "BF16": "<u2",
    "F32": "<f4",
    "F64": "<f8",
}  # of safetensors, as bytes in numpy
MOST_HEADER = 100 << 20  # bytes; the format's own bound


@dataclass(frozen=True)
class Block:
    """Rows that lie one after the other in a file."""

    path: Path
    offset: int
    rows: int
    row_shape: tuple[int, ...]
    dtype: np.dtype
    brain: bool = False  # two-byte bfloat16, which numpy does not know

    @property
    def row_bytes(self) -> int:
        return math.prod(self.row_shape) * self.dtype.itemsize

    @property
    def torch_dtype(self) -> torch.dtype:
        if self.brain:
            return torch.bfloat16
        return number_type(self.dtype, str(self.path))


class BlockSource(Source):
    """Rows of one or more blocks on disk, read in place.

    value_range, layout : see Source. Raises FileError for files that are shorter than their header says,
    InputError for blocks of different shapes or types.
    """

    def __init__(
        self, blocks: Sequence[Block], *, value_range: str | None = None, layout: str = "nchw"
    ) -> None:
        first = blocks[0]
        for block in blocks:
            if (block.row_shape, block.dtype, block.brain) != (first.row_shape, first.dtype, first.brain):
                raise InputError(
                    str(block.path),
                    expected=f"rows {first.row_shape} of {first.torch_dtype} as in {first.path}",
                    got=f"rows {block.row_shape} of {block.torch_dtype}",
                )
            require_length(block)
        self._blocks = list(blocks)
        self._starts = np.cumsum([0] + [block.rows for block in blocks])
        self._files = OpenFiles([block.path for block in blocks])
        super().__init__(
            int(self._starts[-1]), first.row_shape, first.torch_dtype, value_range, layout, str(first.path)
        )

    def stored(self, lo: int, hi: int) -> Tensor:
        first = self._blocks[0]
        rows = np.empty((hi - lo, *first.row_shape), dtype=first.dtype)
        for k, (block, start) in enumerate(zip(self._blocks, self._starts.tolist(), strict=False)):
            a, b = max(lo, start), min(hi, start + block.rows)
            if a < b:
                part: Any = rows[a - lo : b - lo].reshape(-1).view(np.uint8)
                offset = block.offset + (a - start) * block.row_bytes
                read_fully(self._files[k], memoryview(part), offset, block)
        native = rows.astype(rows.dtype.newbyteorder("="), copy=False)
        return torch.from_numpy(native).view(torch.bfloat16) if first.brain else torch.from_numpy(native)


def require_length(block: Block) -> None:
    """Refuse a file that ends before its rows do."""
    require_readable(block.path)
    size, wanted = block.path.stat().st_size, block.offset + block.rows * block.row_bytes
    if size < wanted:
        raise FileError(
            str(block.path),
            expected=f"at least {wanted} bytes",
            got=f"{size}",
            remedy="write it again, it is cut off",
        )


def read_fully(file: OpenFile, buffer: memoryview, offset: int, block: Block) -> None:
    """Fill the buffer from an offset; the system may deliver less than asked for in one call."""
    done = 0
    while done < len(buffer):
        got = os.preadv(file.number, [buffer[done:]], offset + done)
        if got == 0:
            raise FileError(str(block.path), expected="the rows it had when it was opened", got="its end")
        done += got


def raw_source(
    path: str | os.PathLike[str],
    *,
    shape: tuple[int, ...],
    dtype: str,
    offset: int = 0,
    value_range: str | None = None,
    layout: str = "nchw",
) -> BlockSource:
    """A file of numbers without a header: shape (n, ...) of a numpy dtype such as "uint8" or "<f4".

    Raises FileError for a file that is too short, InputError for what is no shape, type or offset.
    """
    try:
        kind = np.dtype(dtype)
    except TypeError as error:
        raise InputError(
            "dtype", expected='a numpy dtype such as "uint8" or "<f4"', got=repr(dtype)
        ) from error
    length, *row_shape = checked_shape(shape, "shape")
    block = Block(Path(path), checks.count(offset, "offset", lowest=0), length, tuple(row_shape), kind)
    return BlockSource([block], value_range=value_range, layout=layout)


def npy_block(path: Path) -> Block:
    """The rows of a .npy file; raises FileError for a damaged one and for Fortran order."""
    require_readable(path)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise damaged(path, "a whole .npy file of numbers", error) from error
    if array.ndim < 2 or not array.flags.c_contiguous or array.dtype.kind not in "fu" or array.itemsize > 8:
        raise FileError(
            str(path),
            expected="rows (n, d) or images of floats or uint8, in C order",
            got=f"{array.dtype} {array.shape}" + ("" if array.flags.c_contiguous else " in Fortran order"),
            remedy="save numpy.ascontiguousarray(...) of it",
        )
    return Block(path, int(array.offset), len(array), array.shape[1:], array.dtype)


def safetensors_block(path: Path, tensor: str | None) -> Block:
    """The rows of one tensor of a .safetensors file (None: the first by name), from the header alone."""
    require_readable(path)
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(size)) if size <= MOST_HEADER else {}
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            entry = entries[pick(list(entries), tensor, path)]
            kind, shape = str(entry["dtype"]), tuple(map(operator.index, entry["shape"]))
            start = 8 + size + operator.index(entry["data_offsets"][0])
        except (ValueError, AttributeError, LookupError, TypeError) as error:
            raise damaged(path, "a whole .safetensors file", error) from error
    if kind not in TYPES or len(shape) < 2 or min(*shape, start - 8 - size) < 0:
        raise FileError(str(path), expected="rows of floats or uint8", got=f"{kind} {shape}")
    return Block(path, start, shape[0], shape[1:], np.dtype(TYPES[kind]), kind == "BF16")


class ListedSource(Source):
    """Rows that are files of their own, decoded when they are read.

    value_range, layout : see Source. Reading raises FileError for what cannot be decoded or has another shape.
    """

    def __init__(
        self,
        files: Sequence[ImageFile],
        what: str,
        *,
        value_range: str | None = None,
        layout: str = "nchw",
        decode: Callable[[ImageFile], np.ndarray] = decode,
    ) -> None:
        require_images(files, what)
        self._images, self._decode = list(files), decode
        first = decode(self._images[0])
        self._like = np.empty_like(first)  # its shape and type
        super().__init__(
            len(self._images), first.shape, number_type(first.dtype, what), value_range, layout, what
        )

    def stored(self, lo: int, hi: int) -> Tensor:
        rows = np.empty((hi - lo, *self._like.shape), dtype=self._like.dtype)
        for row, image in enumerate(self._images[lo:hi]):
            values = self._decode(image)
            require_same_kind(image, values, self._images[0], self._like)
            if values.dtype != np.uint8:
                to_range(torch.from_numpy(values)[None], self.value_range, image.name)  # refuses NaN by name
            rows[row] = values
        return torch.from_numpy(rows)


def number_type(dtype: np.dtype, what: str) -> torch.dtype:
    """The torch type of an array's numbers; raises InputError for what torch cannot hold."""
    try:
        return torch.from_numpy(np.empty(0, dtype=dtype.newbyteorder("="))).dtype
    except TypeError as error:
        expected = "uint8 or floating-point numbers of at most 64 bits"
        raise InputError(what, expected=expected, got=str(dtype)) from error


class ImageSource(ListedSource):
    """PNG and JPEG images of a folder or, in place, of a zip, sorted by name, decoded when they are read.

    value_range : see Source; images are uint8. A zip without images may hold latents as EDM2 writes them, one .npy
        (channels, height, width) each. Raises FileError for what is no image or has another shape.
    """

    def __init__(self, path: str | os.PathLike[str], *, value_range: str | None = None) -> None:
        place = Path(path)
        require_readable(place)
        self._archive = None if place.is_dir() else zipfile.ZipFile(place)
        images = folder_images(place) if self._archive is None else zip_images(self._archive, place)
        super().__init__(images, str(place), value_range=value_range, decode=decoder_of(images))


def open_file(
    path: str | os.PathLike[str], *, value_range: str | None, layout: str, tensor: str | None
) -> LatentSource:
    """The source behind a name; see open_source."""
    place = Path(path)
    if is_pattern(place):
        return shards(place, value_range=value_range, layout=layout, tensor=tensor)
    require_readable(place)
    if place.is_dir() or place.suffix == ".zip":
        return image_source(place, value_range)
    if place.suffix == ".npy":
        return BlockSource([npy_block(place)], value_range=value_range, layout=layout)
    if place.suffix == ".safetensors":
        return BlockSource([safetensors_block(place, tensor)], value_range=value_range, layout=layout)
    raise FileError(str(place), expected=FORMATS, got=f"suffix {place.suffix!r}")


def image_source(place: Path, value_range: str | None) -> ImageSource:
    try:
        return ImageSource(place, value_range=value_range)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise FileError(str(place), expected="a whole zip archive", got=str(error)) from error


def shards(pattern: Path, *, value_range: str | None, layout: str, tensor: str | None) -> BlockSource:
    """All .safetensors files that match, in the order of their names."""
    blocks = [safetensors_block(path, tensor) for path in matching(pattern)]
    return BlockSource(blocks, value_range=value_range, layout=layout)
