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
    members = [torch.from_numpy(one).to(rows.device) for one in groups]
    problems = score_classes(bidder, rows, partners, members, rough=gap > 0)
    try:
        solved = solve_on_device(bidder, problems, gap)
    except InputError:
        if not torch.isfinite(problems.scores).all():
            raise overflow(checks.name_of(problems.scores.dtype)) from None
        raise
    permutation = torch.arange(len(rows), device=rows.device)
    for mine, local in zip(members, solved.permutation.split(problems.sizes), strict=True):
        permutation[mine] = mine[local]
    return solved._replace(permutation=permutation)


def score_classes(
    bidder: Bidder, rows: Tensor, partners: Tensor, groups: list[Tensor], rough: bool
) -> Problems:
    """⟨data_i − mean, noise_j⟩ over the members of each class, float32 or float64 as rows are.

    Classes of one size go through one batched product. rough, where a gap is allowed: products of float16 roundings,
    summed in float32, up to a factor that changes no permutation; several times as fast on tensor cores. The
    gap is then proved for the scores so rounded (docs/pairing.md).
    """
    sizes = tuple(len(members) for members in groups)
    if len(set(sizes)) == 1:
        whole = len(groups) == 1 and sizes[0] == len(rows)  # positions ascend, so these are all of them
        picked = torch.stack(groups)
        x, z = (rows[None], partners[None]) if whole else (rows[picked], partners[picked])
        return Problems(centred(bidder, x, z, rough).view(-1), sizes)
    parts = [centred(bidder, rows[one][None], partners[one][None], rough).view(-1) for one in groups]
    return Problems(torch.cat(parts) if parts else rows.new_empty(0), sizes)


def centred(bidder: Bidder, x: Tensor, z: Tensor, rough: bool) -> Tensor:
    return bidder.products(x - x.mean(dim=1, keepdim=True), z, rough)
