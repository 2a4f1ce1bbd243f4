"""Latent sources: rows of float32 read range by range, from memory, files, images or a function.

What a source's values mean is said where it is made (``value_range``, as in load_array), never guessed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from brenier.data.mapped import copied
from brenier.data.mixing import byte_values, mix
from brenier.data.ranges import image_rows, to_range
from brenier.engine.checks import as_tensor
from brenier.errors import InputError
from brenier.types import Array

STORED = (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64)


@runtime_checkable
class LatentSource(Protocol):
    """n rows of d numbers that need not be in memory.

    shape : (n, d)
    dtype : of what read returns, float32
    read(lo, hi, out) : rows lo to hi − 1, written into out (hi − lo, d) where it is given, and returned; the
        same bits for any division into ranges. Called by one thread at a time, not always the same one.
    """

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def __len__(self) -> int: ...

    def read(self, lo: int, hi: int, out: Tensor | None = None) -> Tensor: ...


class Source:
    """What the sources here share; a subclass says in ``stored`` how rows are fetched.

    row_shape, stored_dtype : of a stored row: (d,), (height, width) or (channels, height, width)
    value_range : "raw", "0..1" or "-1..1", what the numbers are once read; None maps uint8 to [-1, 1] by
        v/127.5 − 1 and leaves floats as stored. Floats said to lie in a range are checked to.
    layout : "nchw" or "nhwc", for rows of three axes
    """

    dtype = torch.float32

    def __init__(
        self,
        length: int,
        row_shape: tuple[int, ...],
        stored_dtype: torch.dtype,
        value_range: str | None,
        layout: str = "nchw",
        what: str = "source",
    ) -> None:
        length, *rest = checked_shape((length, *row_shape), what)
        if stored_dtype not in STORED:
            raise InputError(what, expected="uint8 or floating-point numbers", got=str(stored_dtype))
        if value_range == "uint8":
            raise InputError("value_range", expected="raw, 0..1 or -1..1", got=repr(value_range))
        rows, self.image_shape = image_rows(torch.zeros(1, *rest, dtype=stored_dtype), layout, what)
        _, conversion = to_range(rows, value_range, what)
        self.shape = (length, rows.shape[1])
        self.value_range, self.layout, self.what = value_range, layout, what
        self.note = conversion
        self.byte_values = byte_values(value_range) if stored_dtype == torch.uint8 else None

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, lo: int, hi: int, out: Tensor | None = None) -> Tensor:
        """Rows lo to hi − 1 in the source's range, float32 (hi − lo, d); raises InputError."""
        require_range(lo, hi, len(self))
        if lo == hi:
            return delivered(torch.empty(0, self.shape[1]), out)
        if self.byte_values is not None:
            return mix(
                self.read_bytes(lo, hi), fitting(out, (hi - lo, self.shape[1])), values=self.byte_values
            )
        rows, _ = image_rows(self.stored(lo, hi), self.layout, self.what)
        return delivered(to_range(rows, self.value_range, self.what)[0], out)

    def read_bytes(self, lo: int, hi: int) -> Tensor:
        """Rows lo to hi − 1 as bytes, (hi − lo, d), of a source whose byte_values says what they stand for."""
        return image_rows(self.stored(lo, hi), self.layout, self.what)[0]

    def stored(self, lo: int, hi: int) -> Tensor:
        """Rows lo to hi − 1 as stored, hi > lo."""
        raise NotImplementedError


def checked_shape(shape: Any, what: str) -> tuple[int, ...]:
    """A shape (n, ...) as whole numbers; raises InputError."""
    sizes = tuple(shape) if isinstance(shape, Sequence) else ()
    if not sizes or not all(isinstance(size, int | np.integer) and size >= 0 for size in sizes):
        raise InputError(what, expected="a shape (n, ...) of whole numbers ≥ 0", got=repr(shape))
    return tuple(int(size) for size in sizes)


def require_range(lo: int, hi: int, length: int) -> None:
    whole = isinstance(lo, int | np.integer) and isinstance(hi, int | np.integer)
    if not (whole and 0 <= lo <= hi <= length):
        raise InputError("range", expected=f"whole numbers 0 ≤ lo ≤ hi ≤ {length}", got=f"{lo!r}, {hi!r}")


def delivered(rows: Tensor, out: Tensor | None) -> Tensor:
    """The rows, in out where it is given; raises InputError for one of another shape or dtype."""
    return rows if out is None else fitting(out, tuple(rows.shape)).copy_(rows)


