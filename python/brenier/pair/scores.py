"""Scores of data against noise, and the assignment of all positions from one assignment per class."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks
from brenier.engine.assignment import Assigned, assign_batch
from brenier.errors import InputError
from brenier.pair.matrix import to_numpy
from brenier.types import Array

PRODUCTS_PER_BLOCK = 1 << 31
"""Multiply-adds of one block of scores: some 50 ms, so that an interrupt is answered soon."""

ScoresOf = Callable[[np.ndarray], np.ndarray]
"""From the positions of a class, ascending, to its scores (members, members)."""


def class_groups(labels: Array | None, count: int) -> list[np.ndarray]:
    """The positions of each class, ascending; all positions without labels."""
    if labels is None:
        return [np.arange(count)] if count else []
    numbers = _class_numbers(labels, count)
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1) if count else []


def _class_numbers(labels: Any, count: int) -> np.ndarray:
    """0, 1, ... for the classes of labels, which may be of any kind that sorts."""
    remedy = "pass one class per row: integers, strings or an array of one type"
    try:
        classes = class_array(labels)
        if classes.shape != (count,):
            raise InputError(
                "labels", expected=f"shape (N,) = ({count},)", got=f"shape {classes.shape}", remedy=remedy
            )
        if np.any(classes != classes):  # NaN and NaT
            raise InputError("labels", expected="a class for every row", got="NaN", remedy=remedy)
        return np.unique(classes, return_inverse=True)[1]
    except InputError:
        raise
    except Exception as error:  # whatever comparing objects of several types raises
        raise InputError("labels", expected="classes that sort", got=str(error), remedy=remedy) from error


def class_array(labels: Any) -> np.ndarray:
    """Labels of any kind as an array."""
    if isinstance(labels, Tensor):
        return to_numpy(labels, "labels")
    if isinstance(labels, np.ma.MaskedArray):
        return checks.as_array(labels, "labels")  # which refuses it
    return np.asarray(labels)


def solve_classes(
    scores_of: ScoresOf, groups: list[np.ndarray], count: int, gap: float
) -> tuple[np.ndarray, list[Assigned]]:
    """The permutation of all positions, and the answer for each class, one problem per thread."""
    permutation = np.arange(count)
    solved = []
    for batch in _batches(groups):
        scores = [scores_of(members) for members in batch]
        try:
            answers = assign_batch(scores, gap=gap)
        except InputError:
            _require_small(scores)
            raise
        del scores  # before those of the next batch are made
        for members, answer in zip(batch, answers, strict=True):
            permutation[members] = members[answer.permutation]
        solved += answers
    return permutation, solved


def _require_small(scores: list[np.ndarray]) -> None:
    """Raise InputError where products of finite numbers were too large to be solved."""
    if not all(len(one) * float(np.abs(one).max(initial=0)) < sys.float_info.max / 4 for one in scores):
        raise overflow(scores[0].dtype)


def overflow(dtype: Any) -> InputError:
    return InputError(
        "data and noise",
        expected=f"products and squared distances that {dtype} holds",
        got="larger ones",
        remedy="divide both by their largest magnitude, or pass float64",
    )


def _batches(groups: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Classes to score and solve at the same time: about as many scores as the largest class has."""
    limit = max((len(members) for members in groups), default=0) ** 2
    batch: list[np.ndarray] = []
    for members in groups:
        if batch and sum(len(other) ** 2 for other in batch) + len(members) ** 2 > max(limit, 1 << 22):
            yield batch
            batch = []
        batch.append(members)
    if batch:
        yield batch


def centred_products(rows: Tensor, partners: Tensor, dtype: torch.dtype) -> ScoresOf:
    """⟨data_i − mean, noise_j⟩ over the members of a class: any shift leaves the optimum where it is, this one
    keeps the products small."""

    def scores_of(members: np.ndarray) -> np.ndarray:
        x, z = (members_of(t, members).to(dtype) for t in (rows, partners))
        return products(x - x.mean(dim=0), z).cpu().numpy()

    return scores_of


def products(x: Tensor, z: Tensor) -> Tensor:
    """x zᵀ in blocks of rows, each short enough to be interrupted after."""
    out = torch.empty(len(x), len(z), dtype=x.dtype, device=x.device)
    step = max(1, PRODUCTS_PER_BLOCK // max(1, z.numel()))
    for lo in range(0, len(x), step):
        torch.mm(x[lo : lo + step], z.T, out=out[lo : lo + step])
    return out


def members_of(matrix: Tensor, members: np.ndarray) -> Tensor:
    if len(members) == len(matrix):  # positions ascend, so these are all of them
        return matrix
    return matrix[torch.from_numpy(members).to(matrix.device)]


def score_type(*tensors: Tensor) -> torch.dtype:
    """float64 where anything needs it, else float32."""
    wide = (torch.float64, torch.int64, torch.int32)
    return torch.float64 if any(t.dtype in wide for t in tensors) else torch.float32
