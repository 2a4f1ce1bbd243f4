"""Arrays that are memory maps: read piece by piece, each given back, or all of a file would count as this process's."""

from __future__ import annotations

import contextlib
import mmap
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

PIECE = 1 << 24  # bytes read through a map before they are given back
AROUND = 1 << 21  # bytes on either side, which the system may have mapped with them


def copied(array: np.ndarray) -> np.ndarray:
    """The numbers of an array in memory of their own."""
    pages = map_of(array)
    if pages is None:
        return np.array(array)
    rows, found = np.atleast_1d(array), np.empty(array.shape, array.dtype)
    step = max(1, PIECE * len(rows) // max(1, array.nbytes))
    for lo in range(0, len(rows), step):
        piece = rows[lo : lo + step]
        np.atleast_1d(found)[lo : lo + step] = piece
        give_back(pages, piece)
    return found


def map_of(array: Any) -> mmap.mmap | None:
    """The memory map of an array or view; None for others, and for a copy-on-write one, whose changes are its own."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            pages = getattr(array, "_mmap", None)
            return pages if array.mode != "c" else None
        array = array.base
    return None


def give_back(pages: mmap.mmap, part: np.ndarray) -> None:
    """Let go of what is in memory of a part of a map that shares it with its file; it stays in the page cache."""
    if not hasattr(mmap, "MADV_DONTNEED") or part.size == 0:
        return
    base = np.frombuffer(pages, np.uint8).ctypes.data
    low, high = (end - base for end in byte_bounds(part))
    start = max(0, low - AROUND) // mmap.PAGESIZE * mmap.PAGESIZE
    with contextlib.suppress(OSError):  # pages that are locked stay
        pages.madvise(mmap.MADV_DONTNEED, start, min(len(pages), high + AROUND) - start)


def is_read_only_map(array: Any) -> bool:
    """Whether it is a memory map that may not be written, which torch cannot hold."""
    return isinstance(array, np.ndarray) and not array.flags.writeable and map_of(array) is not None


def read_in(array: Any) -> Any:
    """A memory map that torch cannot hold, in memory; anything else as it is."""
    return copied(array) if is_read_only_map(array) else array
