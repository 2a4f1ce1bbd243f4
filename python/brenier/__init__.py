"""Semi-discrete optimal transport between Gaussian noise and data latents, accelerated.

Nothing heavy happens at import: names are loaded at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {  # public name -> module that defines it
    "Candidates": "brenier.types",
    "Coupling": "brenier.transport",
    "FitResult": "brenier.solve",
    "PairedPool": "brenier.pair",
    "Pairing": "brenier.pair",
    "Potential": "brenier.solve",
    "assign": "brenier.engine",
    "candidates": "brenier.engine",
    "engines": "brenier.engine",
    "fit": "brenier.solve",
    "fit_hierarchical": "brenier.solve",
    "pair": "brenier.pair",
    "prepare": "brenier.engine",
    "solve_assignment": "brenier.pair",
}
_SUBMODULES = ("data", "diffusion", "engine", "metrics", "report", "solve", "transport")
__all__ = [
    "Candidates",
    "Coupling",
    "FitResult",
    "PairedPool",
    "Pairing",
    "Potential",
    "__version__",
    "assign",
    "candidates",
    "engines",
    "fit",
    "fit_hierarchical",
    "pair",
    "prepare",
    "solve_assignment",
]

if TYPE_CHECKING:
    from brenier.engine import assign, candidates, engines, prepare
    from brenier.pair import PairedPool, Pairing, pair, solve_assignment
    from brenier.solve import FitResult, Potential, fit, fit_hierarchical
    from brenier.transport import Coupling
    from brenier.types import Candidates


def __getattr__(name: str) -> Any:
    if name in _HOME:
        found = getattr(importlib.import_module(_HOME[name]), name)
        if name != "pair":  # brenier.pair stays the subpackage, which can be called
            globals()[name] = found  # so that this is asked once
        return found
    if name in _SUBMODULES:
        return importlib.import_module(f"brenier.{name}")
    raise AttributeError(f"module 'brenier' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBMODULES])
