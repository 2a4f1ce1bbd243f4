"""Ctrl-C at a chosen moment of a fit."""

from brenier.solve.result import Record


class Stop:
    """A callback that interrupts a fit once it has drawn so many samples."""

    def __init__(self, samples: int = 1) -> None:
        self.samples = samples

    def __call__(self, record: Record) -> None:
        if record.samples >= self.samples:
            raise KeyboardInterrupt
