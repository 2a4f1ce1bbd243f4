"""What fits of one potential per class will hold, predicted before the first one starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from brenier.errors import InputError
from brenier.solve.memory import (
    TARGET_BYTES,
    copied_bytes,
    memory_limit,
    memory_plan,
    mib,
    require_bytes,
    require_room,
)

CENTRE_BYTES = 20  # of a class and dimension: its centre in float64 and float32, and one in the making


@dataclass(frozen=True)
class ClassesPlan:
    """Bytes beyond the targets given, where those are in memory."""

    copies: int  # of the targets, class by class: each potential keeps its own
    potentials: int  # what else they keep
    largest: int  # the fit that takes most

    @property
    def kept(self) -> int:
        """What is no single fit's."""
        return self.copies + self.potentials

    @property
    def total(self) -> int:
        return self.kept + self.largest

    def __str__(self) -> str:
        return (
            f"{mib(self.total)} beyond the targets, for all classes together (their targets copied "
            f"{mib(self.copies)}, their potentials {mib(self.potentials)}, the largest fit {mib(self.largest)})"
        )


def require_class_memory(
    targets: Tensor,
    members: dict[int, Tensor],
    masses: np.ndarray | None,
    max_memory: int | None,
    read: int = 0,
) -> ClassesPlan:
    """The plan for classes of targets in memory, a copy of so many bytes; raises InputError if it does not fit."""
    require_bytes(max_memory)
    n, d = targets.shape
    fits = (memory_plan(len(rows), d, copied_in_fit(targets, rows, masses)) for rows in members.values())
    largest = max(plan.total for plan in fits)
    copies = read + n * d * targets.element_size()
    plan = ClassesPlan(copies, potential_bytes((n, d), len(members)), largest)
    require_room(plan.total, max_memory, f": {plan}")
    return plan


def copied_in_fit(targets: Tensor, rows: Tensor, masses: np.ndarray | None) -> int:
    """What the fit of one class copies beyond the copy that it is given."""
    with_mass = len(rows) if masses is None else np.count_nonzero(masses[rows.numpy()])
    return copied_bytes(targets[: len(rows)], int(with_mass))


def potential_bytes(shape: tuple[int, int], classes: int) -> int:
    """What the potentials of all classes keep but for their targets."""
    n, d = shape
    return TARGET_BYTES * n + CENTRE_BYTES * d * classes


def memory_of_class(shape: tuple[int, int], classes: int, max_memory: int | None) -> int:
    """What is left to the fit of one class of a source, beside the potentials of all; raises InputError for nothing."""
    limit, kept = memory_limit(max_memory), potential_bytes(shape, classes)
    if limit <= kept:
        raise InputError(
            "max_memory",
            expected=f"more than {kept:,} bytes, for the potentials of {classes} classes",
            got=f"{limit:,}",
            remedy="raise it, or fit fewer classes at a time",
        )
    return limit - kept
