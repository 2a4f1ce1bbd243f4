"""Pools over several processes: what is exchanged is scores and labels, never noise, which every rank draws itself
from (seed, number)."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.engine import checks
from brenier.engine.ranks import Ranks
from brenier.errors import InputError
from brenier.pair.condition import SHARE, add_condition, as_condition
from brenier.pair.scores import ScoresOf, products


def check_scope(scope: str, pool: int, ranks: Ranks) -> str:
    if scope not in ("rank", "global"):
        raise InputError("scope", expected="'rank' or 'global'", got=repr(scope))
    if scope == "global" and pool % ranks.world:
        expected = f"a multiple of the {ranks.world} ranks with scope='global'"
        raise InputError("pool", expected=expected, got=str(pool))
    return scope


def exchange(
    ranks: Ranks,
    rows: Tensor,
    drawn: Tensor,
    labels: Any,
    condition: Tensor | None = None,
    share: float = SHARE,
) -> tuple[ScoresOf, Tensor | None]:
    """Scores of the whole pool from each rank's rows (m, d) and all its noise (W·m, d), and all labels.

    Labels that are no numbers are told apart by digests. Conditions (m, ...) are gathered too; the weight is found
    from the gathered scores, so every rank finds the same.
    """
    mean = ranks.gather(rows.mean(dim=0, keepdim=True)).mean(dim=0)
    scores = ranks.gather(products(rows - mean, drawn.to(rows.dtype)))
    if condition is not None:
        c, _ = as_condition(ranks.gather(checks.as_tensor(condition, "condition")), len(scores))
        add_condition(scores, c, share)
    whole = scores.numpy()

    def scores_of(members: np.ndarray) -> np.ndarray:
        return whole if len(members) == len(whole) else whole[np.ix_(members, members)]

    return scores_of, None if labels is None else ranks.gather(exchangeable(labels))


def exchangeable(labels: Any) -> Tensor:
    """Labels as numbers that mean the same on every rank."""
    if isinstance(labels, Tensor):
        return labels
    return torch.tensor([int.from_bytes(digest(label), "little", signed=True) for label in labels])


def digest(label: object) -> bytes:
    return hashlib.blake2b(repr(label).encode(), digest_size=8).digest()
