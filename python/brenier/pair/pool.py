"""Pools of data and noise under one optimal assignment, handed out in micro-batches while the next pool is paired."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brenier.data import noise as noises
from brenier.engine import checks
from brenier.engine.ranks import this_rank
from brenier.errors import InputError
from brenier.pair.companions import classes, conditions, identity_of, of_rows
from brenier.pair.condition import SHARE
from brenier.pair.pairing import pair
from brenier.pair.ranks import check_scope, exchange
from brenier.pair.scores import class_groups, score_type, solve_classes
from brenier.pair.streams import LoaderStream, Rows, open_stream
from brenier.types import Array


class PairedBatch(NamedTuple):
    """A micro-batch of pairs: data[i] belongs to noise[i]."""

    data: Tensor  # (b, ...) as the source gave it
    noise: Tensor  # (b, ...) float32, on the CPU
    index: Tensor  # type: ignore[assignment]  # (b,) int64, in the data set; with a loader, the row's number in its stream
    labels: Any = None  # (b,), the classes given to the pool, else the source's second field, else None
    more: tuple[Any, ...] = ()  # the source's fields after the second


class PairedPool:
    """Micro-batches of data with optimally assigned noise (AOT, arXiv 2403.05069), the next pool paired meanwhile.

    Rows are drawn in shuffled order (a loader's rows in its own), `pool` at a time; the pool's noise, unit normal and
    drawn by (seed, row number), is re-ordered to minimise Σ‖y_i − ε_π(i)‖². The order of the data stays, each pair is
    handed out once, and pool number k depends on nothing but (seed, k): not on workers, threads or earlier pools.

    source : tensor or array (n, ...), data set with items by index, or loader (an iterable over batches, read in the
        caller's thread; what it draws from torch's global generator comes from `seed`, and the caller's numbers stay
        as they were); items and batches may be tuples, the data first
    pool, batch : pairs per assignment, and per micro-batch, which divides it
    labels : (n,) classes of the data set, numbers or strings, or True for the source's second field: noise is then
        assigned within each class of the pool. Without, all rows together (see brenier.pair)
    condition : (n, ...) of the data set, or True for the source's second field: as in brenier.pair
    gap : as in brenier.pair
    seed : of noise and order
    epochs : passes over the source, None for no end; the last pool is then as small as it comes
    drop_last : leave out a last micro-batch smaller than `batch`
    workers : threads that read the items of a data set
    background : pair the next pool in a thread while this one is used up
    scope : with torch.distributed initialised: "rank" gives rank r of W the pools r, r + W, ... of the
        single-process run; "global" pairs each of those pools across the ranks, which exchange scores, labels and
        conditions and hold pool/W of its rows each. A loader is taken as the rank's own (with a
        DistributedSampler, say)
    group : of torch.distributed; None is all ranks, with "global" through a gloo group of their own, so that the
        background thread's exchange never meets the training's

    Raises InputError; errors of the source come through.
    """

    def __init__(
        self,
        source: Any,
        pool: int = 2048,
        batch: int = 64,
        *,
        labels: Array | bool | None = None,
        condition: Array | bool | None = None,
        share: float = SHARE,
        gap: float = 0.0,
        seed: int = 0,
        epochs: int | None = None,
        drop_last: bool = True,
        workers: int = 0,
        background: bool = True,
        scope: Literal["rank", "global"] = "rank",
        group: Any = None,
    ) -> None:
        pool, batch = checks.count(pool, "pool"), checks.count(batch, "batch")
        self.ranks = this_rank(group, exchanging=scope == "global")
        self.scope = check_scope(scope, pool, self.ranks)
        self.share_of_pool = pool // self.ranks.world if scope == "global" else pool
        if self.share_of_pool % batch:
            expected = f"a multiple of batch = {batch}" + (" for every rank" if scope == "global" else "")
            raise InputError("pool", expected=expected, got=repr(pool), remedy="pool=32 * batch, for example")
        self.pool, self.batch, self.seed, self.position = pool, batch, noises.require_key(seed, "seed"), 0
        self.labels, self.condition = classes(labels, source), conditions(condition, source)
        self.share, self.gap, self.drop_last = share, checks.number(gap, "gap"), drop_last
        self.stream = open_stream(source, self.seed, epochs, workers, self.ranks.rank)
        self._own_stream = isinstance(self.stream, LoaderStream)
        self.identity = {
            "kind": "pool",
            "seed": self.seed,
            "pool": self.pool,
            "batch": self.batch,
            "scope": self.scope,
            "world": self.ranks.world,
            "source": self.stream.identity,
            "labels": identity_of(self.labels),
            "condition": identity_of(self.condition),
            "share": None if identity_of(self.condition) is None else float(share),
            "gap": self.gap,
        }
        self.seconds = 0.0  # spent on pairing, in the background or not
        self.waited = 0.0  # spent by the caller on waiting for a pool
        self.background = background
        # From the first pool on, so that a process forked before it has a thread of its own.
        self._thread: ThreadPoolExecutor | None = None
        self._made: dict[int, Future[PairedBatch]] = {}

    # ---- handing out

    def __iter__(self) -> PairedPool:
        return self

    def __next__(self) -> PairedBatch:
        """The next micro-batch; StopIteration after the last epoch."""
        found = self.rows(self.position, self.batch)
        short = len(found.index) < self.batch
        if not len(found.index) or (short and self.drop_last):
            raise StopIteration
        self.position += len(found.index)
        return found

    def rows(self, first: int, count: int) -> PairedBatch:
        """Pairs number first to first + count − 1 of this rank, all of one pool."""
        number, lo = divmod(first, self.share_of_pool)
        made = self._pool_number(number)
        return PairedBatch(*(_cut(field, lo, lo + count) for field in made))

    def state_dict(self) -> dict[str, Any]:
        """All there is to resume from: plain numbers and words, what tells the pool from others and its position."""
        return {**self.identity, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken; raises InputError where it belongs to another pool."""
        self.position = position_in(state, self.identity)

    # ---- one pool ahead

    def _pool_number(self, number: int) -> PairedBatch:
        began = time.perf_counter()
        wanted = (number, number + 1) if self.background else (number,)
        for k in self._made.keys() - set(wanted):
            self._made.pop(k).cancel()
        for k in wanted:
            if k not in self._made:
                self._made[k] = self._start(k)
        try:
            return self._made[number].result()
        except BaseException:
            self._made = {}
            raise
        finally:
            self.waited += time.perf_counter() - began

    def _start(self, number: int) -> Future[PairedBatch]:
        made: Future[PairedBatch] = Future()
        if not self.background:
            made.set_result(self._make(number))
            return made
        self._thread = self._thread or _quiet_thread()
        if not self._own_stream:
            return self._thread.submit(self._make, number)
        try:
            return self._thread.submit(self._pair, number, self._rows(number))
        except Exception as error:  # of the loader: for whom it concerns, once the pool before is used up
            made.set_exception(error)
            return made

    def _make(self, number: int) -> PairedBatch:
        return self._pair(number, self._rows(number))

    def _rows(self, number: int) -> Rows:
        """The rows of this rank's part of its pool number `number`."""
        plain = self._own_stream or self.scope == "global"
        return self._read(number if plain else number * self.ranks.world + self.ranks.rank)

    def _pair(self, number: int, rows: Rows) -> PairedBatch:
        """This rank's part of its pool number `number`."""
        rank, world = self.ranks.rank, self.ranks.world
        together = self.scope == "global"
        first = number * self.pool if together else (number * world + rank) * self.pool  # of the pool's noise
        began = time.perf_counter()
        noise = self._paired_noise(rows, first) if len(rows.index) else torch.empty(0)
        self.seconds += time.perf_counter() - began
        fields = rows.fields or (torch.empty(0),)
        given = isinstance(self.labels, Tensor | np.ndarray)
        labels = of_rows(rows, self.labels) if given else [*fields, None][1]
        return PairedBatch(fields[0], noise, rows.index, labels, fields[2:])

    def _read(self, pool_number: int) -> Rows:
        """The rows of a pool that are this rank's."""
        first, total = pool_number * self.pool, self.stream.total
        if self.scope == "global" and not self._own_stream:
            if total is not None and first + self.pool > total:
                return Rows(
                    torch.empty(0, dtype=torch.int64), ()
                )  # what is left of the last epoch has no equal parts
            return self.stream.take(first + self.ranks.rank * self.share_of_pool, self.share_of_pool)
        first = pool_number * self.share_of_pool
        count = self.share_of_pool if total is None else min(self.share_of_pool, max(0, total - first))
        return self.stream.take(first, count)

    # ---- pairing

    def _paired_noise(self, rows: Rows, first: int) -> Tensor:
        data = checks.as_tensor(rows.fields[0], "data")
        flat = data.reshape(len(data), -1).cpu()
        labels, condition = of_rows(rows, self.labels), of_rows(rows, self.condition)
        parts = self.ranks.world if self.scope == "global" else 1
        drawn = noises.normal(self.seed, first, parts * len(flat), flat.shape[1], stream=noises.Stream.POOL)
        if parts == 1:
            found = pair(flat, drawn, labels=labels, condition=condition, share=self.share, gap=self.gap)
            return drawn[found.permutation].reshape(data.shape)
        rows_here = flat.to(score_type(flat, drawn))
        scores, classes = exchange(self.ranks, rows_here, drawn, labels, condition, self.share)
        order = solve_classes(scores, class_groups(classes, len(drawn)), len(drawn), self.gap)[0]
        mine = torch.from_numpy(order)[self.ranks.rank * len(flat) :][: len(flat)]
        return drawn[mine].reshape(data.shape)


