"""Work that an interrupt must not tear: what ends a long fit is still to be written whole."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


@contextlib.contextmanager
def held() -> Iterator[None]:
    """SIGINT and SIGTERM, where they have a handler, wait for the end of the block and can then end nothing more.

    For the last stretch of work that they would end anyway. The handler is told afterwards, so that it can note
    the signal; a KeyboardInterrupt that it raises is dropped, for the result is there. Handlers are the main
    thread's: in others nothing is held.
    """
    came: list[tuple[int, FrameType | None]] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append((number, frame))

    handlers = present_handlers()
    for number in handlers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number, frame in came:
            with contextlib.suppress(KeyboardInterrupt):
                handlers[number](number, frame)


@contextlib.contextmanager
def plain_interrupts() -> Iterator[None]:
    """Makes of an interrupt that met Python's own locks a KeyboardInterrupt again.

    One that comes while ``threading.Condition.wait`` (every wait for a future) takes its lock back leaves it as the
    RuntimeError of a lock that is not held, with the interrupt as its context.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        raise KeyboardInterrupt from error


def present_handlers() -> dict[int, Handler]:
    """What is called at SIGINT and SIGTERM, where something is; nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    return {number: handler for number, handler in found.items() if callable(handler)}
