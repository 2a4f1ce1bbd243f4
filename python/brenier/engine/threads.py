"""The one thread pool of the process; it drives native functions, which release the interpreter lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

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
    """function(item) for every item on the pool, results in the order of the items.

    The first exception is raised, wherever its item stands. At an exception, Ctrl-C included, calls not yet
    begun are dropped, ``cancel`` is called (it tells long calls to end), and those under way are awaited. Runs
    inline with one thread, with one item, and when called from the pool itself.
    """
    work = list(items)
    threads = thread_count()
    if threads == 1 or len(work) < 2 or getattr(_worker, "active", False):
        return [function(item) for item in work]
    pool = _pool_of(threads)
    futures = [pool.submit(function, item) for item in work]
    try:
        ended = wait(futures, return_when=FIRST_EXCEPTION).done
        for failed in (future for future in ended if future.exception() is not None):
            failed.result()  # raises
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
        cancel()
        _settle(futures)


def _settle(futures: list[Future[Result]]) -> None:
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
            _pool = ThreadPoolExecutor(threads, "brenier", initializer=_mark_worker)
        return _pool


def _mark_worker() -> None:
    _worker.active = True


def _forget_pool() -> None:
    """The threads of the parent do not exist in a forked child, and its lock may be held for ever."""
    global _lock, _pool, _worker
    _lock, _pool, _worker = threading.Lock(), None, threading.local()


os.register_at_fork(after_in_child=_forget_pool)
