"""What a fit of two levels will hold, predicted before it starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from brenier.engine.threads import thread_count
from brenier.solve.batch import ENTRIES
from brenier.solve.centring import BLOCK_VALUES
from brenier.solve.conditional import NOISE_VALUES
from brenier.solve.memory import (
    CHUNK_BYTES,
    ENTRY_BYTES,
    HEIGHT_VECTORS,
    copied_bytes,
    memory_plan,
    mib,
    require_bytes,
    require_room,
)
from brenier.solve.parts import AXES, BATCHES_SEEN, TRAINING, k_means_batch, rows_looked_at

PANEL = 47  # rows at most that fill up the last panel of a part
PANEL_BYTES = 6  # of a value: float32 panels, and the integer ones of a filter that was tried before
NOISE_COPIES = 4  # of a chunk: as drawn, by parts, and packed for either level
SAMPLE_BYTES = 28  # of a value: float32, float64, less its mean in both, and spaced rows of it
DIRECTION_BYTES = 128 * 8 * 4  # of a dimension: 128 axes, four times in float64
CENTROIDS = 4  # float64 copies of them: each part's, stacked, the coarse potential's, centred and packed


@dataclass(frozen=True)
class LevelPlan:
    """Bytes beyond the targets given, in the three stages of a fit of two levels."""

    divided: int  # while the targets are divided into parts
    upper: int  # while the masses of the parts are fitted
    lower: int  # while the targets' are
    vectors: int
    copied: int  # targets from another device, or from an array that torch cannot hold

    @property
    def total(self) -> int:
        return self.copied + max(self.divided, self.upper, self.lower) + self.vectors + CHUNK_BYTES

    def __str__(self) -> str:
        stages = f"dividing {mib(self.divided)}, upper level {mib(self.upper)}, lower level {mib(self.lower)}"
        copied = f"copied {mib(self.copied)}, and " if self.copied else ""
        return f"{mib(self.total)} beyond the targets ({copied}the most of: {stages})"


def level_plan(targets: Tensor, parts: int, largest: int, found: bool, given: object = None) -> LevelPlan:
    """For that many parts with so many targets in the largest; found: by k-means; given: as in copied_bytes.

    Centred targets are held once, in float32. A part is copied and centred on its way there.
    """
    n, d = targets.shape
    item, centred = targets.element_size(), 4 * n * d
    blocks = 2 * 8 * BLOCK_VALUES * thread_count()
    centroids = 8 * CENTROIDS * parts * d
    divided = max(centred + (item + 8) * largest * d, k_means_bytes(targets, parts) if found else 0) + blocks
    panels = PANEL_BYTES * (n + PANEL * parts) * d
    lower = panels + 4 * NOISE_COPIES * NOISE_VALUES + ENTRY_BYTES * ENTRIES
    upper = centred + centroids + memory_plan(parts, d).total
    copied = copied_bytes(targets, n, given)  # k_means_bytes counts the copy of those with mass
    return LevelPlan(divided, upper, centred + centroids + lower, 8 * HEIGHT_VECTORS * n, copied)


def k_means_bytes(targets: Tensor, parts: int) -> int:
    """Targets with mass, where some have none; a sample and directions; coordinates, and what k-means sees of them."""
    n, d = targets.shape
    item, seen = targets.element_size(), min(n, TRAINING * parts)
    directions = rows_looked_at(targets) * (item + SAMPLE_BYTES) + DIRECTION_BYTES
    coordinates = 2 * n + seen + BATCHES_SEEN * min(seen, k_means_batch(parts))
    return d * (item * n + directions) + 4 * AXES * coordinates


def require_level_memory(
    targets: Tensor, sizes: Sequence[int], max_memory: int | None, *, found: bool, given: object = None
) -> LevelPlan:
    """The plan for parts of those sizes; raises InputError if it does not fit."""
    require_bytes(max_memory)
    plan = level_plan(targets, len(sizes), max(sizes, default=0), found, given)
    parts = f" for {len(sizes)} parts of at most {max(sizes)} targets: {plan}"
    require_room(plan.total, max_memory, parts)
    return plan


def equal_sizes(targets: int, parts: int) -> list[int]:
    """The sizes of parts as even as can be, the largest first: no division has a smaller largest one."""
    return [math.ceil((targets - k) / parts) for k in range(parts)]
