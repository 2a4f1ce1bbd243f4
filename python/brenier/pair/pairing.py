"""Pairing noise with data: the assignment with the smallest squared distance, whole or class by class."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor

from brenier.engine import checks
from brenier.errors import InputError
from brenier.pair.condition import SHARE, as_condition, find_weight, with_condition
from brenier.pair.device import bidder_for
from brenier.pair.device_scores import pair_on_device
from brenier.pair.matrix import like
from brenier.pair.result import Pairing, judge
from brenier.pair.scores import (
    centred_products,
    class_groups,
    overflow,
    score_type,
    solve_classes,
)
from brenier.types import Array

ELEMENTS_PER_BLOCK = 1 << 22


def pair(
    data: Array,
    noise: Array,
    *,
    labels: Array | None = None,
    condition: Array | None = None,
    share: float = SHARE,
    gap: float = 0.0,
    engine: str | None = None,
) -> Pairing:
    """Pair each row of data with one row of noise so that the mean squared distance is smallest.

        permutation = argmin Σ_i ‖data_i − noise_perm(i)‖² = argmax Σ_i ⟨data_i − mean, noise_perm(i)⟩

    (AOT, arXiv 2403.05069, section 3). ``noise[permutation]`` is paired with data, whose order is untouched.

    data : (N, ...) real numbers of any type, flattened to (N, d)
    noise : (N, ...) floating, of the same d
    labels : (N,) classes; noise is then exchanged only between rows of one class, by position. None pairs all
        rows together, also for a model with classes: paths are straighter, but each class then sees its own part
        of the noise, which guidance forgives and sampling without guidance does not (docs/pairing.md)
    condition : (N, ...) numbers that noise should not depend on, such as embeddings: adds w·‖c_i − c_j‖² to the
        cost, c_j that of the row at which noise j stands, w found per call (C²OT, arXiv 2503.10636). Scale them
        to unit length for the cosine distance
    share : with condition: the share of pairs (i, j) that shall remain worth exchanging, by which w is found
    gap : share of the gain over a random pairing that may be lost, 0 for the exact optimum (arXiv: about 1e-3
        makes no difference to training)
    engine : "cpu", "cuda", "triton", or None for that of the device of data and noise. On a device the products and the
        bids stay there, unless the CPU has to finish (Pairing.status says so)

    Scores are float32 products of centred data and noise, float64 where either comes in float64 or as 32- or
    64-bit integers; "exact" is for the scores so rounded. Costs are summed in float64, without the condition.
    Returns a Pairing; its permutation is a tensor on noise's device where noise is one, else an array.
    Raises InputError and EngineError.
    """
    started = time.perf_counter()
    gap = checks.number(gap, "gap")
    rows, partners = _flat(data, "data"), _flat(noise, "noise")
    _check_together(rows, partners)
    bidder = bidder_for(rows.device, engine)
    groups = class_groups(labels, len(rows))
    dtype = score_type(rows, partners)
    x, z, weight = rows, partners, 0.0
    if condition is not None:
        c, square = as_condition(condition, len(rows))
        c = c.to(rows.device)
        found_weight = find_weight(rows, partners, c, _check_share(share))
        x, z = with_condition(rows.to(dtype), partners.to(dtype), c, found_weight)
        weight = found_weight * square
    before = _mean_distance(rows, partners)
    if not math.isfinite(before):
        raise overflow(checks.name_of(dtype))
    if bidder is not None:
        found = pair_on_device(bidder, x.to(dtype), z.to(dtype), groups, gap)
        cost = _mean_distance(rows, partners, found.permutation)
        permutation = found.permutation if isinstance(noise, Tensor) else found.permutation.numpy()
        taken = time.perf_counter() - started
        return Pairing(permutation, cost, before, found.gap, found.status, taken, weight)
    order, solved = solve_classes(centred_products(x, z, dtype), groups, len(rows), gap)
    proved, status = judge(solved, gap)
    cost = _mean_distance(rows, partners, torch.from_numpy(order).to(partners.device))
    taken = time.perf_counter() - started
    return Pairing(like(order, noise), cost, before, proved, status, taken, weight)


def _check_share(share: Any) -> float:
    checks.number(share, "share")
    if not 0 < share < 1:
        raise InputError("share", expected="0 < share < 1", got=repr(share), remedy="0.01 is a good start")
    return float(share)


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


def _mean_distance(rows: Tensor, partners: Tensor, order: Tensor | None = None) -> float:
    """Mean of ‖data_i − noise_order(i)‖², each in the scores' type, their sum in float64; 0 for no rows.

    From differences: what a total of scores says of it may be negative by rounding.
    """
    total, dtype = 0.0, score_type(rows, partners)
    step = max(1, ELEMENTS_PER_BLOCK // max(1, rows.shape[1]))
    for lo in range(0, len(rows), step):
        own = partners[lo : lo + step] if order is None else partners[order[lo : lo + step]]
        difference = rows[lo : lo + step].to(dtype) - own.to(dtype)
        total += torch.linalg.vecdot(difference, difference).double().sum().item()
    return total / max(1, len(rows))
