"""SIGINT and SIGTERM end a long command in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SHELL = 128  # a process ended by signal k has the exit code 128 + k


@dataclass
class Ending:
    """The signal that came, if any."""

    number: int = 0

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name

    @property
    def exit_code(self) -> int:
        return SHELL + self.number


@contextmanager
def ending_at_signals() -> Iterator[Ending]:
    """SIGINT and SIGTERM raise KeyboardInterrupt inside; further ones are ignored, so that state can be written."""
    ending = Ending()

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if ending.number == 0:
            ending.number = number
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield ending
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
