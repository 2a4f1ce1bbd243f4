"""Which filter the GPU engines use: BRENIER_GPU_FILTER, for measurements and for doubt."""

from __future__ import annotations

import os

from brenier.errors import EngineError

FILTERS = ("half", "plain")


MOST_TARGETS = (1 << 31) - 512  # lists and the copy engine count in 32 bits


def halves_fit(targets: int) -> bool:
    """Whether a problem with that many targets goes through the half-precision filter."""
    return gpu_filter() == "half" and targets <= MOST_TARGETS


def gpu_filter() -> str:
    """ "half" (fp16 on tensor cores, certified) or "plain" (the float32 or float64 kernels alone).

    Raises EngineError for any other word in BRENIER_GPU_FILTER.
    """
    asked = os.environ.get("BRENIER_GPU_FILTER") or "half"
    if asked not in FILTERS:
        raise EngineError(
            "BRENIER_GPU_FILTER",
            expected="one of " + ", ".join(FILTERS),
            got=repr(asked),
            remedy="unset it to let the fastest be chosen",
        )
    return asked
