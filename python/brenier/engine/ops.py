"""The verbs as operators of torch: opaque to torch.compile, with fake kernels that give shapes without running.

    torch.ops.brenier.assign(x, y, h, exact, engine) -> (winners, scores)
    torch.ops.brenier.add_wins(counts, winners)
    torch.ops.brenier.candidates(x, y, h, margin, engine) -> (offsets, indices, scores)

`brenier.assign` and `brenier.candidates` call them by themselves inside torch.compile; they check what they are given
when they run, as ever.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from brenier.errors import InputError
from brenier.types import Candidates

CHOSEN = ""
"""The name that lets the engine be chosen: operators take no None for a string."""


@torch.library.custom_op("brenier::assign", mutates_args=())
def assign(x: Tensor, y: Tensor, h: Tensor | None, exact: str, engine: str) -> tuple[Tensor, Tensor]:
    """Winners int64 (N,) and their float64 scores (N,); arguments as brenier.assign takes them."""
    from brenier.engine import verbs

    winners, scores = verbs.assign(x, y, h, return_scores=True, exact=exact, engine=engine or None)
    return winners, scores


@assign.register_fake
def _(x: Tensor, *_others: Any) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape[0], dtype=torch.int64), x.new_empty(x.shape[0], dtype=torch.float64)


@torch.library.custom_op("brenier::add_wins", mutates_args={"counts"})
def add_wins(counts: Tensor, winners: Tensor) -> None:
    """counts[i] += the number of rows that i won, in place."""
    from brenier.engine import checks, verbs

    checks.wins_to_add_to(counts, len(counts), winners.device)
    verbs.add_wins(counts, winners)


@add_wins.register_fake
def _(counts: Tensor, winners: Tensor) -> None:  # noqa: ARG001
    return None


@torch.library.custom_op("brenier::candidates", mutates_args=())
def candidates(
    x: Tensor, y: Tensor, h: Tensor | None, margin: float, engine: str
) -> tuple[Tensor, Tensor, Tensor]:
    """offsets int64 (N + 1,), indices int64 and float64 scores; arguments as brenier.candidates takes them."""
    from brenier.engine import verbs

    found = verbs.candidates(x, y, h, margin=margin, engine=engine or None)
    return found.offsets, found.indices, found.scores


@candidates.register_fake
def _(x: Tensor, *_others: Any) -> tuple[Tensor, Tensor, Tensor]:
    found = torch.library.get_ctx().new_dynamic_size()
    offsets = x.new_empty(x.shape[0] + 1, dtype=torch.int64)
    return offsets, x.new_empty(found, dtype=torch.int64), x.new_empty(found, dtype=torch.float64)


def require_tensors(x: Any, y: Any) -> None:
    """Raise InputError for arrays and prepared targets: operators of torch take tensors."""
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        raise InputError(
            "x and y",
            expected="tensors inside torch.compile",
            got=f"{type(x).__name__} and {type(y).__name__}",
            remedy="pass tensors, or call brenier outside the compiled function",
        )


def traced_candidates(x: Any, y: Any, h: Any, margin: float, engine: str | None) -> Candidates:
    """brenier.candidates while torch.compile traces it: tensors only. Raises InputError."""
    require_tensors(x, y)
    return Candidates(*torch.ops.brenier.candidates(x, y, h, margin, engine or CHOSEN))


def traced_assign(
    x: Any, y: Any, h: Any, counts: Tensor | None, return_scores: bool, exact: str, engine: str | None
) -> Any:
    """brenier.assign while torch.compile traces it: tensors only. Raises InputError for prepared targets."""
    require_tensors(x, y)
    winners, scores = torch.ops.brenier.assign(x, y, h, exact, engine or CHOSEN)
    if counts is not None:
        torch.ops.brenier.add_wins(counts, winners)
    return (winners, scores) if return_scores else winners