def fitting(out: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """Where rows of that shape are to be written; raises InputError for another shape or dtype."""
    if out is None:
        return torch.empty(shape)
    if out.shape != shape or out.dtype != torch.float32 or not out.is_contiguous():
        raise InputError("out", expected=f"contiguous float32 {shape}", got=f"{out.dtype} {tuple(out.shape)}")
    return out


class ArraySource(Source):
    """A tensor, an array or a numpy memmap of rows (n, d), (n, h, w) or (n, c, h, w); not copied.

    What is read of a memmap does not stay in this process's memory, unless it is copy-on-write (mode "c").

    value_range, layout : see Source. Raises InputError for other types and shapes.
    """

    def __init__(self, array: Array, *, value_range: str | None = None, layout: str = "nchw") -> None:
        self._array: Any = array if isinstance(array, np.ndarray) else as_tensor(array, "array")
        first = as_tensor(array[:1], "array")
        super().__init__(len(array), tuple(first.shape[1:]), first.dtype, value_range, layout, "array")

    def stored(self, lo: int, hi: int) -> Tensor:
        part = self._array[lo:hi]
        return part.cpu() if isinstance(part, Tensor) else as_tensor(copied(part), self.what)


class CallableSource(Source):
    """Any function of (lo, hi) that returns the rows lo to hi − 1 as a tensor or array.

    shape : (n, d), (n, h, w) or (n, c, h, w) of what it serves; dtype : the torch type of its rows
    value_range, layout : see Source. A Hugging Face data set is
    ``CallableSource(lambda lo, hi: data[lo:hi]["image"], shape=..., dtype=..., value_range="-1..1")`` after
    ``data = data.with_format("torch")``.

    Reading raises InputError where the function returns another shape or dtype than it was said to.
    """

    def __init__(
        self,
        function: Callable[[int, int], Array],
        *,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        value_range: str,
        layout: str = "nchw",
    ) -> None:
        if not callable(function):
            raise InputError("function", expected="a function of (lo, hi)", got=repr(function))
        length, *row_shape = checked_shape(shape, "shape")
        super().__init__(length, tuple(row_shape), dtype, value_range, layout, "function")
        self._function, self._stored = function, (tuple(row_shape), dtype)

    def read(self, lo: int, hi: int, out: Tensor | None = None) -> Tensor:
        """Rows lo to hi − 1, float32 (hi − lo, d), never in memory of the function's, which may use it again."""
        require_range(lo, hi, len(self))
        return super().read(lo, hi, fitting(out, (hi - lo, self.shape[1])))

    def stored(self, lo: int, hi: int) -> Tensor:
        rows = as_tensor(self._function(lo, hi), "rows of the function")
        shape, dtype = self._stored
        if rows.shape != (hi - lo, *shape) or rows.dtype != dtype:
            raise InputError(
                "rows of the function",
                expected=f"{dtype} {(hi - lo, *shape)}",
                got=f"{rows.dtype} {tuple(rows.shape)}",
            )
        return rows.cpu()


class FlippedSource:
    """Twice the targets: row 2i is image i of the source, row 2i + 1 its mirror image, left and right exchanged.

    image_shape : (channels, height, width) of a row; None takes the source's own

    Interleaved, so that a pass reads every image once. Raises InputError for rows that are no images.
    """

    dtype = torch.float32

    def __init__(self, source: LatentSource, image_shape: tuple[int, int, int] | None = None) -> None:
        shape = image_shape or getattr(source, "image_shape", None)
        sizes = () if shape is None else checked_shape(shape, "image_shape")
        if len(sizes) != 3 or math.prod(sizes) != source.shape[1]:
            raise InputError(
                "image_shape",
                expected=f"(channels, height, width) with {source.shape[1]} numbers",
                got=str(shape),
                remedy="pass image_shape=",
            )
        self.source, self.image_shape = source, (sizes[0], sizes[1], sizes[2])
        self.shape = (2 * len(source), source.shape[1])
        self.byte_values: Tensor | None = getattr(source, "byte_values", None)
        self.note = f"{getattr(source, 'note', 'as the source gives them')}, with mirror images"

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, lo: int, hi: int, out: Tensor | None = None) -> Tensor:
        """Rows lo to hi − 1, float32 (hi − lo, d)."""
        require_range(lo, hi, len(self))
        return delivered(self._both(self.source.read, lo, hi), out)

    def read_bytes(self, lo: int, hi: int) -> Tensor:
        """Rows lo to hi − 1 as bytes, where the source has byte_values."""
        source: Any = self.source
        return self._both(source.read_bytes, lo, hi)

    def _both(self, read: Callable[[int, int], Tensor], lo: int, hi: int) -> Tensor:
        images = read(lo // 2, (hi + 1) // 2 if hi > lo else lo // 2)
        mirrored = images.view(-1, *self.image_shape).flip(3).reshape(images.shape)
        both = torch.stack([images, mirrored], dim=1).view(-1, self.shape[1])
        return both[lo % 2 : lo % 2 + hi - lo]


def open_source(
    targets: Any, *, value_range: str | None = None, layout: str = "nchw", tensor: str | None = None
) -> LatentSource:
    """A source of whatever can be one: a source itself, a tensor or array, or the name of a file or folder.

    Files: .npy and .safetensors (one tensor of one file, or ``name*.safetensors`` shards in order of their
    names), a folder or a .zip of images, or a .zip of .npy latents as EDM2 writes them. Nothing but headers is
    read. Raises FileError and InputError.
    """
    from brenier.data.file_sources import open_file  # it builds on this module

    if isinstance(targets, Tensor | np.ndarray):
        return ArraySource(targets, value_range=value_range, layout=layout)
    if isinstance(targets, LatentSource):
        return targets
    if not isinstance(targets, str | os.PathLike):
        expected = "a source, a tensor, an array, or the name of a file or folder"
        raise InputError("targets", expected=expected, got=type(targets).__name__)
    return open_file(targets, value_range=value_range, layout=layout, tensor=tensor)
