"""Continuous conditions: what keeps the pairing from choosing the noise by the condition.

Pairing all rows together skews the noise that a condition sees in training, while at sampling it sees all noise.

C²OT's (Cheng and Schwing, "The Curse of Conditions", arXiv 2503.10636; checked against the authors' published code,
github.com/hkchengrex/C2OT, c2ot/ot.py, not against the paper's text):
  - the cost M + w·C, M squared distances of data and noise, C a distance between the conditions of the row and of the
    row at which the noise stands: 1 − cosine by default, squared distance as an option;
  - the rule for w: r(w), the share of all N² pairs (i, j) with M_ij + w·C_ij ≤ M_ii, is brought to a target r (0.05 in
    their toy example) by doubling w, then bisection, at most ten times each, to within 1e-3, from the last batch's w;
    no weight where r(0) is below r already;
  - the same condition on both sides, and a one-to-one assignment.

Ours:
  - C is the squared distance of the conditions as given. For unit vectors it is twice 1 − cosine, so that our w is
    half of theirs for the same cost; scaling them to unit length is left to the caller. With M squared distances, too,

        ‖y_i − ε_j‖² + w·‖c_i − c_j‖²  ≡  −2(⟨y_i, ε_j⟩ + w·⟨c_i, c_j⟩)

    up to terms of a row or a column alone, which change no permutation: conditions become coordinates √w·c;
  - the exchange that counts leaves those terms out: M_ij + w·C_ij ≤ M_ii keeps ‖ε_j‖² − ‖ε_i‖², ours is
    ⟨y_i, ε_j − ε_i⟩ ≥ (w/2)‖c_i − c_j‖², so that r does not depend on which noise happens to be long;
  - pairs i = j are not counted (theirs count, 1/N of all), rows are a sample of 256 at most;
  - w is the quantile at which the share is what was asked for, without a search or a memory of the last batch;
  - the default share of 1%.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brenier.engine import checks
from brenier.engine.scale import moderate
from brenier.errors import InputError
from brenier.types import Array

SHARE = 0.01
"""Pairs that remain worth exchanging, where the caller does not say."""

SAMPLED_ROWS = 256


def as_condition(condition: Array, count: int) -> tuple[Tensor, float]:
    """Conditions as float32 (N, k), finite, centred, times a power of two that brings them near 1; and its square.

    With it a weight found for these becomes that of the conditions as given.
    """
    tensor = checks.as_tensor(condition, "condition")
    if tensor.ndim == 0 or len(tensor) != count:
        got = f"shape {tuple(tensor.shape)}"
        raise InputError(
            "condition",
            expected=f"shape (N, ...) with N = {count}",
            got=got,
            remedy="pass one condition per row",
        )
    checks.require_finite(tensor, "condition")
    tensor = tensor if tensor.is_floating_point() else tensor.double()
    rows, power = moderate(tensor.flatten(1) if tensor.ndim > 1 else tensor[:, None], 1.0)
    centred = rows - rows.mean(dim=0) if count else rows
    near, again = moderate(centred, 1.0)  # an offset may be much larger than what differs
    return near, power * power * again * again


def find_weight(rows: Tensor, partners: Tensor, condition: Tensor, share: float) -> float:
    """w such that a `share` of the pairs (i, j), j ≠ i, gains by exchanging noise in spite of the condition.

        ⟨y_i, ε_j − ε_i⟩ ≥ (w/2)·‖c_i − c_j‖²

    over 256 rows i at most, spread evenly. 0 where conditions are all equal or there is one row.
    """
    if len(rows) < 2:
        return 0.0
    picked = sampled_rows(len(rows), rows.device)
    y = rows.float()[picked] - rows.float().mean(dim=0)
    z = partners.float()
    gain = y @ z.T - torch.linalg.vecdot(y, z[picked])[:, None]
    return weight_for(gain, condition[picked], condition, share)


def sampled_rows(count: int, device: torch.device) -> Tensor:
    return torch.arange(0, count, max(1, -(-count // SAMPLED_ROWS)), device=device)


def weight_for(gain: Tensor, own: Tensor, condition: Tensor, share: float) -> float:
    """The quantile: gain (r, N) of r sampled rows by exchange, their conditions (r, k), all conditions (N, k)."""
    apart = torch.cdist(own, condition).square() / 2
    usable = (gain > 0) & (apart > 0)
    weights = torch.where(usable, gain / apart.clamp_min(1e-30), torch.zeros((), device=gain.device))
    allowed = round(share * (gain.numel() - len(own)))
    if not usable.any() or allowed >= int(usable.sum()):
        return 0.0
    return float(weights.flatten().topk(allowed + 1).values[-1])


def add_condition(scores: Tensor, condition: Tensor, share: float) -> float:
    """scores[i, j] += w·⟨c_i, c_j⟩ in place, w found as by find_weight from centred scores (N, N); returns w."""
    if len(scores) < 2:
        return 0.0
    picked = sampled_rows(len(scores), scores.device)
    gain = scores[picked].float() - scores[picked, picked].float()[:, None]
    weight = weight_for(gain, condition[picked], condition, share)
    scores += (weight * condition @ condition.T).to(scores.dtype)
    return weight


def with_condition(rows: Tensor, partners: Tensor, condition: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Data and noise with √w·c as further coordinates."""
    extra = weight**0.5 * condition
    return torch.cat([rows, extra.to(rows)], dim=1), torch.cat([partners, extra.to(partners)], dim=1)
