"""Annealed Langevin dynamics against mixtures whose score is known, and the schedules of the paper."""

import pytest
import torch
from brenier.diffusion import (
    LangevinSchedule,
    denoiser_of,
    first_noise,
    sample_heun,
    sample_langevin,
    score_of,
)
from brenier.diffusion.langevin import PUBLISHED, langevin_epsilon
from brenier.errors import InputError
from helpers.mixture import apart
from torch import Tensor

MIXTURE = apart(distance=4.0, spread=0.2)
SHORT = LangevinSchedule.geometric(10.0, 0.02, 36)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_papers_rule_for_epsilon_gives_the_papers_epsilon(name: str) -> None:
    schedule = LangevinSchedule.published(name)
    high, low, levels, steps_each, epsilon = PUBLISHED[name]
    assert float(schedule.sigmas[0]) == high
    assert float(schedule.sigmas[-1]) == low
    assert schedule.steps == levels
    assert langevin_epsilon(schedule.sigmas, steps_each) == pytest.approx(epsilon, rel=0.02)


def test_the_whole_schedule_finds_all_parts_of_a_mixture_with_their_spread() -> None:
    seeds = range(300)
    start = 10.0 * first_noise(seeds, 4)
    samples = sample_langevin(score_of(MIXTURE.denoise), start, SHORT, seeds=seeds)
    nearest = MIXTURE.nearest(samples)
    shares = torch.bincount(nearest, minlength=6) / 300
    torch.testing.assert_close(shares, torch.full((6,), 1 / 6), atol=0.08, rtol=0)
    deviation = (samples - MIXTURE.centres[nearest]).std()
    assert deviation == pytest.approx(MIXTURE.spread, rel=0.15)


@pytest.mark.parametrize("last", [1, 6, 14])
def test_the_last_levels_recover_what_was_noised_to_their_start(last: int) -> None:
    data, parts = MIXTURE.draw(300)
    level = SHORT.start(last)
    noised = level.scale * data + level.sigma * first_noise(range(300), 4)
    result = sample_langevin(score_of(MIXTURE.denoise), noised, SHORT, seeds=range(300), last_steps=last)
    assert (MIXTURE.nearest(result) == parts).float().mean() > 0.99
    assert (result - MIXTURE.centres[parts]).std() == pytest.approx(MIXTURE.spread, rel=0.15)


def test_one_step_is_the_formula_of_the_paper() -> None:
    schedule = LangevinSchedule(torch.tensor([0.5, 0.1]), steps_each=1, epsilon=1e-3, denoise=False)
    x = torch.ones(1, 4)
    noise = sample_langevin(lambda x, _: torch.zeros_like(x), 0 * x, schedule, seeds=[7], last_steps=1)
    score = sample_langevin(lambda x, s: x * s, x, schedule, seeds=[7], last_steps=1)
    torch.testing.assert_close(score, x + 1e-3 * 0.1 * x + noise)
    first = sample_langevin(lambda x, _: torch.zeros_like(x), 0 * x, schedule, seeds=[7])
    assert (first - noise).std() < 10 * (2 * 1e-3 * 25) ** 0.5  # α = ε(σ/σ_L)²
    assert (first - noise).std() > 0.05 * (2 * 1e-3 * 25) ** 0.5


def test_the_denoising_step_is_the_denoiser_at_the_lowest_level() -> None:
    with_step = LangevinSchedule(torch.tensor([0.3]), steps_each=1, epsilon=1e-9)
    x = MIXTURE.draw(5)[0]
    result = sample_langevin(score_of(MIXTURE.denoise), x, with_step, seeds=range(5))
    torch.testing.assert_close(result, MIXTURE.denoise(x, 0.3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("denoise", [True, False])
def test_evaluations_are_counted_as_made(denoise: bool) -> None:
    schedule = LangevinSchedule.geometric(1.0, 0.01, 10, steps_each=3, epsilon=1e-5, denoise=denoise)
    calls: list[float] = []

    def counted(x: Tensor, sigma: float) -> Tensor:
        calls.append(sigma)
        return -x

    sample_langevin(counted, torch.ones(2, 3), schedule, seeds=[1, 2], last_steps=4)
    assert len(calls) == schedule.evaluations(4) == 12 + denoise
    assert calls[0] == schedule.start(4).sigma == float(schedule.sigmas[-4])


def test_a_sample_depends_on_its_own_seed_alone() -> None:
    x, seeds = MIXTURE.draw(7)[0], [5, 3, 9, 2, 2**63, 0, 1]

    def draw(rows: slice) -> Tensor:
        return sample_langevin(lambda x, _: -x, x[rows], SHORT, seeds=seeds[rows], last_steps=3)

    together = draw(slice(0, 7))
    assert torch.equal(torch.cat([draw(slice(0, 1)), draw(slice(1, 7))]), together)
    assert not torch.equal(draw(slice(0, 1)), sample_langevin(lambda x, _: -x, x[:1], SHORT, seeds=[6]))


def test_a_score_and_its_denoiser_are_inverse_to_each_other() -> None:
    x = MIXTURE.draw(9)[0] + 0.4
    again = denoiser_of(score_of(MIXTURE.denoise))
    torch.testing.assert_close(again(x, 0.4), MIXTURE.denoise(x, 0.4))
    sigmas = torch.tensor([0.4, 0.1, 0.0])
    torch.testing.assert_close(sample_heun(again, x, sigmas), sample_heun(MIXTURE.denoise, x, sigmas))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigmas": torch.tensor([0.1, 0.5])}, "sigmas"),
        ({"sigmas": torch.tensor([0.5, 0.0])}, "sigmas"),
        ({"steps_each": 0}, "steps_each"),
        ({"epsilon": float("nan")}, "epsilon"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(changes: dict[str, object], message: str) -> None:
    good = {"sigmas": torch.tensor([0.5, 0.1]), "steps_each": 1, "epsilon": 1e-3}
    with pytest.raises(InputError, match=message):
        LangevinSchedule(**(good | changes))


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(InputError, match="cifar10"):
        LangevinSchedule.published("imagenet")
    with pytest.raises(InputError, match="levels"):
        LangevinSchedule.geometric(0.1, 1.0, 5)
    with pytest.raises(InputError, match="seeds"):
        sample_langevin(lambda x, _: x, torch.ones(2, 3), SHORT, seeds=[1])
    with pytest.raises(InputError, match="last_steps"):
        sample_langevin(lambda x, _: x, torch.ones(2, 3), SHORT, seeds=[1, 2], last_steps=37)
    with pytest.raises(InputError, match="x"):
        sample_langevin(lambda x, _: x, torch.full((2, 3), float("nan")), SHORT, seeds=[1, 2])
