"""One potential per class: a fit for each label, and a map that is told the label of every noise."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.data.latents import SelectedRows
from brenier.data.sources import LatentSource
from brenier.engine import checks
from brenier.engine.ranks import this_rank
from brenier.errors import InputError, NotConvergedWarning
from brenier.solve import labelled_file
from brenier.solve.class_memory import memory_of_class, require_class_memory
from brenier.solve.labelled_file import rows_at
from brenier.solve.memory import say_plan
from brenier.solve.potential import Potential, like
from brenier.solve.result import FitResult, Status
from brenier.solve.streamed_potential import StreamedPotential
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
        some = next(iter(self.potentials.values()))
        images = torch.empty(
            len(noise), some.targets.shape[1], dtype=some.targets.dtype, device=some.heights.device
        )
        for label, rows in self.rows_of(labels, len(noise)):
            images[rows] = self.potentials[label].transport(noise[rows])
        return like(x, images)

    def save(self, folder: str | os.PathLike[str], *, include_targets: bool = True) -> None:
        """Write a folder: a potential file for each label, ``label5.safetensors``, and ``labels.json``.

        The labels are listed in order, and so are the files' digests. A class's file is one that Potential.load (or
        StreamedPotential.load) reads too, with its members beside. Targets that are streamed are never written. Raises
        FileError, InputError; a save that fails while it writes leaves what the folder held, and one that ends
        between its renamings a folder that load refuses.
        """
        labelled_file.write(folder, self.potentials, self.members, include_targets)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], targets: Any = None) -> LabelledPotential:
        """Read what save wrote, checking digests and fingerprints.

        targets : those of all classes as given to fit, a tensor, an array, a source or its file; needed where the
            folder does not hold them, and for streamed classes, which read them when asked

        Raises FileError, InputError.
        """
        return cls(*labelled_file.read(folder, targets))

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
    """Fits by label. ``error`` is the largest χ² of a class, nan where one's is; ``converged`` needs all of them.

    unfitted : labels that Ctrl-C left without a potential; a map that is asked for them refuses
    """

    results: dict[int, FitResult]
    potential: LabelledPotential
    unfitted: tuple[int, ...] = ()

    @property
    def converged(self) -> bool:
        return not self.unfitted and all(result.converged for result in self.results.values())

    @property
    def status(self) -> Status:
        """Interrupted where a class was or has no potential, converged where all have."""
        found = {result.status for result in self.results.values()}
        if self.unfitted or Status.INTERRUPTED in found:
            return Status.INTERRUPTED
        return Status.BUDGET if Status.BUDGET in found else Status.CONVERGED

    @property
    def error(self) -> float:
        errors = [result.error for result in self.results.values()]
        return math.nan if any(map(math.isnan, errors)) else max(errors)

    @property
    def samples(self) -> int:
        return sum(result.samples for result in self.results.values())

    @property
    def seconds(self) -> float:
        return sum(result.seconds for result in self.results.values())

    def summary(self) -> str:
        """A line for each class."""
        lines = [
            f"label {label}: {result.targets:,} targets, χ² = {result.error:.4g} ± {result.error_stderr:.2g}. "
            f"{result.status}"
            for label, result in self.results.items()
        ]
        return "\n".join(
            lines + [f"label {label}: not fitted, interrupted before" for label in self.unfitted]
        )


def integer_labels(labels: Array, rows: int) -> Tensor:
    """Labels as int64 (rows,) on the CPU; raises InputError."""
    given = checks.as_tensor(labels, "labels").cpu()
    if given.shape != (rows,) or given.is_floating_point() or given.dtype == torch.bool:
        raise InputError(
            "labels", expected=f"integers of shape ({rows},)", got=f"{given.dtype} {tuple(given.shape)}"
        )
    if given.dtype == torch.uint64 and bool((given.numpy() > np.iinfo(np.int64).max).any()):
        raise InputError("labels", expected="integers below 2**63", got=str(given.numpy().max()))
    return given.long()


def fit_classes(
    fit_one: Callable[..., FitResult],
    targets: Tensor | LatentSource,
    labels: Array,
    weights: Array | None,
    checkpoint: str | os.PathLike[str] | None,
    read: int = 0,
    **options: Any,
) -> LabelledFitResult:
    """One fit per label in ascending order, each over its own targets with masses of sum 1.

    A class's fit is that of its targets alone, with the same seed: the same bits. Each has a checkpoint of its
    own, the given name with ``.label`` and the label behind it. Ctrl-C ends all: what is fitted is returned, the class
    under way as far as it came; KeyboardInterrupt where there is nothing yet.
    A source is read class by class: once, where every class fits in memory.

    read : bytes of targets in memory that are a copy of those given, for the plan
    """
    given = integer_labels(labels, len(targets))
    masses = None if weights is None else class_weights(weights, len(targets))
    if len(given) == 0:
        raise InputError("targets", expected="at least one target", got="none")
    members = members_of(given)
    options["max_memory"] = room_for_one(targets, members, masses, read, options)
    results: dict[int, FitResult] = {}
    try:
        for label, rows in members.items():
            own = None if masses is None else masses[rows.numpy()]
            file = checkpoint_of(checkpoint, label)
            result = fit_one(rows_at(targets, rows), weights=own, checkpoint=file, **options)
            results[label] = result if isinstance(targets, Tensor) else unloaded(result, targets, rows)
            if result.status is Status.INTERRUPTED:
                break
    except KeyboardInterrupt:  # between two fits, or before the targets of one are centred
        if not results:
            raise
    return labelled_result(results, members)


def room_for_one(
    targets: Tensor | LatentSource,
    members: dict[int, Tensor],
    masses: np.ndarray | None,
    read: int,
    options: dict[str, Any],
) -> int | None:
    """The max_memory of each class's fit beside what all potentials keep; raises InputError for too little."""
    limit: int | None = options["max_memory"]
    if not isinstance(targets, Tensor):
        return memory_of_class((targets.shape[0], targets.shape[1]), len(members), limit)
    plan = require_class_memory(targets, members, masses, limit, read)
    first = not options["ranks"] or this_rank().rank == 0
    say_plan(plan, options["progress"] and first)
    return None if limit is None else limit - plan.kept


