"""Which filter the GPU engines use: BRENIER_GPU_FILTER, for measurements and for doubt."""

from __future__ import annotations

import os

from brenier.errors import EngineError

FILTERS = ("half", "int8", "plain")

MOST_TARGETS = (1 << 31) - 512  # lists and the copy engine count in 32 bits


def lists_fit(targets: int) -> bool:
    """Whether a problem with that many targets goes through a filter of low precision."""
    return gpu_filter() != "plain" and targets <= MOST_TARGETS


def gpu_filter() -> str:
    """ "half" (fp16 on tensor cores, certified), "int8" (the same, with a dithered bound, for winners by Triton; "half"
    for all else) or "plain" (the float32 or float64 kernels alone).

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
