"""The schedule is EDM's formula, and nothing but a falling schedule is accepted."""

import math

import pytest
import torch
from brenier.diffusion import edm_sigmas
from brenier.diffusion.schedules import check_sigmas
from brenier.errors import InputError


def test_levels_follow_the_formula_and_end_in_zero() -> None:
    sigmas = edm_sigmas(18)
    assert sigmas.shape == (19,)
    assert sigmas.dtype == torch.float64
    for i in range(18):
        low, high = 0.002 ** (1 / 7), 80 ** (1 / 7)
        assert sigmas[i].item() == pytest.approx((high + i / 17 * (low - high)) ** 7, rel=1e-12)
    assert sigmas[0] == 80
    assert sigmas[-1] == 0


def test_one_step_goes_from_the_top_to_zero() -> None:
    assert edm_sigmas(1).tolist() == [80.0, 0.0]


def test_large_rho_approaches_a_geometric_grid() -> None:
    ratios = edm_sigmas(9, rho=1e6)[:-1]
    ratios = ratios[1:] / ratios[:-1]
    assert ratios.max() / ratios.min() < 1.001


@pytest.mark.parametrize(
    "arguments",
    [(0,), (2.0,), (5, 0.0), (5, 2.0, 1.0), (5, 0.1, math.inf), (5, 0.1, 1.0, 0.0), (5, math.nan)],
)
def test_impossible_schedules_are_refused(arguments: tuple[float, ...]) -> None:
    with pytest.raises(InputError):
        edm_sigmas(*arguments)


@pytest.mark.parametrize(
    "levels", [[1.0], [1.0, 1.0], [1.0, 2.0], [1.0, -1.0], [math.nan, 0.0], [math.inf, 1.0]]
)
def test_levels_that_do_not_fall_to_zero_or_above_are_refused(levels: list[float]) -> None:
    with pytest.raises(InputError, match="sigmas"):
        check_sigmas(torch.tensor(levels))
