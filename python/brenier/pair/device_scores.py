"""Scores of data against noise on the device that holds them, class by class, one problem after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from brenier.engine.auction import Bidder, Problems


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
