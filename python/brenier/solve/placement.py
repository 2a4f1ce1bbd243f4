"""Where a fit meets its noise: on the processor, or on a GPU beside it.

Either way the same bits. Random numbers, projections and the sums that make a step are the processor's; what grows
like n times the draws, who wins and who is near, is asked of the engine, and every engine answers alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from brenier.engine import PreparedTargets, prepare
from brenier.engine.registry import asked_for, available, runs_here
from brenier.errors import EngineError

PROCESSOR = torch.device("cpu")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Placement:
    """An engine (None: the fastest for the device) and the device it gets."""

    engine: str | None = None
    device: torch.device = PROCESSOR

    @property
    def on_gpu(self) -> bool:
        return self.device.type != "cpu"

    def prepare(self, rows: Tensor) -> PreparedTargets:
        return prepare(rows.to(self.device), engine=self.engine)

    def ahead(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items; each is made by a GPU while the processor works on the one before."""
        if not self.on_gpu:
            yield from items
            return
        made = partial(next_on, callers_stream(self.device), items)
        with ThreadPoolExecutor(1, "brenier-ahead") as maker:
            coming = maker.submit(made)
            while (item := coming.result()) is not None:
                coming = maker.submit(made)
                yield item


def callers_stream(device: torch.device) -> torch.cuda.Stream | None:
    """The caller's stream of that GPU, for work that another thread does: streams and devices belong to a thread."""
    on_gpu = device.type == "cuda" and torch.cuda.is_available()
    return torch.cuda.current_stream(device) if on_gpu else None


def next_on(stream: torch.cuda.Stream | None, items: Iterator[Item]) -> Item | None:
    """The next item, None after the last, made on the stream and on its GPU."""
    with torch.cuda.stream(stream):
        return next(items, None)


def placement(engine: str | None, device: torch.device) -> Placement:
    """The engine asked for where it runs, else a GPU's for that device if it has one, else the processor's.

    BRENIER_ENGINE asks for one too, as it does of every verb; a name given wins.
    Raises EngineError for an engine that cannot run here.
    """
    asked = asked_for(engine)
    if asked is None:
        circles = device.type == "cuda" and runs_here("triton")  # whose kernels both GPU engines share
        return Placement(None, device) if circles else Placement()
    devices = available(asked).devices
    if device.type in devices:
        return Placement(engine, device)
    if "cpu" in devices:
        return Placement(asked)
    if device.type != "cpu":
        raise EngineError(
            f"engine {asked!r}", expected="a device of " + " or ".join(devices), got=str(device)
        )
    return Placement(asked, torch.device(devices[0]))
