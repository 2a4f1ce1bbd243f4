"""The error estimate that decides convergence."""

import numpy as np
import pytest
from brenier.solve.check import (
    Check,
    chi_square,
    chi_square_stderr,
    converged,
    full_check_samples,
    hopeless,
)


@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_chi_square_is_unbiased_and_its_standard_error_not_too_small(tilt: float) -> None:
    generator = np.random.default_rng(7)
    wanted = generator.dirichlet(np.full(40, 5.0))
    actual = wanted * (1 + tilt * np.where(np.arange(40) % 2, 1, -1))
    actual /= actual.sum()
    truth = float(((actual - wanted) ** 2 / wanted).sum())
    found = [chi_square(generator.multinomial(500, actual), wanted) for _ in range(2000)]
    errors = np.array([error for error, _ in found])
    assert errors.mean() == pytest.approx(truth, abs=4 * errors.std() / 2000**0.5)
    ratio = np.mean([stderr for _, stderr in found]) / errors.std()
    assert 0.9 < ratio < 1.5


def test_too_few_samples_say_nothing() -> None:
    error, stderr = chi_square(np.array([1, 0]), np.array([0.5, 0.5]))
    assert np.isnan(error)
    assert stderr == np.inf


def test_convergence_needs_two_standard_errors() -> None:
    assert converged(Check(100, 0.03, 0.01), 0.05)
    assert not converged(Check(100, 0.031, 0.01), 0.05)
    assert not converged(None, 0.05)
    assert not converged(Check(1, float("nan"), float("inf")), 0.05)
    assert hopeless(Check(100, 0.08, 0.01), 0.05)
    assert not hopeless(Check(100, 0.06, 0.01), 0.05)


@pytest.mark.parametrize("targets", [1, 10, 1797, 50_000])
def test_a_full_check_reaches_the_precision_it_aims_for(targets: int) -> None:
    samples = full_check_samples(targets, 0.05)
    assert chi_square_stderr(0.025, samples, targets) <= 0.1 * 0.05
