"""Pools over several processes: what is exchanged is scores and labels, never noise, which every rank draws itself
from (seed, number)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from brenier.errors import InputError
from brenier.pair.condition import SHARE, add_condition, as_condition
from brenier.pair.scores import ScoresOf, products


class Ranks(NamedTuple):
    """This process among its peers; one process without torch.distributed."""

    rank: int
    world: int
    group: Any = None

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of every rank, in the order of ranks; equal shapes everywhere."""
        if self.world == 1:
            return tensor
        pieces = [torch.empty_like(tensor) for _ in range(self.world)]
        dist.all_gather(pieces, tensor.contiguous(), group=self.group)
        return torch.cat(pieces)


def this_rank(group: Any = None, *, exchanging: bool = False) -> Ranks:
    """Where this process stands; with exchanging, in a gloo group of its own unless one is given."""
    if not (dist.is_available() and dist.is_initialized()):
        return Ranks(0, 1)
    if group is None and exchanging:
        group = dist.new_group(backend="gloo")
    return Ranks(dist.get_rank(group), dist.get_world_size(group), group)


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
    labels: Tensor | None,
    condition: Tensor | None = None,
    share: float = SHARE,
) -> tuple[ScoresOf, Tensor | None]:
    """Scores of the whole pool from each rank's rows (m, d) and all its noise (W·m, d), and all labels.

    Conditions (m, ...) are gathered too; the weight is found from the gathered scores, so every rank finds the same.
    """
    mean = ranks.gather(rows.mean(dim=0, keepdim=True)).mean(dim=0)
    scores = ranks.gather(products(rows - mean, drawn.to(rows.dtype)))
    if condition is not None:
        c = as_condition(ranks.gather(condition), len(scores))
        add_condition(scores, c, share)
    whole = scores.numpy()

    def scores_of(members: np.ndarray) -> np.ndarray:
        return whole if len(members) == len(whole) else whole[np.ix_(members, members)]

    return scores_of, None if labels is None else ranks.gather(labels)
