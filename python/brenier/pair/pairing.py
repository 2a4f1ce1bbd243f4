"""Pairing noise with data: the assignment with the smallest squared distance, whole or class by class."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks
from brenier.engine.assignment import Assigned, assign_batch
from brenier.errors import InputError
from brenier.pair.matrix import check_options, like, to_numpy
from brenier.pair.result import Pairing, judge
from brenier.types import Array

PRODUCTS_PER_BLOCK = 1 << 31
"""Multiply-adds of one block of scores: some 50 ms, so that an interrupt is answered soon."""

ELEMENTS_PER_BLOCK = 1 << 22


def pair(
    data: Array, noise: Array, *, labels: Array | None = None, gap: float = 0.0, engine: str | None = None
) -> Pairing:
    """Pair each row of data with one row of noise so that the mean squared distance is smallest.

        permutation = argmin Σ_i ‖data_i − noise_perm(i)‖² = argmax Σ_i ⟨data_i − mean, noise_perm(i)⟩

    (AOT, arXiv 2403.05069, section 3). ``noise[permutation]`` is paired with data, whose order is untouched.

    data : (N, ...) real numbers of any type, flattened to (N, d)
    noise : (N, ...) floating, of the same d
    labels : (N,) classes; noise is then exchanged only between rows of one class, by position
    gap : share of the gain over a random pairing that may be lost, 0 for the exact optimum (arXiv: about 1e-3
        makes no difference to training)
    engine : "cpu" or None

    Scores are float32 products of centred data and noise, float64 where either comes in float64 or as 32- or
    64-bit integers; "exact" is for the scores so rounded. Costs are summed in float64.
    Returns a Pairing; its permutation is a tensor on noise's device where noise is one, else an array.
    Raises InputError and EngineError.
    """
    started = time.perf_counter()
    check_options(gap, engine)
    rows, partners = _flat(data, "data"), _flat(noise, "noise")
    _check_together(rows, partners)
    groups = _groups(labels, len(rows))
    permutation, solved = _solve_groups(rows, partners, groups, gap)
    proved, status = judge(solved, gap)
    before = _mean_distance(rows, partners)
    if not math.isfinite(before):
        raise _overflow(checks.name_of(_score_type(rows, partners)))
    cost = before - 2 * sum(one.total - one.identity_total for one in solved) / max(1, len(rows))
    return Pairing(like(permutation, noise), cost, before, proved, status, time.perf_counter() - started)


def _flat(value: Any, what: str) -> Tensor:
    tensor = checks.as_tensor(value, what)
    if tensor.ndim == 0:
        got = f"the single number {tensor.item()}"
        raise InputError(what, expected="rows (N, ...)", got=got, remedy="pass one row as x[None]")
    if tensor.is_floating_point():
        checks.require_finite(tensor, what)
    return tensor.flatten(1) if tensor.ndim > 1 else tensor[:, None]


def _check_together(rows: Tensor, partners: Tensor) -> None:
    if rows.shape != partners.shape:
        raise InputError(
            "data and noise",
            expected="as many rows of the same size",
            got=f"{tuple(rows.shape)} and {tuple(partners.shape)} after flattening",
            remedy="draw one noise per row with torch.randn_like(data)",
        )
    checks.same_device("data and noise", rows.device, partners.device)
    if not partners.is_floating_point():
        got = checks.name_of(partners.dtype)
        raise InputError("noise", expected="floating-point numbers", got=got, remedy="convert to float32")


def _groups(labels: Any, count: int) -> list[np.ndarray]:
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
        classes = _class_array(labels)
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


def _class_array(labels: Any) -> np.ndarray:
    if isinstance(labels, Tensor):
        return to_numpy(labels, "labels")
    if isinstance(labels, np.ma.MaskedArray):
        return checks.as_array(labels, "labels")  # which refuses it
    return np.asarray(labels)


def _solve_groups(
    rows: Tensor, partners: Tensor, groups: list[np.ndarray], gap: float
) -> tuple[np.ndarray, list[Assigned]]:
    """The permutation of all positions from one assignment per class."""
    permutation = np.arange(len(rows))
    solved = []
    for batch in _batches(groups):
        scores = [_scores(rows, partners, members) for members in batch]
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
        raise _overflow(scores[0].dtype)


def _overflow(dtype: Any) -> InputError:
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


def _scores(rows: Tensor, partners: Tensor, members: np.ndarray) -> np.ndarray:
    """⟨data_i − mean, noise_j⟩ over the members of a class, in blocks of rows."""
    dtype = _score_type(rows, partners)
    x, z = (_members(t, members).to(dtype) for t in (rows, partners))
    x = x - x.mean(dim=0)  # any shift leaves the optimum where it is; this one keeps the products small
    out = torch.empty(len(x), len(z), dtype=dtype)
    step = max(1, PRODUCTS_PER_BLOCK // max(1, z.numel()))
    for lo in range(0, len(x), step):
        torch.mm(x[lo : lo + step], z.T, out=out[lo : lo + step])
    return out.numpy()


def _members(matrix: Tensor, members: np.ndarray) -> Tensor:
    if len(members) == len(matrix):  # positions ascend, so these are all of them
        return matrix
    return matrix[torch.from_numpy(members).to(matrix.device)]


def _score_type(rows: Tensor, partners: Tensor) -> torch.dtype:
    wide = (torch.float64, torch.int64, torch.int32)
    return torch.float64 if rows.dtype in wide or partners.dtype in wide else torch.float32


def _mean_distance(rows: Tensor, partners: Tensor) -> float:
    """Mean of ‖data_i − noise_i‖², each in the scores' type, their sum in float64; 0 for no rows."""
    total, dtype = 0.0, _score_type(rows, partners)
    step = max(1, ELEMENTS_PER_BLOCK // max(1, rows.shape[1]))
    for lo in range(0, len(rows), step):
        difference = rows[lo : lo + step].to(dtype) - partners[lo : lo + step].to(dtype)
        total += torch.linalg.vecdot(difference, difference).double().sum().item()
    return total / max(1, len(rows))
