"""Interrupts that are held come after the work, and end nothing."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest
from brenier.data.interrupts import held, plain_interrupts


@pytest.fixture
def told() -> Iterator[list[int]]:
    """The signals that a handler was told of; it raises, as Python's own does for Ctrl-C."""
    came: list[int] = []

    def handler(number: int, frame: object) -> None:  # noqa: ARG001
        came.append(number)
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handler) for number in numbers]
    yield came
    for number, old in zip(numbers, before, strict=True):
        signal.signal(number, old)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_block_also_of_the_outer_one(
    told: list[int], number: signal.Signals
) -> None:
    steps = []
    with held():
        with held():
            os.kill(os.getpid(), number)
            steps.append("inner")
        assert told == []
        steps.append("outer")
    assert (told, steps) == ([number], ["inner", "outer"])
    with pytest.raises(KeyboardInterrupt):  # the handler is back
        os.kill(os.getpid(), number)


def test_an_error_in_the_block_is_raised_and_the_handler_is_back(told: list[int]) -> None:
    def fails() -> None:
        with held():
            os.kill(os.getpid(), signal.SIGTERM)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert told == [signal.SIGTERM]


def test_a_signal_without_a_handler_is_left_alone() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with held():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_hold_nothing() -> None:
    seen: list[object] = []
    handler = signal.getsignal(signal.SIGINT)

    def work() -> None:
        with held():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handler]


def interrupted_wait() -> None:
    """As where Condition.wait is interrupted before it has its lock back."""
    with (lock := threading.RLock()):
        lock.release()
        raise KeyboardInterrupt


def test_an_interrupt_that_met_a_lock_of_pythons_own_is_an_interrupt_again() -> None:
    with pytest.raises(RuntimeError, match="un-acquired"):
        interrupted_wait()
    with pytest.raises(KeyboardInterrupt), plain_interrupts():
        interrupted_wait()


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="un-acquired"), plain_interrupts():
        threading.RLock().release()
