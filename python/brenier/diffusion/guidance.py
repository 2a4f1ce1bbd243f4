"""Conditional models as plain ones: labels bound to the samples, classifier-free guidance."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from brenier.diffusion.process import Model
from brenier.errors import InputError

ConditionalModel = Callable[[Tensor, Any, Any], Tensor]
"""A network called as model(x, level, condition)."""


def guided(model: ConditionalModel, condition: Any, *, guidance: float = 1.0, null: Any = None) -> Model:
    """A conditional model as one of (x, level): m(null) + guidance·(m(condition) − m(null)).

    Classifier-free guidance (Ho & Salimans 2022) with w = guidance − 1; 1 calls the model once, with the
    condition. It works on denoisers, scores and predictions of noise alike, all being linear in the score.

    condition : labels (N,) or anything else the model takes for these N samples
    null : what it takes for "no condition": None, or a label of its own

    Raises InputError.
    """
    if not math.isfinite(guidance):
        raise InputError("guidance", expected="a finite number", got=repr(guidance))

    def predict(x: Tensor, level: Any) -> Tensor:
        given = model(x, level, condition)
        if guidance == 1.0:
            return given
        free = model(x, level, null)
        return free + guidance * (given - free)

    return predict
