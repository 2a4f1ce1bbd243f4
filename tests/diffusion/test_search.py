"""The schedule search finds what a sum can show."""

import pytest
import torch
from brenier.diffusion import edm_sigmas, sample_heun, search_schedule
from brenier.diffusion.search import ScheduleSearch, Trial
from brenier.errors import BrenierError, InputError
from torch import Tensor

NOISE = torch.randn(64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def gaussian(x: Tensor, sigma: float) -> Tensor:
    return x * 0.25 / (0.25 + float(sigma) ** 2)


def off(samples: Tensor) -> float:
    """How far the samples are from the exact end of their paths."""
    exact = NOISE * 80 * 0.5 / (0.25 + 80**2) ** 0.5
    return float((samples - exact).square().mean())


def test_every_trial_is_that_of_the_sampler_and_the_curve_takes_the_best() -> None:
    found = search_schedule(gaussian, NOISE, off, steps=(6, 3), rhos=(2.0, 7.0), progress=False)
    assert [(t.steps, t.rho) for t in found.trials] == [(3, 2.0), (3, 7.0), (6, 2.0), (6, 7.0)]
    for trial in found.trials:
        samples = sample_heun(gaussian, 80 * NOISE, edm_sigmas(trial.steps, rho=trial.rho))
        assert trial.quality == off(samples)
    curve = found.curve()
    assert [point.evaluations for point in curve] == [5, 11]
    assert curve[1].quality == min(trial.quality for trial in found.trials[2:])
    assert curve[1].quality < curve[0].quality


def test_the_best_is_the_cheapest_within_the_slack() -> None:
    trials = tuple(Trial(s, 2 * s - 1, 7.0, q) for s, q in ((3, 2.0), (4, 1.05), (5, 1.0), (6, 1.2)))
    found = ScheduleSearch(trials)
    assert found.best().evaluations == 9
    assert found.best(slack=0.1).evaluations == 7
    assert found.best(most_evaluations=6).evaluations == 5
    with pytest.raises(InputError, match="most_evaluations"):
        found.best(most_evaluations=4)


def test_one_step_is_tried_once_and_nan_is_an_error() -> None:
    assert len(search_schedule(gaussian, NOISE, off, steps=(1,), progress=False).trials) == 1
    with pytest.raises(BrenierError, match="NaN"):
        search_schedule(gaussian, NOISE, lambda _: float("nan"), steps=(2,), progress=False)
    with pytest.raises(InputError):
        search_schedule(gaussian, NOISE, off, steps=(), progress=False)
