"""What a fit will hold, predicted before it starts."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from brenier.engine.filtered import SCRATCH_BYTES
from brenier.engine.halves import padded_width
from brenier.engine.machine import memory_bytes
from brenier.engine.project import BLOCK
from brenier.errors import InputError
from brenier.solve.batch import ENTRIES, GPU_SHARE
from brenier.solve.directions import STRUCTURED_FROM
from brenier.solve.placement import Placement
from brenier.solve.principal import COUNTS, SAMPLE, SAMPLE_VALUES
from brenier.solve.sampling import LEAST_SAVING, SUBSPACE_SIZES
from brenier.solve.streamed import MOST_DENSE, TILE_VALUES
from brenier.solve.subspace_check import FEWEST, MOST

HEIGHT_VECTORS = 24  # float64 vectors of length n alive at once: state, window, counts, start
ENTRY_BYTES = 112  # a candidate, the arrays of a Newton step over it, and their temporaries
CHUNK_BYTES = 96 << 20  # noise of a chunk, thread scratch, checks


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes beyond the targets given."""

    centred: int
    packed: int
    vectors: int
    lists: int
    copied: int = 0  # of the targets as given

    @property
    def total(self) -> int:
        return self.copied + self.centred + self.packed + self.vectors + self.lists + CHUNK_BYTES

    def __str__(self) -> str:
        parts = f"centred {mib(self.centred)}, packed {mib(self.packed)}, lists {mib(self.lists)}"
        copied = f", copied {mib(self.copied)}" if self.copied else ""
        return f"{mib(self.total)} beyond the targets ({parts}{copied})"


