"""Control variates of subspace sampling: their law, their slopes, and what they take out of a step's counts."""

import numpy as np
import pytest
import torch
from brenier.engine.circles import circle_candidates, circle_counts
from brenier.solve.control import ORDERS, Regression, length_variates
from brenier.solve.principal import principal_directions
from brenier.solve.problem import build_problem
from brenier.solve.sampling import FullSampler, SamplingPlan, SubspaceSampler
from brenier.solve.start import extreme_value_start, temperatures
from brenier.types import CIRCLE_POINTS, FIXED_POINT_ONE

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize("subspace", [1, 2, 7, 32, 256])
def test_variates_have_mean_0_and_are_orthogonal_under_their_law(subspace: int) -> None:
    draws = 400_000
    outside = np.full(draws, 3.0)
    kept = 3.0 * np.random.default_rng(subspace).chisquare(subspace, draws)
    variates = length_variates(kept, outside, outside, subspace)
    assert variates.shape == (ORDERS, draws)
    gram = variates @ variates.T / draws
    error = 5 * np.sqrt((np.square(variates[:, None] * variates[None]).mean(-1)) / draws)
    assert (np.abs(variates.mean(1)) < 5 / draws**0.5).all()
    assert (np.abs(gram - np.eye(ORDERS)) < error).all()


def test_variates_are_laguerre_polynomials() -> None:
    special = pytest.importorskip("scipy.special")
    kept, outside, whole = np.array([0.3, 5.0, 9.0]), np.array([1.0, 1.0, 0.5]), np.array([1.0, 4.0, 1.0])
    found = length_variates(kept, outside, whole, 10)
    for k in range(1, ORDERS + 1):
        polynomial = special.eval_genlaguerre(k, 4, kept / outside / 2) / special.binom(k + 4, k) ** 0.5
        np.testing.assert_allclose(found[k - 1], (outside / whole) ** k * polynomial, rtol=1e-12)


def test_targets_without_length_outside_the_principal_directions_have_none() -> None:
    """At the mean, in the span of the axes, or by rounding even below it."""
    kept, outside = np.array([0.0, 1e-9, 0.0]), np.array([0.0, 1e-9, -1e-12])
    assert not length_variates(kept, outside, np.array([0.0, 1.0, 1.0]), 8).any()


def test_slopes_find_a_planted_surplus_and_are_0_before_the_first_step() -> None:
    masses = GENERATOR.dirichlet(np.full(5000, 5.0))
    variates = GENERATOR.normal(size=(ORDERS, 5000))
    planted = np.array([-0.5, 0.3, 0.1])
    assert Regression().slopes == [0.0] * ORDERS
    assert not Regression().predicted(variates).any()
    found = masses * (1 + planted @ variates)
    slopes = Regression().learned(variates, masses, found).slopes
    np.testing.assert_allclose(slopes, planted, atol=0.05)


def test_a_step_never_corrects_itself() -> None:
    """What a step finds changes the slopes of the next ones only, or its own estimate would be biased."""
    masses, variates = np.full(50, 0.02), GENERATOR.normal(size=(ORDERS, 50))
    before = Regression()
    after = before.learned(variates, masses, masses * 1.5)
    assert before.slopes == [0.0] * ORDERS != after.slopes


def test_independent_draws_have_no_variates() -> None:
    assert FullSampler(torch.eye(3), 0).variates(np.ones(3)) is None


def test_control_takes_out_most_of_what_a_subspace_s_samples_have_in_common_and_moves_no_mean() -> None:
    problem = build_problem(torch.randn(1500, 400, generator=torch.Generator().manual_seed(0)))
    targets, batch, steps = problem.targets, 400, 60
    assert isinstance(targets, torch.Tensor)
    heights, epsilon = extreme_value_start(problem), 0.5 * float(np.median(temperatures(problem)))
    sampler = SubspaceSampler(targets, SamplingPlan(16, 0, 0.0), principal_directions(targets), 3)
    plain, corrected, control = [], [], Regression()
    for k in range(steps):
        sampler.begin(k)
        draw = sampler.draw_circles(k * batch, batch)
        found = circle_candidates(draw.noise, draw.targets, torch.from_numpy(heights), margin=epsilon)
        weight = circle_counts(found, torch.from_numpy(heights), epsilon).weight.double().numpy()
        weight /= FIXED_POINT_ONE * CIRCLE_POINTS * (batch // 2)
        variates = sampler.variates(problem.norms)
        plain.append(weight)
        corrected.append(weight - problem.masses * control.predicted(variates))
        control = control.learned(variates, problem.masses, weight)
    before, after = np.array(plain)[4:], np.array(corrected)[4:]
    assert after.var(axis=0).sum() < 0.5 * before.var(axis=0).sum()
    moved = (after - before).sum(axis=1)
    assert abs(moved.mean()) < 4 * moved.std() / len(moved) ** 0.5
    assert moved.std() < 0.2
