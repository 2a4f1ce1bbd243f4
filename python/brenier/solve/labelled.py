"""One potential per class: a fit for each label, and a map that is told the label of every noise."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks
from brenier.errors import InputError
from brenier.solve.potential import Potential, like
from brenier.solve.result import FitResult, Status
from brenier.types import Array


@dataclass(frozen=True, eq=False)
class LabelledPotential:
    """Potentials by label; class k sends its own noise onto its own targets.

    potentials : one for each label; members : for each label, where its targets stand among those given, (n_k,)
    """

    potentials: dict[int, Potential]
    members: dict[int, Tensor]

    def assign(self, x: Array, labels: Array) -> Any:
        """The index, among all targets as given to fit, of each noise's winner in its class.

        x : as in Potential.assign; labels : (N,) integers. Returns int64 (N,), an array where x is one.
        Raises InputError, also for a label that no target has.
        """
        noise = checks.as_tensor(x, "x")
        winners = torch.empty(len(noise), dtype=torch.int64)
        for label, rows in self.rows_of(labels, len(noise)):
            local = self.potentials[label].assign(noise[rows])
            winners[rows] = self.members[label][local.cpu()]
        return winners if isinstance(x, Tensor) else winners.numpy()

    def transport(self, x: Array, labels: Array) -> Any:
        """The winning target of each noise in its class, (N, d) in the targets' dtype."""
        noise = checks.as_tensor(x, "x")
        some = next(iter(self.potentials.values())).targets
        images = torch.empty(len(noise), some.shape[1], dtype=some.dtype, device=some.device)
        for label, rows in self.rows_of(labels, len(noise)):
            images[rows] = self.potentials[label].transport(noise[rows])
        return like(x, images)

    def rows_of(self, labels: Array, rows: int) -> list[tuple[int, Tensor]]:
        """Where each label stands among so many rows; raises InputError, also for a label that no target has."""
        given = integer_labels(labels, rows)
        found = torch.unique(given).tolist()
        unknown = [label for label in found if label not in self.potentials]
        if unknown:
            known = ", ".join(map(str, list(self.potentials)[:8]))
            raise InputError(
                "labels", expected=f"labels of the targets, such as {known}", got=str(unknown[0])
            )
        return [(label, torch.nonzero(given == label)[:, 0]) for label in found]


@dataclass(frozen=True)
class LabelledFitResult:
    """Fits by label. ``error`` is the largest χ² of a class; ``converged`` needs all of them."""

    results: dict[int, FitResult]
    potential: LabelledPotential

    @property
    def converged(self) -> bool:
        return all(result.converged for result in self.results.values())

    @property
    def error(self) -> float:
        return max(result.error for result in self.results.values())

    @property
    def samples(self) -> int:
        return sum(result.samples for result in self.results.values())

    @property
    def seconds(self) -> float:
        return sum(result.seconds for result in self.results.values())

    def summary(self) -> str:
        """A line for each class."""
        return "\n".join(
            f"label {label}: {result.targets:,} targets, χ² = {result.error:.4g} ± {result.error_stderr:.2g}. "
            f"{result.status}"
            for label, result in self.results.items()
        )


def integer_labels(labels: Array, rows: int) -> Tensor:
    """Labels as int64 (rows,) on the CPU; raises InputError."""
    given = checks.as_tensor(labels, "labels").cpu()
    if given.shape != (rows,) or given.is_floating_point() or given.dtype == torch.bool:
        raise InputError(
            "labels", expected=f"integers of shape ({rows},)", got=f"{given.dtype} {tuple(given.shape)}"
        )
    return given.long()


def fit_classes(
    fit_one: Callable[..., FitResult],
    matrix: Tensor,
    labels: Array,
    weights: Array | None,
    checkpoint: str | os.PathLike[str] | None,
    **options: Any,
) -> LabelledFitResult:
    """One fit per label in ascending order, each over its own targets with masses of sum 1.

    A class's fit is that of its targets alone, with the same seed: the same bits. Each has a checkpoint of its
    own, the given name with ``.label`` and the label behind it. Ctrl-C ends all with KeyboardInterrupt.
    """
    given = integer_labels(labels, len(matrix))
    masses = None if weights is None else class_weights(weights, len(matrix))
    if len(given) == 0:
        raise InputError("targets", expected="at least one target", got="none")
    members = {label: torch.nonzero(given == label)[:, 0] for label in torch.unique(given).tolist()}
    results: dict[int, FitResult] = {}
    for label, rows in members.items():
        own = None if masses is None else masses[rows.numpy()]
        file = (
            None
            if checkpoint is None
            else Path(checkpoint).with_name(f"{Path(checkpoint).name}.label{label}")
        )
        result = fit_one(matrix[rows.to(matrix.device)], weights=own, checkpoint=file, **options)
        if result.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        results[label] = result
    potentials = {label: result.potential for label, result in results.items()}
    return LabelledFitResult(results, LabelledPotential(potentials, members))


def class_weights(weights: Array, targets: int) -> np.ndarray:
    masses = checks.as_tensor(weights, "weights").cpu().numpy()
    if masses.shape != (targets,):
        raise InputError("weights", expected=f"shape (n,) = ({targets},)", got=str(masses.shape))
    return masses
