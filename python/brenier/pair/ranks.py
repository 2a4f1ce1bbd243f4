"""Pools over several processes: what is exchanged is scores and labels, never noise, which every rank draws itself
from (seed, number)."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from brenier.engine.ranks import Ranks
from brenier.errors import InputError
from brenier.pair.scores import ScoresOf, products


def check_scope(scope: str, pool: int, ranks: Ranks, condition: Any) -> str:
    if scope not in ("rank", "global"):
        raise InputError("scope", expected="'rank' or 'global'", got=repr(scope))
    if scope == "global" and pool % ranks.world:
        expected = f"a multiple of the {ranks.world} ranks with scope='global'"
        raise InputError("pool", expected=expected, got=str(pool))
    if scope == "global" and condition is not None:
        raise InputError("condition", expected="scope='rank' with conditions", got="scope='global'")
    return scope


def exchange(
    ranks: Ranks, rows: Tensor, drawn: Tensor, labels: Tensor | None
) -> tuple[ScoresOf, Tensor | None]:
    """Scores of the whole pool from each rank's rows (m, d) and all its noise (W·m, d), and all labels."""
    mean = ranks.gather(rows.mean(dim=0, keepdim=True)).mean(dim=0)
    whole = ranks.gather(products(rows - mean, drawn.to(rows.dtype))).numpy()

    def scores_of(members: np.ndarray) -> np.ndarray:
        return whole if len(members) == len(whole) else whole[np.ix_(members, members)]

    return scores_of, None if labels is None else ranks.gather(labels)
