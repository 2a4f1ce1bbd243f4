"""The processes that share one piece of work, by torch.distributed: exact exchanges, and an end where one is lost.

Only exact things are exchanged: integers are summed, and floating-point numbers are moved, never added. So every
result has the bits of one process, whatever the number of ranks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from brenier.errors import InputError, RankLostError

SECONDS_TO_ANSWER = 600.0  # a rank of a fit that is silent for longer is lost
SHORTEST, LONGEST = 1e-3, 1e9  # seconds that torch.distributed can count
BLOCK_BYTES = 64 << 20  # exchanged at a time, each within the patience


class Ranks(NamedTuple):
    """This process among its peers; one process without torch.distributed."""

    rank: int = 0
    world: int = 1
    group: Any = None

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of every rank, in the order of ranks; equal shapes everywhere."""
        if self.world == 1:
            return tensor
        whole = tensor.new_empty((self.world * len(tensor), *tensor.shape[1:]))
        lo, hi = self.rows(len(whole))
        whole[lo:hi] = tensor
        return self.joined(whole)

    def joined(self, whole: Tensor) -> Tensor:
        """The same rows (total, ...), contiguous, once every rank's own are there: each has written its ``rows``.

        In place, in blocks of BLOCK_BYTES: an all-gather would hold the rows three times.
        """
        if self.world > 1 and whole.numel():
            step = max(1, BLOCK_BYTES * len(whole) // whole.nbytes)
            with answered():
                for rank in range(self.world):
                    lo, hi = self._replace(rank=rank).rows(len(whole))
                    for at in range(lo, hi, step):
                        dist.broadcast(whole[at : min(at + step, hi)], group=self.group, group_src=rank)
        return whole

    def total(self, counts: Tensor) -> Tensor:
        """Σ over ranks of integers, in place."""
        if self.world > 1:
            if counts.is_floating_point():
                raise TypeError("sums of floating-point numbers depend on their order")
            with answered():
                dist.all_reduce(counts, group=self.group)
        return counts

    def first(self, value: float) -> float:
        """Rank 0's number, on every rank."""
        if self.world == 1:
            return value
        number = torch.tensor([value], dtype=torch.float64)
        with answered():
            dist.broadcast(number, group=self.group, group_src=0)
        return number.item()

    def share(self, total: int, granule: int = 1) -> tuple[int, int]:
        """This rank's range of that many items, cut at multiples of the granule; rank 0 has some if anybody has."""
        units = -(-total // granule)
        lo, hi = (-(-units * rank // self.world) * granule for rank in (self.rank, self.rank + 1))
        return min(lo, total), min(hi, total)

    def rows(self, total: int) -> tuple[int, int]:
        """This rank's range of so many rows: all of one length but the last."""
        length = -(-total // self.world)
        return min(self.rank * length, total), min((self.rank + 1) * length, total)

    def require_same(self, text: str, what: str) -> None:
        """Raises InputError, on every rank, where ranks hold different texts."""
        mine = torch.frombuffer(bytearray(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)
        everybody = self.gather(mine[None])
        others = [rank for rank in range(self.world) if not torch.equal(everybody[rank], everybody[0])]
        if others:
            raise InputError(what, expected="the same on every rank", got=f"others on ranks {others}")


def patience(otherwise: float | None = None) -> timedelta | None:
    """How long a silent rank is waited for: BRENIER_RANK_TIMEOUT seconds where it is set; None is torch's default.

    Raises InputError for anything but a number of seconds from SHORTEST to LONGEST.
    """
    asked = os.environ.get("BRENIER_RANK_TIMEOUT")
    if not asked:
        return None if otherwise is None else timedelta(seconds=otherwise)
    try:
        seconds = float(asked)
    except ValueError:
        seconds = 0.0
    if not SHORTEST <= seconds <= LONGEST:
        expected = f"a number of seconds, {SHORTEST:g} to {LONGEST:g}"
        raise InputError("BRENIER_RANK_TIMEOUT", expected=expected, got=repr(asked))
    return timedelta(seconds=seconds)


def this_rank(group: Any = None, *, exchanging: bool = False) -> Ranks:
    """Where this process stands; with exchanging, in a gloo group of its own unless one is given."""
    if not (dist.is_available() and dist.is_initialized()):
        return Ranks()
    if group is None and exchanging:
        group = dist.new_group(backend="gloo", timeout=patience())
    return Ranks(dist.get_rank(group), dist.get_world_size(group), group)


@contextlib.contextmanager
def together(shared: bool = True) -> Iterator[Ranks]:
    """All ranks, in a gloo group of this block's own; one alone where not shared or without torch.distributed.

    The tensors that are exchanged are on the CPU, so the ranks' own backend may be any, NCCL too. A rank that
    leaves the block by an error closes its group, so the others do not wait for it.
    """
    if not shared or this_rank().world == 1:
        yield Ranks()
        return
    with answered():
        group = dist.new_group(backend="gloo", timeout=patience(SECONDS_TO_ANSWER))
    try:
        yield this_rank(group)
    finally:
        with contextlib.suppress(RuntimeError, ValueError):
            dist.destroy_process_group(group)


@contextlib.contextmanager
def launched() -> Iterator[Ranks]:
    """The ranks that torchrun started, met here unless they have; one alone without torchrun."""
    if this_rank().world > 1 or not (dist.is_available() and dist.is_torchelastic_launched()):
        yield this_rank()
        return
    with answered():
        dist.init_process_group("gloo", timeout=patience())
    try:
        yield this_rank()
    finally:
        with contextlib.suppress(RuntimeError, ValueError):
            dist.destroy_process_group()


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Turns what torch raises when a peer is gone or silent into RankLostError."""
    try:
        yield
    except RuntimeError as error:
        raise RankLostError(
            "torch.distributed",
            expected="an answer of every rank",
            got=str(error).split("\n", maxsplit=1)[0],
            remedy="start all ranks again with resume; every rank must make the same call (or pass ranks=False); "
            "where one was only slow, set BRENIER_RANK_TIMEOUT to more seconds",
        ) from error
