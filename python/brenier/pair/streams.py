"""Where a pool's rows come from: a tensor, a data set by index, or a loader that hands out batches.

Each is a function of row numbers in one endless (or counted) stream, so that a pool is a function of its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from brenier.data import noise
from brenier.data.order import Shuffle
from brenier.engine import checks
from brenier.errors import InputError
from brenier.solve.fingerprint import fingerprint

SAMPLED = 64  # rows that go into the identity of a tensor


class Rows(NamedTuple):
    """Some rows of the stream: their index in the data set (loaders: number in the stream), and their fields."""

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    fields: tuple[Any, ...]  # data first; each a tensor or a list of one entry per row

    def part(self, lo: int, hi: int) -> Rows:
        return Rows(self.index[lo:hi], tuple(field[lo:hi] for field in self.fields))


class RowStream(Protocol):
    """Rows by number; `total` rows in all, None for no end; `identity` tells its source from others where known."""

    total: int | None
    identity: str | None

    def take(self, first: int, count: int) -> Rows: ...


class DatasetStream:
    """Shuffled rows of anything with a length and items by index; fields beyond the first are handed on.

    epochs : None never ends
    workers : threads that read items; the result does not depend on their number
    """

    def __init__(self, source: Any, seed: int, epochs: int | None, workers: int) -> None:
        self.source, self.order = source, Shuffle(len(source), seed)
        self.total = None if epochs is None else epochs * len(source)
        self.identity: str | None = f"{len(source)} items" + (
            sample(source) if isinstance(source, Tensor) else ""
        )
        self._readers = ThreadPoolExecutor(workers, "brenier-rows") if workers else None

    def take(self, first: int, count: int) -> Rows:
        index = self.order.take(first, count)
        if isinstance(self.source, Tensor):
            return Rows(index, (self.source[index.to(self.source.device)],))
        numbers = index.tolist()
        read = self._readers.map if self._readers else map
        items = [as_fields(item) for item in read(self.source.__getitem__, numbers)]
        return Rows(index, tuple(stack(column) for column in zip(*items, strict=True)))


class LoaderStream:
    """Rows of an iterable over batches, in its order, begun again whenever it ends.

    What is drawn meanwhile from torch's global generator, such as the order of a DataLoader with shuffle=True, comes
    from `seed`, and the generator is left as it was: so rows are read in the thread that asks for them, whose numbers
    nobody else draws. A row before the last one taken means starting the loader again and skipping: so a resumed
    run sees the same rows, unless the loader has a generator of its own, which goes on.
    """

    def __init__(self, source: Iterable[Any], epochs: int | None, seed: int) -> None:
        self.source, self.epochs, self.seed = source, epochs, seed
        self.total: int | None = None  # known once a counted stream has ended
        self.identity: str | None = None
        self._batches: Iterator[tuple[Any, ...]]
        self._kept: list[tuple[Any, ...]]
        self._number: int
        self._random: Tensor
        self._restart()

    def _restart(self) -> None:
        self._batches, self._kept, self._number = self._endless(), [], 0
        self._random = torch.Generator().manual_seed(self.seed).get_state()

    def _endless(self) -> Iterator[tuple[Any, ...]]:
        epoch = 0
        while self.epochs is None or epoch < self.epochs:
            batch = None
            for batch in self.source:
                yield tuple(as_rows(field) for field in as_fields(batch))
            if batch is None:
                raise InputError("loader", expected="at least one batch", got="none")
            epoch += 1

    def take(self, first: int, count: int) -> Rows:
        theirs = torch.get_rng_state()
        torch.set_rng_state(self._random)
        try:
            return self._take(first, count)
        except BaseException:
            self._restart()  # an iterator that has raised is at its end
            torch.set_rng_state(self._random)
            raise
        finally:
            self._random = torch.get_rng_state()
            torch.set_rng_state(theirs)

    def _take(self, first: int, count: int) -> Rows:
        if first < self._number:
            self._restart()
            torch.set_rng_state(self._random)
        while first > self._number:
            if not self._next(min(first - self._number, 4096)):
                break
        fields = self._next(count)
        return Rows(torch.arange(first, first + (len(fields[0]) if fields else 0)), fields)

    def _next(self, count: int) -> tuple[Any, ...]:
        """Up to `count` rows: fewer only where a counted stream ends."""
        while sum(len(batch[0]) for batch in self._kept) < count:
            batch = next(self._batches, None)
            if batch is None:
                self.total = self._number + sum(len(kept[0]) for kept in self._kept)
                break
            self._kept.append(batch)
        if not self._kept:
            return ()
        whole = [join(column) for column in zip(*self._kept, strict=True)]
        taken = tuple(field[:count] for field in whole)
        rest = tuple(field[count:] for field in whole)
        self._kept = [rest] if len(rest[0]) else []
        self._number += len(taken[0])
        return taken


def sample(source: Tensor) -> str:
    """The digest of some rows, spread evenly, of shape and type: what tells a tensor from others at little cost."""
    rows = source[:: max(1, len(source) // SAMPLED)][:SAMPLED]
    return f" {tuple(source.shape[1:])} {fingerprint(rows)[:32]}"


def as_fields(item: Any) -> tuple[Any, ...]:
    return tuple(item) if isinstance(item, tuple | list) else (item,)


def as_rows(field: Any) -> Any:
    return field if isinstance(field, Tensor | list | tuple) else torch.as_tensor(field)


def stack(column: tuple[Any, ...]) -> Any:
    """One field of many rows: a tensor where the entries are numbers or arrays of one shape."""
    if isinstance(column[0], Tensor):
        return torch.stack(column)
    if isinstance(column[0], str | bytes | dict):
        return list(column)
    return torch.stack([torch.as_tensor(entry) for entry in column])


def join(column: tuple[Any, ...]) -> Any:
    if all(isinstance(part, Tensor) for part in column):
        return torch.cat(column) if len(column) > 1 else column[0]
    return [entry for part in column for entry in part]


def open_stream(source: Any, seed: int, epochs: int | None, workers: int, rank: int) -> RowStream:
    """The stream of a tensor or array, of a data set with items by index, or of an iterable over batches.

    rank : of the loader, which is this rank's own: loaders of several ranks draw different numbers
    """
    if epochs is not None and not (isinstance(epochs, int) and epochs >= 1):
        raise InputError("epochs", expected="an integer ≥ 1, or None for no end", got=repr(epochs))
    if not (isinstance(workers, int) and workers >= 0):
        raise InputError("workers", expected="a number of threads ≥ 0", got=repr(workers))
    if hasattr(source, "__array__") or isinstance(source, Tensor):
        return DatasetStream(checks.as_tensor(source, "source"), seed, epochs, workers)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return DatasetStream(source, seed, epochs, workers)
    if isinstance(source, Iterable) and not isinstance(source, Iterator):
        key = noise.integers(seed, rank, 1, 1 << 62, stream=noise.Stream.POOL)
        return LoaderStream(source, epochs, int(key[0]))
    raise InputError(
        "source",
        expected="a tensor, a data set with items by index, or a loader that can be iterated again",
        got=type(source).__name__,
        remedy="pass the data set or the DataLoader itself",
    )
