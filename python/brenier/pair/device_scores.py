"""Pairs on the device that holds data and noise: products class by class, one problem after the other.

Where a gap is allowed, products of float32 rows are of their float16 roundings, summed in float32, up to a factor that
changes no permutation: several times as fast on tensor cores. The gap is proved for the scores so rounded. From 1e-5 on
they are not even written (engine/auction_products.py).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks
from brenier.engine.auction import Bidder, Factors
from brenier.errors import InputError
from brenier.pair.device import Solved, solve_products
from brenier.pair.scores import overflow


def pair_on_device(
    bidder: Bidder, rows: Tensor, partners: Tensor, groups: list[np.ndarray], gap: float
) -> Solved:
    """The permutation of all positions, class by class, where the rows are. Raises InputError."""
    order = torch.from_numpy(np.concatenate([np.empty(0, np.int64), *groups])).to(rows.device)
    factors = centred_classes(rows, partners, order, tuple(map(len, groups)))
    try:
        solved = solve_products(bidder, factors, gap)
    except InputError:
        scores = factors.scored(bidder, rough=gap > 0).scores
        if not torch.isfinite(scores).all():
            raise overflow(checks.name_of(scores.dtype)) from None
        raise
    permutation = torch.empty_like(order)
    permutation[order] = order[solved.permutation + factors.first_rows()]
    return solved._replace(permutation=permutation)


def centred_classes(rows: Tensor, partners: Tensor, order: Tensor, sizes: tuple[int, ...]) -> Factors:
    """data_i − mean and noise_j of the members of each class; scores are their products, in the rows' type.

    order : positions, class after class, each ascending; sizes of the classes. Classes of one size are one batch
    """
    if not sizes:
        return Factors(((rows[None], partners[None]),), (0,))
    if len(set(sizes)) == 1:
        picked = order.view(len(sizes), -1)
        x, z = (rows[None], partners[None]) if len(sizes) == 1 else (rows[picked], partners[picked])
        return Factors(((centred(x), z),), sizes)
    parts = ((centred(rows[one][None]), partners[one][None]) for one in order.split(sizes))
    return Factors(tuple(parts), sizes)


def centred(x: Tensor) -> Tensor:
    return x - x.mean(dim=1, keepdim=True)
