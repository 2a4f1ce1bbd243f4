"""Continuous conditions: what keeps the pairing from choosing the noise by the condition.

Pairing all rows together skews the noise that a condition sees in training, while at sampling it sees all noise;
C²OT (Cheng and Schwing, arXiv 2503.10636) adds a distance between conditions to the cost. With squared distances
that term is an inner product, up to terms of a row or a column alone, which change no permutation:

    ‖y_i − ε_j‖² + w·‖c_i − c_j‖²  ≡  −2(⟨y_i, ε_j⟩ + w·⟨c_i, c_j⟩)

so conditions become further coordinates √w·c of data and noise. For unit vectors it is C²OT's cosine distance.
The weight is found per batch, as there, from the pairs that remain worth exchanging: those (i, j) for which row i
prefers noise j to its own although the condition differs. Their share falls with w; a quantile gives the w at which
it is what was asked for, where C²OT searches.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brenier.engine import checks
from brenier.errors import InputError
from brenier.types import Array

SHARE = 0.01
"""Pairs that remain worth exchanging; of the order that C²OT uses."""

SAMPLED_ROWS = 256


def as_condition(condition: Array, count: int) -> Tensor:
    """Conditions as float32 (N, k), finite."""
    tensor = checks.as_tensor(condition, "condition")
    if tensor.ndim == 0 or len(tensor) != count:
        got = f"shape {tuple(tensor.shape)}"
        raise InputError(
            "condition",
            expected=f"shape (N, ...) with N = {count}",
            got=got,
            remedy="pass one condition per row",
        )
    checks.require_finite(tensor.float(), "condition")
    rows = tensor.float().flatten(1) if tensor.ndim > 1 else tensor.float()[:, None]
    return rows - rows.mean(dim=0) if count else rows


def find_weight(rows: Tensor, partners: Tensor, condition: Tensor, share: float) -> float:
    """w such that a `share` of the pairs (i, j), j ≠ i, gains by exchanging noise in spite of the condition.

        ⟨y_i, ε_j − ε_i⟩ ≥ (w/2)·‖c_i − c_j‖²

    over 256 rows i at most, spread evenly. 0 where conditions are all equal or there is one row.
    """
    count = len(rows)
    if count < 2:
        return 0.0
    picked = torch.arange(0, count, max(1, -(-count // SAMPLED_ROWS)), device=rows.device)
    y = rows.float()[picked] - rows.float().mean(dim=0)
    z = partners.float()
    gain = y @ z.T - torch.linalg.vecdot(y, z[picked])[:, None]
    apart = torch.cdist(condition[picked], condition).square() / 2
    usable = (gain > 0) & (apart > 0)
    weights = torch.where(usable, gain / apart.clamp_min(1e-30), torch.zeros(()))
    allowed = round(share * (gain.numel() - len(picked)))
    if not usable.any() or allowed >= int(usable.sum()):
        return 0.0
    return float(weights.flatten().topk(allowed + 1).values[-1])


def with_condition(rows: Tensor, partners: Tensor, condition: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Data and noise with √w·c as further coordinates."""
    extra = weight**0.5 * condition
    return torch.cat([rows, extra.to(rows)], dim=1), torch.cat([partners, extra.to(partners)], dim=1)
