"""The one thread pool of the process; it drives native functions, which release the interpreter lock."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from brenier.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_worker = threading.local()


def thread_count() -> int:
    """BRENIER_NUM_THREADS where it is set, else the processors this process may run on.

    Raises InputError for anything but a whole number above 0.
    """
    asked = os.environ.get("BRENIER_NUM_THREADS")
    if not asked:
        return available_processors()
    if not asked.isdecimal() or int(asked) < 1:
        raise InputError("BRENIER_NUM_THREADS", expected="a whole number ≥ 1", got=repr(asked))
    return int(asked)


def available_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(
    function: Callable[[Item], Result], items: Iterable[Item], cancel: Callable[[], object] = lambda: None
) -> list[Result]:
    """function(item) for every item, by the pool and the caller together, results in the order of the items.

    The caller takes its share because waking a thread takes longer than many a native call. The first exception
    is raised, wherever its item stands. At an exception, Ctrl-C included, items not yet begun are dropped,
    ``cancel`` is called (it tells long calls to end), and those under way are awaited. Runs inline with one
    thread, with one item, and when called from inside another run.
    """
    work = list(items)
    threads = min(thread_count(), len(work))
    if threads < 2 or getattr(_worker, "active", False):
        return [function(item) for item in work]
    return _Shares(function, work, cancel).run(_pool_of(thread_count()), threads - 1)


class _Shares(Generic[Item, Result]):
    """Items that several threads take one by one."""

    def __init__(
        self, function: Callable[[Item], Result], work: list[Item], cancel: Callable[[], object]
    ) -> None:
        self.function = function
        self.work = work
        self.cancel = cancel
        self.results: dict[int, Result] = {}
        self.waiting = deque(range(len(work)))  # popleft is atomic

    def run(self, pool: ThreadPoolExecutor, helpers: int) -> list[Result]:
        futures = [pool.submit(self.take) for _ in range(helpers)]
        try:
            self.take()
            for future in futures:
                future.result()  # raises what its thread raised
            return [self.results[i] for i in range(len(self.work))]
        finally:
            self.waiting.clear()
            for future in futures:
                future.cancel()
            self.cancel()
            _settle(futures)

    def take(self) -> None:
        """Does items until none waits; an exception leaves none to the others."""
        _worker.active = True  # a run inside a run stays on its thread
        try:
            while (i := self._next()) is not None:
                self.results[i] = self.function(self.work[i])
        except BaseException:
            self.waiting.clear()
            self.cancel()
            raise
        finally:
            _worker.active = False

    def _next(self) -> int | None:
        try:
            return self.waiting.popleft()
        except IndexError:
            return None


def _settle(futures: list[Future[None]]) -> None:
    """Wait for the calls under way: they read memory that belongs to the frames being left.

    Each lasts under 0.1 s, so a second Ctrl-C may wait for them too.
    """
    while True:
        try:
            wait(futures)
            return
        except KeyboardInterrupt:
            continue


def _pool_of(threads: int) -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None or _pool._max_workers != threads:
            _keep_freed_memory()
            _pool = ThreadPoolExecutor(threads, "brenier")
        return _pool


def _keep_freed_memory() -> None:
    """Threads that allocate call after call keep what they free; a source tree without _core has no use for it."""
    try:
        from brenier._core import keep_freed_memory
    except ImportError:
        return
    keep_freed_memory()


def _forget_pool() -> None:
    """The threads of the parent do not exist in a forked child, and its lock may be held for ever."""
    global _lock, _pool, _worker
    _lock, _pool, _worker = threading.Lock(), None, threading.local()


os.register_at_fork(after_in_child=_forget_pool)
