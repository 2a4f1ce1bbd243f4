"""What a fit will hold, predicted before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from brenier.errors import InputError
from brenier.solve.batch import ENTRIES
from brenier.solve.sampling import SUBSPACE_SIZES

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

    @property
    def total(self) -> int:
        return self.centred + self.packed + self.vectors + self.lists + CHUNK_BYTES

    def __str__(self) -> str:
        parts = f"centred {mib(self.centred)}, packed {mib(self.packed)}, lists {mib(self.lists)}"
        return f"{mib(self.total)} beyond the targets ({parts})"


def mib(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"


def memory_plan(targets: int, dimension: int) -> MemoryPlan:
    """Centred and packed float32 targets, vectors of length n, candidate lists of a chunk."""
    matrix = 4 * targets * dimension
    packed = matrix + 4 * targets * max(SUBSPACE_SIZES)
    return MemoryPlan(matrix, packed, 8 * HEIGHT_VECTORS * targets, ENTRY_BYTES * ENTRIES)


def require_memory(targets: Tensor, max_memory: int | None) -> MemoryPlan:
    """The plan; raises InputError if it does not fit."""
    plan = memory_plan(*targets.shape)
    if max_memory is not None and not (isinstance(max_memory, int) and max_memory > 0):
        raise InputError("max_memory", expected="a positive number of bytes", got=repr(max_memory))
    if max_memory is not None and plan.total > max_memory:
        raise InputError(
            "max_memory",
            expected=f"at least {plan.total:,} bytes: {plan}",
            got=f"{max_memory:,}",
            remedy="raise it, or fit fewer targets",
        )
    return plan
