"""DDIM and DDPM against mixtures whose predictions are known, whatever the model predicts."""

import math

import pytest
import torch
from brenier.diffusion import (
    VPSchedule,
    edm_sigmas,
    first_noise,
    noise_of,
    sample_ddim,
    sample_ddpm,
)
from brenier.diffusion.ddim import Prediction
from brenier.diffusion.process import Model
from brenier.errors import InputError
from helpers.mixture import apart
from torch import Tensor

MIXTURE = apart(distance=4.0, spread=0.2)
SCHEDULE = VPSchedule.linear(60)


def exact(schedule: VPSchedule) -> Model:
    """What an ideal network of that schedule predicts."""

    def predict(x: Tensor, timestep: int) -> Tensor:
        level = schedule.level(timestep)
        clean = MIXTURE.denoise_at(x, level)
        epsilon = (x - level.scale * clean) / level.sigma
        v = level.scale * epsilon - level.sigma * clean
        return {"epsilon": epsilon, "sample": clean, "v_prediction": v}[schedule.prediction]

    return predict


def of_the_mixture(samples: Tensor) -> None:
    nearest = MIXTURE.nearest(samples)
    shares = torch.bincount(nearest, minlength=6) / len(samples)
    torch.testing.assert_close(shares, torch.full((6,), 1 / 6), atol=0.07, rtol=0)
    assert (samples - MIXTURE.centres[nearest]).std() == pytest.approx(MIXTURE.spread, rel=0.15)


def test_both_draw_from_the_mixture() -> None:
    seeds, fine = range(400), VPSchedule.linear(150)
    noise = first_noise(seeds, 4)
    of_the_mixture(sample_ddim(exact(SCHEDULE), noise, SCHEDULE))
    of_the_mixture(sample_ddpm(exact(fine), noise, fine, seeds=seeds))


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_last_steps_recover_what_was_noised_to_their_start(prediction: Prediction, eta: float) -> None:
    schedule = VPSchedule.linear(60, prediction=prediction, eta=eta)
    data, parts = MIXTURE.draw(300)
    level = schedule.start(12)
    noised = level.scale * data + level.sigma * first_noise(range(300), 4)
    result = sample_ddim(exact(schedule), noised, schedule, seeds=range(300), last_steps=12)
    assert (MIXTURE.nearest(result) == parts).float().mean() > 0.98
    assert (result - MIXTURE.centres[parts]).std() == pytest.approx(MIXTURE.spread, rel=0.25)


def test_ddim_steps_follow_the_exact_path_of_one_gaussian() -> None:
    spread, sigmas = 0.7, edm_sigmas(400, sigma_max=20.0)
    schedule = VPSchedule.from_sigmas(sigmas)
    denoiser = lambda x, sigma: x * spread**2 / (spread**2 + sigma**2)  # noqa: E731
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    start = schedule.start(400)
    result = sample_ddim(noise_of(denoiser, schedule), x, schedule)
    path = spread / math.sqrt(spread**2 + (start.sigma / start.scale) ** 2)  # x/√(s² + σ²) is constant
    torch.testing.assert_close(result, x / start.scale * path, rtol=0.02, atol=0)


def test_a_ve_schedule_seen_as_vp_has_its_levels() -> None:
    sigmas = edm_sigmas(10)
    schedule = VPSchedule.from_sigmas(sigmas)
    assert schedule.steps == 10
    for last in (1, 4, 10):
        level = schedule.start(last)
        assert level.sigma / level.scale == pytest.approx(float(sigmas[-(last + 1)]), rel=1e-9)
        assert level.sigma**2 + level.scale**2 == pytest.approx(1)


def test_ddpm_over_every_timestep_has_the_smaller_variance_of_the_paper() -> None:
    schedule = VPSchedule.linear(1000)
    alphas = schedule.alphas_cumprod
    x = torch.zeros(1, 40_000, dtype=torch.float64)
    short = VPSchedule(alphas[:2], torch.tensor([1, 0]), eta=1.0, prediction="sample")
    after = sample_ddpm(lambda x, _: torch.zeros_like(x), x, short, seeds=[3])
    assert not after.any()  # the last step adds no noise, and its mean is the prediction
    stop = VPSchedule(alphas, torch.tensor([500, 499]), eta=1.0, prediction="sample")
    seen: list[Tensor] = []
    sample_ddpm(lambda x, _: (seen.append(x), torch.zeros_like(x))[1], x, stop, seeds=[3])
    beta = 1 - alphas[500] / alphas[499]
    posterior = beta * (1 - alphas[499]) / (1 - alphas[500])
    assert float(seen[1].std()) == pytest.approx(math.sqrt(posterior), rel=0.02)


def test_a_sample_depends_on_its_own_seed_alone() -> None:
    x, seeds = MIXTURE.draw(6)[0], [5, 3, 9, 2, 8, 0]

    def draw(rows: slice) -> Tensor:
        return sample_ddpm(lambda x, _: x, x[rows], SCHEDULE, seeds=seeds[rows], last_steps=5)

    assert torch.equal(torch.cat([draw(slice(0, 2)), draw(slice(2, 6))]), draw(slice(0, 6)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.tensor([0.5, 0.9]), torch.tensor([1, 0])), "alphas"),
        ((torch.tensor([0.9, 0.5]), torch.tensor([2, 0])), "timesteps"),
        ((torch.tensor([0.9, 0.5]), torch.tensor([0, 1])), "timesteps"),
        ((torch.tensor([0.9, 0.5]), torch.tensor([1.0, 0.0])), "timesteps"),
        ((torch.tensor([0.9, 0.5]), torch.tensor([1, 0]), 1.5), "eta"),
        ((torch.tensor([0.9, 0.5]), torch.tensor([1, 0]), 0.0, "noise"), "prediction"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        VPSchedule(*arguments)


def test_noise_in_the_steps_needs_seeds() -> None:
    noisy = VPSchedule.linear(5, eta=0.5)
    with pytest.raises(InputError, match="seeds"):
        sample_ddim(lambda x, _: x, torch.ones(2, 3), noisy)
