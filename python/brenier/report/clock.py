"""Times of repeated calls: CUDA events on a GPU, the performance counter elsewhere; medians, after a warm-up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Timing:
    """Milliseconds of repeated calls."""

    ms: float  # the median
    least: float
    most: float
    repeats: int
    first_s: float  # the first call, with whatever is compiled in it


@dataclass(frozen=True)
class Clock:
    """How long to repeat: at least three calls, then until either limit is met."""

    device: str
    repeats: int = 15
    seconds: float = 3.0

    def time(self, call: Callable[[], Any]) -> Timing:
        began = time.perf_counter()
        call()
        self.finish()
        first = time.perf_counter() - began
        for _ in range(2):
            call()
        self.finish()
        times: list[float] = []
        began = time.perf_counter()
        while len(times) < 3 or (len(times) < self.repeats and time.perf_counter() - began < self.seconds):
            times.append(self.once(call))
        return Timing(statistics.median(times), min(times), max(times), len(times), first)

    def finish(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def once(self, call: Callable[[], Any]) -> float:
        """Milliseconds of one call."""
        if self.device != "cuda":
            began = time.perf_counter()
            call()
            return 1e3 * (time.perf_counter() - began)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    def replayed(self, call: Callable[[], Any]) -> Timing | None:
        """The same as replays of a captured graph, without launches; None where there is no GPU.

        Raises RuntimeError where the call cannot be captured.
        """
        if self.device != "cuda":
            return None
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return self.time(graph.replay)
