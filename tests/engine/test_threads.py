"""The pool: its size, order of results, exceptions, and calls from inside itself."""

import os
import signal
import threading
import time

import pytest
from brenier.engine import threads
from brenier.errors import InputError


def test_the_environment_sets_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", "3")
    assert threads.thread_count() == 3
    monkeypatch.delenv("BRENIER_NUM_THREADS")
    assert threads.thread_count() == threads.available_processors() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_threads_is_an_input_error(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", wrong)
    with pytest.raises(InputError, match="BRENIER_NUM_THREADS: expected a whole number ≥ 1"):
        threads.thread_count()


def test_results_come_in_the_order_of_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", "3")
    assert threads.run(lambda i: i * i, range(50)) == [i * i for i in range(50)]
    assert threads.run(lambda i: i, []) == []


def test_the_first_exception_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        threads.run(lambda i: 1 // i, [3, 2, 1, 0])


def test_the_first_exception_is_raised_wherever_its_item_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", "2")
    release, begun = threading.Event(), []

    def work(i: int) -> None:
        begun.append(i)
        if i == 1:
            raise ZeroDivisionError
        if i == 0:
            release.wait(timeout=20)
        time.sleep(0.001)

    start = time.perf_counter()
    with pytest.raises(ZeroDivisionError):
        threads.run(work, range(2000), cancel=release.set)
    assert time.perf_counter() - start < 10  # cancel ended the call that was under way
    assert len(begun) < 2000


def test_a_call_from_a_worker_runs_inline_instead_of_waiting_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", "2")

    def inner(_: int) -> set[int]:
        return set(threads.run(lambda _: threading.get_ident(), range(3)))

    assert all(len(idents) == 1 for idents in threads.run(inner, range(8)))


def test_the_pool_follows_a_changed_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    barrier = threading.Barrier(5)
    monkeypatch.setenv("BRENIER_NUM_THREADS", "2")
    threads.run(lambda i: i, range(4))
    monkeypatch.setenv("BRENIER_NUM_THREADS", "5")
    assert len(threads.run(lambda _: barrier.wait(timeout=30), range(5))) == 5


def test_an_interrupt_waits_for_the_calls_under_way() -> None:
    """Native calls read memory by address; it must outlive them when the caller's frame is left."""
    begun, ended = threading.Event(), []

    def slow(item: int) -> int:
        begun.set()
        time.sleep(0.2)
        ended.append(item)
        return item

    timer = threading.Timer(0.05, lambda: (begun.wait(), os.kill(os.getpid(), signal.SIGINT)))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        threads.run(slow, range(8))
    finished = len(ended)
    time.sleep(0.3)
    assert 0 < finished < 8
    assert len(ended) == finished
