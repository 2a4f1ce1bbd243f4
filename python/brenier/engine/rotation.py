"""The rotation of spiky targets, and of the noise with them, before an integer filter quantises both.

A row with one large coordinate has a large scale, and all its small coordinates a large error. A randomised Hadamard
transform (Ailon and Chazelle 2006) changes no inner product and makes all coordinates about equal. It is drawn from a
fixed key: no answer depends on it, and its rounding is part of the bound (docs/numerics.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from brenier.engine.native import Body, Int8Body, address, aligned, core, view_rows

KEY, STREAM = 0x524F544154494F4E, 0x19
UNIT = 2.0**-24
PANELS = 32  # of targets in the sample


@dataclass(frozen=True)
class Rotation:
    """Signs times powers of two, (2, block) for the noise and for the targets; their products make one."""

    block: int
    noise: np.ndarray
    targets: np.ndarray
    slack: float  # error of a rotated row, relative to its norm

    def apply(self, rows: Tensor, centre: np.ndarray | None, signs: np.ndarray, body: Int8Body) -> Tensor:
        """Rows (N, d) minus the centre, rotated, in float32."""
        count, depth = rows.shape
        out = aligned(count * depth, np.float32)
        where = 0 if centre is None else address(centre)
        core().rotate8(
            body.index, view_rows(rows, depth), count, where, address(signs), self.block, address(out)
        )
        return torch.from_numpy(out).view(count, depth)


@lru_cache(maxsize=8)
def rotation(depth: int, generator: Body) -> Rotation:
    """The rotation of that dimension, d ≥ 1."""
    passes = depth.bit_length() - 1
    block = 1 << passes
    bits = np.empty(2 * block, dtype=np.int64)
    core().integers(generator.index, KEY, 0, 2 * block, 2, STREAM, address(bits))
    signs = (2 * bits - 1).astype(np.float32)
    half = passes // 2
    noise, targets = np.ldexp(signs, -half), np.ldexp(signs, half - passes)
    return Rotation(block, noise, targets, (2 * passes + 3) * UNIT * (1 + 2.0**-10))


def spikiness(source: Tensor, centre: np.ndarray, width: int) -> float:
    """Median of the error of int8 over the norm, √(d/12)·s/‖y − m‖ with the scale s of a panel, for some panels."""
    count, depth = source.shape
    panels = -(-count // width)
    ratios = [np.zeros(0)]
    for panel in range(0, panels, max(1, -(-panels // PANELS))):
        rows = source[panel * width : (panel + 1) * width].double().numpy() - centre
        norms = np.sqrt(np.square(rows).sum(axis=1))
        error = np.abs(rows).max() / 127 * (depth / 12) ** 0.5
        ratios.append(error / norms[norms > 0])
    every = np.concatenate(ratios)
    return float(np.median(every)) if len(every) else 0.0
