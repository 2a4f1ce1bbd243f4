"""Which engines exist, which run here, and which one a problem gets."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from torch import Tensor

from brenier.engine.checks import shown
from brenier.errors import EngineError
from brenier.types import Candidates, CircleCandidates

ENGINES = {  # name -> where it lives; imported at first use, so that importing brenier stays free
    "reference": ("brenier.engine.reference", "ReferenceEngine"),
    "cpu": ("brenier.engine.cpu", "CpuEngine"),
    "triton": ("brenier.engine.triton", "TritonEngine"),
    "cuda": ("brenier.engine.cuda", "CudaEngine"),
}
PREFERENCE = {"cpu": ("cpu", "reference"), "cuda": ("cuda", "triton", "reference")}


class Engine(Protocol):
    """What an engine offers; arguments arrive validated (verbs.py), x and y on one of its devices."""

    name: str
    devices: tuple[str, ...]

    def why_unavailable(self) -> str | None:
        """None where the engine runs here, else a sentence that says why not."""

    def prepare(self, y: Tensor) -> Any:
        """Targets in the engine's own layout, to be kept between calls."""

    def assign(self, x: Tensor, y: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """Winners int64 (N,) and their float64 scores (N,)."""

    def candidates(self, x: Tensor, y: Any, h: Tensor, margin: float) -> Candidates:
        """Targets within the margin of the best, per row."""

    def circle_candidates(self, x: Tensor, y: Any, h: Tensor, margin: float) -> CircleCandidates:
        """Targets within the margin at a point of the great circle of each pair of rows."""


@dataclass(frozen=True)
class EngineStatus:
    """One row of brenier.engines()."""

    name: str
    available: bool
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Choice:
    """The engine a problem gets, and why."""

    name: str
    reason: str


def require_known(name: Any) -> None:
    """Raise EngineError unless this is the name of an engine."""
    if not isinstance(name, str) or name not in ENGINES:
        raise EngineError(
            "engine",
            expected="one of " + ", ".join(ENGINES),
            got=shown(name),
            remedy="see brenier.engines() for what runs here",
        )


@cache
def load(name: str) -> Engine:
    """The engine of that name; raises EngineError for an unknown name."""
    require_known(name)
    module, attribute = ENGINES[name]
    engine: Engine = getattr(importlib.import_module(module), attribute)()
    return engine


def why_unavailable(name: str) -> str | None:
    """None where the engine of that name runs here, else the reason, which may be a failing import."""
    require_known(name)
    try:
        return load(name).why_unavailable()
    except ImportError as error:
        return f"its module does not import: {error}"


def runs_here(name: str) -> bool:
    return why_unavailable(name) is None


def available(name: str) -> Engine:
    """The engine of that name if it runs here; raises EngineError with the reason if not."""
    reason = why_unavailable(name)
    if reason is not None:
        raise EngineError(f"engine {name!r}", expected="to be available here", got=reason)
    return load(name)


def choose(device: str, engine: str | None, usable: tuple[str, ...]) -> Choice:
    """The engine for tensors on that device: a pure function of its arguments.

    An explicit name wins, then the BRENIER_ENGINE environment variable (read by the caller), then the first
    usable engine in order of preference: cpu for CPU tensors; cuda, then triton, for CUDA tensors.
    """
    if engine is not None:
        return Choice(engine, "asked for")
    for name in PREFERENCE.get(device, ()):
        if name in usable:
            return Choice(name, f"first available for {device} tensors")
    return Choice("reference", f"nothing faster runs {device} tensors here")


def asked_for(engine: str | None) -> str | None:
    """The engine named, else that of BRENIER_ENGINE; None for neither."""
    return engine if engine is not None else os.environ.get("BRENIER_ENGINE") or None


def engine_for(device: str, engine: str | None) -> Engine:
    """The engine to run on this machine, checked to be available and to take tensors of that device."""
    asked = asked_for(engine)
    usable = () if asked else tuple(name for name in PREFERENCE.get(device, ()) if runs_here(name))
    chosen = available(choose(device, asked, usable).name)
    if device not in chosen.devices:
        raise EngineError(
            f"engine {chosen.name!r}",
            expected="tensors on " + " or ".join(chosen.devices),
            got=f"tensors on {device}",
            remedy="move the tensors with .to(...), or leave engine=None",
        )
    return chosen


def engines() -> list[EngineStatus]:
    """Every engine, whether it runs here, and the reason where it does not."""
    return [engine_status(name) for name in ENGINES]


def engine_status(name: str) -> EngineStatus:
    """One row of engines(); a wrong setting of an engine is a reason here, and an error where it is used."""
    try:
        reason = why_unavailable(name)
    except EngineError as error:
        reason = str(error)
    if reason is not None:
        return EngineStatus(name, False, reason)
    return EngineStatus(name, True, "available", getattr(load(name), "detail", lambda: "")())
