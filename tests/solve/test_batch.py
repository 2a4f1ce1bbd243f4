"""Draws of a step in chunks: their sizes follow the lists that were met, and change no bit."""

import brenier
import pytest
import torch
from brenier.solve import batch
from brenier.solve.problem import build_problem
from brenier.solve.sampling import FullSampler
from brenier.solve.start import extreme_value_start
from brenier.solve.state import State

CLOUD = torch.randn(300, 24, generator=torch.Generator().manual_seed(5))


def heights() -> torch.Tensor:
    return brenier.fit(CLOUD, tol=0.3, progress=False).potential.heights


def test_heights_do_not_depend_on_how_draws_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = heights()
    monkeypatch.setattr(batch, "ENTRIES", 1 << 14)  # too few for all draws of a step
    for caution in (1, 4, 1 << 20):
        monkeypatch.setattr(batch, "CAUTION", caution)
        assert torch.equal(heights(), whole)


def test_a_step_begins_with_few_draws_until_lists_were_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "ENTRIES", 1 << 14)
    problem = build_problem(CLOUD)
    start = extreme_value_start(problem)
    sampler, state = FullSampler(CLOUD, 0), State(start, start, problem.masses)
    first, second = ([c.circles for c in batch.circle_chunks(sampler, state, 768, 0.5)] for _ in range(2))
    assert first[0] == batch.FIRST_ROWS // 2 < second[0]
    assert sum(first) == sum(second) == 384
