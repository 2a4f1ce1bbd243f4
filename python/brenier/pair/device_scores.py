"""Pairs on the device that holds data and noise: scores class by class, one problem after the other."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks
from brenier.engine.auction import Bidder, Problems
from brenier.errors import InputError
from brenier.pair.device import Solved, solve_on_device
from brenier.pair.scores import overflow


def pair_on_device(
    bidder: Bidder, rows: Tensor, partners: Tensor, groups: list[np.ndarray], gap: float
) -> Solved:
    """The permutation of all positions, class by class, where the rows are. Raises InputError."""
    order = torch.from_numpy(np.concatenate([np.empty(0, np.int64), *groups])).to(rows.device)
    problems = score_classes(bidder, rows, partners, order, tuple(map(len, groups)), rough=gap > 0)
    try:
        solved = solve_on_device(bidder, problems, gap)
    except InputError:
        if not torch.isfinite(problems.scores).all():
            raise overflow(checks.name_of(problems.scores.dtype)) from None
        raise
    permutation = torch.empty_like(order)
    permutation[order] = order[solved.permutation + problems.first_rows()]
    return solved._replace(permutation=permutation)


def score_classes(
    bidder: Bidder, rows: Tensor, partners: Tensor, order: Tensor, sizes: tuple[int, ...], rough: bool
) -> Problems:
    """⟨data_i − mean, noise_j⟩ over the members of each class, float32 or float64 as rows are.

    order : positions, class after class, each ascending; sizes of the classes
    rough : where a gap is allowed: products of float16 roundings, summed in float32, up to a factor that changes no
        permutation; several times as fast on tensor cores. The gap is then proved for the scores so rounded

    Classes of one size go through one batched product.
    """
    if len(set(sizes)) == 1:
        picked = order.view(len(sizes), -1)
        x, z = (rows[None], partners[None]) if len(sizes) == 1 else (rows[picked], partners[picked])
        return Problems(centred(bidder, x, z, rough).view(-1), sizes)
    parts = [
        centred(bidder, rows[one][None], partners[one][None], rough).view(-1) for one in order.split(sizes)
    ]
    return Problems(torch.cat(parts) if parts else rows.new_empty(0), sizes)


def centred(bidder: Bidder, x: Tensor, z: Tensor, rough: bool) -> Tensor:
    return bidder.products(x - x.mean(dim=1, keepdim=True), z, rough)