def mib(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"


def memory_plan(targets: int, dimension: int, copied: int = 0) -> MemoryPlan:
    """Centred float32 targets, packed ones or their coordinates, vectors of length n, candidate lists of a chunk."""
    matrix = 4 * targets * dimension
    packed = max(matrix + 4 * targets * max(SUBSPACE_SIZES), subspace_bytes(targets, dimension))
    return MemoryPlan(matrix, packed, 8 * HEIGHT_VECTORS * targets, ENTRY_BYTES * ENTRIES, copied)


def copied_bytes(targets: Tensor, with_mass: int, given: object = None) -> int:
    """Targets fetched from another device or read into memory, and those with mass where some have none.

    given : what they were made of; an array that torch cannot hold, such as one that may not be written, was copied
    """
    fetched = len(targets) if targets.device.type != "cpu" or is_copy(targets, given) else 0
    chosen = with_mass if with_mass < len(targets) else 0
    return (fetched + chosen) * targets.shape[1] * targets.element_size()


def is_copy(targets: Tensor, given: object) -> bool:
    """Whether targets of the processor's are other memory than that of the array that they were made of."""
    return isinstance(given, np.ndarray) and not np.may_share_memory(targets.numpy(), given)


def subspace_bytes(targets: int, dimension: int) -> int:
    """What a fit in subspaces may hold in place of packed targets, its check's counts with it.

    A pass of the steps and one of a check, the r coordinates apart, and both beside a subspace, packed too. Subspaces
    are taken where m + r ≤ d/LEAST_SAVING only, and a check has no more directions than MOST of the smallest.
    """
    if dimension <= LEAST_SAVING * min(SUBSPACE_SIZES):
        return 0
    width = min(int(dimension / LEAST_SAVING), max(SUBSPACE_SIZES) + max(COUNTS))
    apart, checked = min(max(COUNTS), width), MOST * min(SUBSPACE_SIZES) // FEWEST
    columns = 2 * max(SUBSPACE_SIZES) + apart + 2 * width + 2 * (checked + apart)
    return (4 * columns + 8 * MOST) * targets


def require_memory(targets: Tensor, copied: int, max_memory: int | None) -> MemoryPlan:
    """The plan for targets of which so many bytes are copied; raises InputError if it does not fit."""
    require_bytes(max_memory)
    n, d = targets.shape
    plan = memory_plan(n, d, copied)
    require_room(plan.total, max_memory, f": {plan}")
    return plan


def require_room(need: int, max_memory: int | None, what_for: str) -> None:
    """Raises InputError if that many bytes are more than max_memory."""
    if max_memory is not None and need > max_memory:
        raise InputError(
            "max_memory",
            expected=f"at least {need:,} bytes{what_for}",
            got=f"{max_memory:,}",
            remedy="raise it, or fit fewer targets",
        )


def require_bytes(max_memory: object) -> None:
    if max_memory is not None and not (isinstance(max_memory, int) and max_memory > 0):
        raise InputError("max_memory", expected="a positive number of bytes", got=repr(max_memory))


RESIDENT_SHARE = 0.5  # of the machine's memory: a source whose fit needs more is streamed
COLUMN_STEP, MOST_COLUMNS = 32, 8192  # directions that one pass serves: those of a whole fit, most often
TILES = 6  # of float32 at once: two, what a source makes them of, and their checks


@dataclass(frozen=True)
class StreamPlan:
    """Bytes of a streamed fit in all; the files' page cache is the system's, given back on demand."""

    columns: int  # directions that one pass over the data serves
    tiles: int
    vectors: int
    coordinates: int
    directions: int

    @property
    def total(self) -> int:
        lists = ENTRY_BYTES * ENTRIES
        return self.tiles + self.vectors + self.coordinates + self.directions + lists + CHUNK_BYTES

    def __str__(self) -> str:
        return (
            f"{mib(self.total)}, targets streamed, {self.columns} directions a pass (tiles {mib(self.tiles)}, "
            f"heights and counts {mib(self.vectors)}, coordinates {mib(self.coordinates)}, "
            f"directions {mib(self.directions)}); files are read through the page cache, which is not counted"
        )


def stream_plan(targets: int, dimension: int, columns: int) -> StreamPlan:
    """What so many directions a pass cost: coordinates like n, directions like d, tiles like neither."""
    subspace, apart = min(max(SUBSPACE_SIZES), columns), min(max(COUNTS), columns)
    tiles = 4 * TILES * max(TILE_VALUES, dimension)
    vectors = (8 * HEIGHT_VECTORS + 8 * MOST) * targets
    checked = min(columns, MOST_DENSE)
    dense = columns if dimension < STRUCTURED_FROM else checked
    coordinates = 4 * targets * (columns + checked + 4 * (subspace + apart))
    drawing = dimension * (
        4 * (dense + 2 * BLOCK) + 8 * apart
    )  # packed, a block as rows, the axes and theirs
    sample = 8 * min(SAMPLE * dimension, max(SAMPLE_VALUES, 64 * dimension)) + 32 * apart * dimension
    return StreamPlan(columns, tiles, vectors, coordinates, max(drawing, sample))


def require_stream_memory(shape: tuple[int, int], max_memory: int | None) -> StreamPlan:
    """The plan of most directions a pass that fits; raises InputError if even the fewest do not."""
    limit = memory_limit(max_memory)
    plans = [stream_plan(*shape, columns) for columns in range(COLUMN_STEP, MOST_COLUMNS + 1, COLUMN_STEP)]
    fitting = [plan for plan in plans if plan.total <= limit]
    if not fitting:
        raise InputError(
            "max_memory",
            expected=f"at least {plans[0].total:,} bytes: {plans[0]}",
            got=f"{limit:,}",
            remedy="raise it, or fit fewer targets",
        )
    return fitting[-1]


def memory_limit(max_memory: int | None) -> int:
    """max_memory of this process, or RESIDENT_SHARE of the machine's memory, shared by the ranks on it (torchrun).

    In a container, whose limit may be less than the machine's memory, of that.
    """
    require_bytes(max_memory)
    ranks = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return int(RESIDENT_SHARE * memory_bytes()) // ranks if max_memory is None else max_memory


PACKING_BYTES = 1 << 30  # a GPU's copies of a block in the making, float64 among them
GPU_ENTRY_BYTES = 128  # a listed target, its products and scores


def gpu_bytes(targets: int, width: int) -> int:
    """What a fit holds on a GPU: coordinates in float32 and as its filter reads them, and the lists of a chunk."""
    coordinates = targets * (4 * width + 2 * padded_width(width))
    lists = SCRATCH_BYTES + GPU_ENTRY_BYTES * GPU_SHARE * ENTRIES
    return coordinates + 64 * targets + PACKING_BYTES + lists


def require_gpu_memory(place: Placement, targets: int, width: int) -> None:
    """Raises InputError if a fit's GPU has less than the fit will hold there."""
    if place.device.type != "cuda":
        return
    need, free = gpu_bytes(targets, width), free_on(place.device)
    if need > free:
        raise InputError(
            "device",
            expected=f"at least {mib(need)} free on {place.device} for {targets:,} targets in {width} coordinates",
            got=mib(free),
            remedy="free some, or fit on the processor: device=None with targets in its memory",
        )


def free_on(device: torch.device) -> int:
    """Bytes of the GPU that nobody holds, those that torch keeps for its next tensors among them."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


TARGET_BYTES = 64  # label, place, height and mass of a target of a class, and their temporaries


def must_stream(
    shape: tuple[int, int], max_memory: int | None, labelled: bool = False, item: int = 4
) -> bool:
    """Whether the targets, their copies by class where they have labels, and their fit need more than the limit.

    item : bytes of a number of the targets, float32 where they are read from a source
    """
    n, d = shape
    copies = (item * d + TARGET_BYTES) * n if labelled else 0
    return item * n * d + copies + memory_plan(n, d).total > memory_limit(max_memory)


def say_plan(plan: object, progress: bool) -> None:
    if progress:
        tqdm.write(f"memory: at most {plan}", file=sys.stderr)
