"""Optimal one-to-one pairing of noise with data.

``brenier.pair`` is this package and, because it can be called, also the function: Python binds a subpackage
to its parent at import and would otherwise hide the function of the same name.
"""

import inspect
import sys
from types import ModuleType
from typing import Any

from brenier.pair.matrix import linear_sum_assignment, solve_assignment
from brenier.pair.pairing import pair
from brenier.pair.pool import PairedBatch, PairedPool
from brenier.pair.result import Pairing, PairingStatus
from brenier.pair.torchcfm import OTPlanSampler

__all__ = [
    "OTPlanSampler",
    "PairedBatch",
    "PairedPool",
    "Pairing",
    "PairingStatus",
    "linear_sum_assignment",
    "pair",
    "solve_assignment",
]


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Pairing:
        return pair(*args, **kwargs)


_module = sys.modules[__name__]
_module.__class__ = _CallableModule
_module.__dict__["__signature__"] = inspect.signature(pair)
