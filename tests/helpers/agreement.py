"""Equality of an engine's answers with the reference's: no tolerance anywhere."""

from __future__ import annotations

from typing import Any

import torch
from brenier.engine.reference import ReferenceEngine
from brenier.types import Candidates
from helpers.problems import Problem
from torch import Tensor

REFERENCE = ReferenceEngine()


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal shape and bits: tells -0.0 from 0.0."""
    if a.dtype == torch.float64:
        a, b = a.contiguous().view(torch.int64), b.contiguous().view(torch.int64)
    return torch.equal(a, b)


def assert_assign_agrees(engine: Any, p: Problem) -> None:
    winners, scores = engine.assign(p.x, engine.prepare(p.y), p.h)
    expected_winners, expected_scores = REFERENCE.assign(p.x, p.y, p.h)
    assert winners.dtype == torch.int64
    assert same_bits(winners, expected_winners)
    assert same_bits(scores, expected_scores)


def assert_candidates_agree(engine: Any, p: Problem, margin: float) -> None:
    assert_same_candidates(
        engine.candidates(p.x, engine.prepare(p.y), p.h, margin),
        REFERENCE.candidates(p.x, p.y, p.h, margin),
    )


def assert_same_candidates(found: Candidates, expected: Candidates) -> None:
    assert same_bits(found.offsets, expected.offsets)
    assert same_bits(found.indices, expected.indices)
    assert same_bits(found.scores, expected.scores)


def margins(p: Problem) -> tuple[float, ...]:
    """No margin, a share of the spread of the scores, and more than the spread."""
    if len(p.x) == 0 or len(p.y) == 0:
        return (0.0, 1.0)
    best = REFERENCE.assign(p.x, p.y, p.h)[1]
    worst = -REFERENCE.assign(p.x, -p.y, -p.h.nan_to_num(neginf=0.0))[1]
    spread = float((best - worst).nan_to_num(posinf=0.0, neginf=0.0).abs().max())
    return (0.0, 0.1 * spread, min(2 * spread, 1e308))
