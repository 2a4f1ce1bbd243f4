"""Checks of a streamed fit use samples of their own, also after one that was refuted early."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from brenier.engine.ranks import Ranks
from brenier.solve import subspace_check

TARGETS = 400


def test_checks_refuted_early_draw_different_subspaces(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def one_target_wins_all(_sampler: Any, _heights: np.ndarray, subspace: int, rows: int) -> np.ndarray:
        drawn.append(subspace)
        return np.eye(1, TARGETS, dtype=np.int32)[0] * rows

    monkeypatch.setattr(subspace_check, "wins_of", one_target_wins_all)
    sampler = SimpleNamespace(widest=64, ahead=8, pass_for=lambda _subspace: None, ranks=Ranks())
    sampler.for_checks = lambda _subspace: sampler
    masses = np.full(TARGETS, 1 / TARGETS)
    for number in range(3):
        subspace_check.subspace_check(
            sampler, np.zeros(TARGETS), masses, tol=0.05, residual=1.0, number=number
        )
    assert len(drawn) == 3 * subspace_check.FIRST_ROUND
    assert len(set(drawn)) == len(drawn)
