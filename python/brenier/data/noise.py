"""Counter-based noise: noise number i of a seed and stream is the same for every worker, batch size and machine."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from brenier.engine import gpu_noise, threads
from brenier.engine.native import address, choose_body, core
from brenier.errors import InputError

ELEMENTS_PER_CALL = 1 << 22


class Stream(IntEnum):
    """What random numbers are for: streams of one seed are independent of each other."""

    FIT = 0
    CHECK = 1
    LATENT = 2
    SUBSPACE = 3
    DIRECTION = 4
    TRAIN = 5
    SAMPLE = 6
    POOL = 7
    PROBE = 8
    CHECK_SUBSPACE = 9
    CHECK_DIRECTION = 10
    LEVEL = 11
    TRAIN_DIRECTION = 12
    TRAIN_SUBSPACE = 13
    FRAME = 16


def normal(
    seed: int, first: int, rows: int, d: int, *, stream: Stream, device: torch.device | str | None = None
) -> Tensor:
    """Standard normal noise, rows number first to first + rows − 1 of (seed, stream).

    Philox4x32-10 (Salmon et al. 2011) under the seed as key, counter (element // 4, number, stream), then
    Box–Muller: |x| ≤ 6.66, accuracy in docs/numerics.md.

    seed, first : int in [0, 2⁶⁴)
    rows, d : sizes ≥ 0
    device : a CUDA device to make it there (the same words, normals to 2 ulp: docs/numerics.md); None for the CPU

    Returns float32 (rows, d), the same bits on every instruction set. Raises InputError.
    """
    if device is not None and torch.device(device).type == "cuda":
        _check_key(seed, first, rows, stream)
        _check_size(d)
        return gpu_noise.normals(seed, first, rows, d, int(stream), torch.device(device))
    return _rows(core().normal, seed, first, rows, d, stream)


def unit_vectors(seed: int, first: int, rows: int, d: int, *, stream: Stream) -> Tensor:
    """Uniform directions on the sphere of R^d: normal(...) with each row divided by its float64 norm."""
    return _rows(core().unit_vectors, seed, first, rows, d, stream)


def integers(seed: int, first: int, count: int, high: int, *, stream: Stream) -> Tensor:
    """Uniform int64 in [0, high): number first + i of (seed, stream) in place i; bias below high · 2⁻⁶⁴.

    Raises InputError for high < 1 and for anything out of range.
    """
    _check_key(seed, first, count, stream)
    if not 0 < _whole(high, "high") < 1 << 63:
        raise InputError("high", expected="1 ≤ high < 2**63", got=str(high))
    out = np.empty(count, dtype=np.int64)
    body = choose_body().index

    def work(piece: tuple[int, int]) -> None:
        lo, hi = piece
        core().integers(body, seed, _wrap(first + lo), hi - lo, high, int(stream), address(out[lo:]))

    threads.run(work, pieces_of_rows(count, ELEMENTS_PER_CALL))
    return torch.from_numpy(out)


def _rows(fill: Callable[..., None], seed: int, first: int, rows: int, d: int, stream: Stream) -> Tensor:
    _check_key(seed, first, rows, stream)
    _check_size(d)
    out = np.empty((rows, d), dtype=np.float32)
    body = choose_body().index

    def work(piece: tuple[int, int]) -> None:
        lo, hi = piece
        fill(body, seed, _wrap(first + lo), hi - lo, d, int(stream), address(out[lo:]))

    if out.size > 0:
        threads.run(work, pieces_of_rows(rows, max(1, ELEMENTS_PER_CALL // d)))
    return torch.from_numpy(out)


def pieces_of_rows(rows: int, most: int) -> list[tuple[int, int]]:
    """Ranges for several calls of every thread, none of more than ``most`` rows."""
    step = max(1, min(most, -(-rows // (4 * threads.thread_count()))))
    return [(lo, min(lo + step, rows)) for lo in range(0, rows, step)]


def _check_key(seed: int, first: int, count: int, stream: Stream) -> None:
    require_key(seed, "seed")
    require_key(first, "first")
    if _whole(count, "rows") < 0:
        raise InputError("rows", expected="a size ≥ 0", got=str(count))
    if not isinstance(stream, Stream):
        raise InputError("stream", expected="a member of brenier.data.Stream", got=repr(stream))


def require_key(value: int, what: str) -> int:
    """A seed or the number of a row; raises InputError for anything that is none."""
    if not 0 <= _whole(value, what) < 1 << 64:
        raise InputError(what, expected="a whole number in [0, 2**64)", got=str(value))
    return int(value)


def _check_size(d: int) -> None:
    if _whole(d, "d") < 0:
        raise InputError("d", expected="a size ≥ 0", got=str(d))


def _whole(value: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(what, expected="a whole number", got=repr(value))
    return int(value)


def _wrap(index: int) -> int:
    return index % (1 << 64)
