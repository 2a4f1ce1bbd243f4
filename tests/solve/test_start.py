"""Where the solver starts."""

import numpy as np
import pytest
import torch
from brenier.solve.problem import build_problem
from brenier.solve.start import choose_start, extreme_value_start, quantiles, temperatures
from helpers import known_answers as problems


def test_quantiles_keep_their_digits_for_small_masses_and_stay_finite_for_a_whole_one() -> None:
    z = quantiles(np.array([0.5, 1e-12, 1.0]))
    assert z[0] == 0
    assert z[1] == pytest.approx(7.034483825, rel=1e-8)
    assert np.isfinite(z).all()


def test_independent_scores_start_at_the_extreme_value_heights() -> None:
    problem = build_problem(problems.image_like(100, 300))
    start = choose_start(problem, 0)
    assert start.kind == "extreme value"
    assert np.array_equal(start.heights, -problem.norms * quantiles(problem.masses))


def test_many_targets_in_few_dimensions_start_from_a_gaussian_close_to_the_answer() -> None:
    y, masses, exact = problems.line(200)
    start = choose_start(build_problem(torch.from_numpy(y)), 0)
    assert start.kind == "Gaussian"
    heights = start.heights - masses @ start.heights
    assert np.corrcoef(heights, exact)[0, 1] > 0.99


def test_a_target_at_the_centre_and_a_heavy_target_have_a_temperature() -> None:
    targets = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    problem = build_problem(targets, np.array([0.8, 0.1, 0.1]))
    assert (temperatures(problem) > 0).all()
    assert np.isfinite(temperatures(problem)).all()
    assert np.isfinite(extreme_value_start(problem)).all()