def position_in(state: Any, identity: dict[str, Any]) -> int:
    """The position that a state holds; raises InputError for one of another identity, or for none at all."""
    given = {name: state.get(name) for name in identity} if isinstance(state, Mapping) else state
    if given != identity:
        other = [name for name in identity if isinstance(given, dict) and given[name] != identity[name]]
        shown = {name: given[name] for name in other} if other else given
        expected = str({name: identity[name] for name in other or identity})
        raise InputError("state", expected=expected, got=str(shown), remedy="build it as it was")
    return noises.require_key(state.get("position"), "state: position")


def _quiet_thread() -> ThreadPoolExecutor:
    """A thread whose torch operations start no threads: while there are more OpenMP threads than processors, those of
    the training wait asleep instead of awake at every barrier."""

    def keep_to_one() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # only the first look makes the setting this thread's own

    threads = torch.get_num_threads()
    executor = ThreadPoolExecutor(1, "brenier-pool", initializer=keep_to_one)
    executor.submit(int).result()
    torch.set_num_threads(threads)  # else threads begun later would be kept to one too
    return executor


def _cut(field: Any, lo: int, hi: int) -> Any:
    if isinstance(field, tuple):
        return tuple(_cut(one, lo, hi) for one in field)
    return None if field is None else field[lo:hi]