def labelled_result(results: dict[int, FitResult], members: dict[int, Tensor]) -> LabelledFitResult:
    """The fits that there are; warns of labels that have none."""
    unfitted = tuple(label for label in members if label not in results)
    if unfitted:
        warnings.warn(
            f"interrupted: {len(unfitted)} of {len(members)} labels have no potential, {unfitted[0]} is the first; "
            "with a checkpoint, resume=True goes on",
            NotConvergedWarning,
            stacklevel=4,  # the line that called fit
        )
    potentials = {label: result.potential for label, result in results.items()}
    fitted = {label: members[label] for label in results}
    return LabelledFitResult(results, LabelledPotential(potentials, fitted), unfitted)


def members_of(labels: Tensor) -> dict[int, Tensor]:
    """Where each label's targets stand, labels and places ascending."""
    order = torch.argsort(labels, stable=True)
    found, counts = torch.unique(labels, return_counts=True)
    return dict(zip(found.tolist(), order.split(counts.tolist()), strict=True))


def checkpoint_of(checkpoint: str | os.PathLike[str] | None, label: int) -> Path | None:
    """The file of one class."""
    return None if checkpoint is None else Path(checkpoint).with_name(f"{Path(checkpoint).name}.label{label}")


def unloaded(result: FitResult, source: LatentSource, rows: Tensor) -> FitResult:
    """The result, its potential reading the targets when asked for: those of all classes need not fit in memory."""
    if isinstance(result.potential, StreamedPotential):
        return result
    potential = StreamedPotential.of_resident(result.potential, SelectedRows(source, rows))
    return replace(result, potential=potential)


def class_weights(weights: Array, targets: int) -> np.ndarray:
    masses = checks.as_tensor(weights, "weights").cpu().numpy()
    if masses.shape != (targets,):
        raise InputError("weights", expected=f"shape (n,) = ({targets},)", got=str(masses.shape))
    return masses
