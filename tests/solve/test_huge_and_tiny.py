"""Huge and tiny targets and weights: fitted like others, or refused in words; never NaN."""

import warnings

import brenier
import pytest
import torch
from brenier.errors import InputError
from brenier.solve.problem import build_problem
from brenier.solve.start import gaussian_start
from helpers import known_answers as problems

CLOUD = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
WIDE = torch.randn(60, 400, generator=torch.Generator().manual_seed(0))
HUGE_AND_TINY = [1e37, 1e30, 1e20, 1e-20, 1e-38, 1e-42, 1e-44, 1e-45]


@pytest.mark.parametrize("scale", HUGE_AND_TINY)
@pytest.mark.parametrize("targets", [CLOUD, WIDE], ids=["full dimension", "subspaces"])
def test_huge_and_tiny_targets_are_fitted(targets: torch.Tensor, scale: float) -> None:
    result = brenier.fit(targets * scale, tol=0.3, progress=False)
    assert result.converged
    assert torch.isfinite(result.potential.heights).all()


@pytest.mark.parametrize("scale", [1e37, 1e30, 1e-44])
def test_huge_and_tiny_targets_are_fitted_in_two_levels(scale: float) -> None:
    result = brenier.fit_hierarchical(CLOUD * scale, parts=4, tol=0.3, progress=False)
    assert result.converged
    assert torch.isfinite(result.potential.heights).all()


@pytest.mark.parametrize("weight", [1e-30, 1e-100, 1e-300, 5e-324])
def test_tiny_weights_are_fitted(weight: float) -> None:
    weights = [1.0] + [weight] * 39
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", brenier.errors.NotConvergedWarning)
        results = [
            brenier.fit(CLOUD, weights=weights, tol=0.3, max_samples=20_000, progress=False),
            brenier.fit_hierarchical(
                CLOUD, weights=weights, parts=4, tol=0.3, max_samples=20_000, progress=False
            ),
        ]
    for result in results:
        assert torch.isfinite(result.potential.heights).all()
        assert (result.potential.assign(CLOUD) == 0).all()


@pytest.mark.parametrize("two_levels", [False, True])
def test_targets_beyond_float32_are_refused_in_words(two_levels: bool) -> None:
    fit = brenier.fit_hierarchical if two_levels else brenier.fit
    with pytest.raises(InputError, match="float32"):
        fit(CLOUD.double() * 1e300, progress=False)


def test_the_gaussian_start_scales_with_the_targets() -> None:
    line = torch.from_numpy(problems.line(200)[0])
    plain = gaussian_start(build_problem(line.float()))
    for power in (-100, -60, 60, 100):
        scaled = gaussian_start(build_problem(line.float() * 2.0**power))
        assert (abs(scaled / 2.0**power - plain) <= 1e-5 * abs(plain).max()).all()
