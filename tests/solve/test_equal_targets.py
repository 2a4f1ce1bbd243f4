"""Targets that are all equal: alone, as a class, as a part. Their masses must not add up to more than 1."""

import brenier
import pytest
import torch
from brenier.solve.problem import build_problem

CLOUD = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))


def test_masses_of_equal_targets_never_add_up_to_more_than_the_whole() -> None:
    for n in range(1, 400):
        mass = build_problem(torch.zeros(n, 1)).masses.item()
        assert 1 - 1e-12 < mass <= 1, n


@pytest.mark.parametrize("weighted", [False, True])
def test_any_number_of_equal_targets_is_fitted(weighted: bool) -> None:
    for n in range(2, 61):
        weights = torch.full((n,), 0.1) if weighted else None
        result = brenier.fit(torch.full((n, 3), 0.5), weights=weights, progress=False)
        assert result.converged, n
        assert (result.potential.assign(CLOUD) == 0).all(), n


def test_a_class_of_equal_targets_is_fitted() -> None:
    targets, labels = torch.cat([torch.zeros(40, 3), CLOUD[:30]]), [0] * 40 + [1] * 30
    result = brenier.fit(targets, labels=labels, tol=0.3, progress=False)
    assert result.converged
    assert (result.potential.assign(CLOUD, [0] * 60) == 0).all()


@pytest.mark.parametrize("copies", [9, 40, 49])
def test_a_part_of_equal_targets_is_fitted(copies: int) -> None:
    targets = torch.cat([CLOUD, torch.full((copies, 3), 5.0)])
    parts = [0] * 60 + [1] * copies
    result = brenier.fit_hierarchical(targets, parts=parts, tol=0.3, progress=False)
    assert result.converged
    assert brenier.fit_hierarchical(targets[60:], parts=1, tol=0.3, progress=False).converged
