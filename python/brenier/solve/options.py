"""What the caller of a fit decides, checked before any work."""

from __future__ import annotations

import math
import os
from numbers import Integral, Real
from pathlib import Path

import torch

from brenier.data.atomic import require_writable
from brenier.engine.registry import available, engine_for
from brenier.errors import EngineError, InputError

SMALLEST_TOL = 1e-9


def checkpoint_file(checkpoint: str | os.PathLike[str] | None, resume: bool) -> Path | None:
    """The checkpoint's path, found writable before any work."""
    if checkpoint is None and resume:
        raise InputError(
            "resume", expected="a checkpoint to resume from", got="None", remedy="pass checkpoint="
        )
    if checkpoint is not None and not isinstance(checkpoint, str | os.PathLike):
        raise InputError("checkpoint", expected="a path", got=repr(checkpoint))
    return None if checkpoint is None else require_writable(checkpoint)


def require_options(noise: str, tol: float, max_samples: int | None, seed: int) -> None:
    if noise != "normal":
        raise InputError("noise", expected="'normal'", got=repr(noise))
    if not is_number(tol, Real) or not SMALLEST_TOL <= tol < math.inf:
        raise InputError(
            "tol", expected=f"a finite number ≥ {SMALLEST_TOL:g}", got=repr(tol), remedy="0.05 suits training"
        )
    if max_samples is not None and (not is_number(max_samples, Integral) or max_samples <= 0):
        raise InputError("max_samples", expected="a positive integer or None", got=repr(max_samples))
    if not is_number(seed, Integral) or not 0 <= seed < 1 << 64:
        raise InputError("seed", expected="an integer from 0 to 2**64 - 1", got=repr(seed))


def is_number(value: object, kind: type) -> bool:
    """Whether a value is a Python or numpy number of that kind, and no bool."""
    return isinstance(value, kind) and not isinstance(value, bool)


def require_cpu_engine(engine: str | None) -> None:
    """A hierarchical fit runs on the processor; an engine that cannot is refused with that reason."""
    chosen = engine_for("cpu", None) if engine is None else available(engine)
    if "cpu" not in chosen.devices:
        raise EngineError(
            f"engine {chosen.name!r}",
            expected="an engine that takes CPU tensors, for fit_hierarchical runs on the processor",
            got="one for " + " and ".join(chosen.devices),
            remedy="leave engine=None",
        )


def moved(matrix: torch.Tensor, device: str | torch.device | None) -> torch.Tensor:
    """The targets on the device asked for; raises InputError for one that is not there."""
    try:
        return matrix if device is None else matrix.to(torch.device(device))
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise InputError("device", expected="a torch device of this machine", got=str(error)) from error
