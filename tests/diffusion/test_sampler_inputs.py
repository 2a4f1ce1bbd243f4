"""Samplers say what is wrong with odd input, and never return numbers that are none."""

from collections.abc import Callable

import pytest
import torch
from brenier import Potential
from brenier.data import NoisedLatents
from brenier.diffusion import (
    DPMOTSamples,
    LangevinSchedule,
    VPSchedule,
    edm_sigmas,
    first_noise,
    sample_ddim,
    sample_dpm_ot,
    sample_heun,
    sample_langevin,
    start_level,
)
from brenier.errors import BrenierError, InputError
from torch import Tensor

DATA = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
NOISE = first_noise(range(9), 6)
SIGMAS, LAST = edm_sigmas(10), 4
LATENTS = NoisedLatents(DATA, sigma=start_level(SIGMAS, LAST).sigma)
POTENTIAL = Potential.of(LATENTS.materialise(), torch.zeros(40))
LANGEVIN = LangevinSchedule.geometric(10.0, 0.1, 5)
SAMPLERS: dict[str, Callable[[Callable], Tensor]] = {
    "heun": lambda model: sample_heun(model, NOISE, SIGMAS),
    "langevin": lambda model: sample_langevin(model, NOISE, LANGEVIN, seeds=range(9)),
    "ddim": lambda model: sample_ddim(model, NOISE, VPSchedule.linear(5)),
}


def shrink(x: Tensor, sigma: float) -> Tensor:
    return x / (1 + float(sigma) ** 2)


def draw(**changes: object) -> DPMOTSamples:
    options = {"noise": NOISE, "latents": LATENTS} | changes
    return sample_dpm_ot(shrink, POTENTIAL, options.pop("noise"), SIGMAS, LAST, **options)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_model_that_answers_nan_is_an_error_that_counts_the_samples(name: str) -> None:
    def spoiled(x: Tensor, _: float) -> Tensor:
        return torch.where(torch.arange(len(x))[:, None] == 3, torch.nan, 0 * x)

    with pytest.raises(BrenierError, match="1 of 9, number 3"):
        SAMPLERS[name](spoiled)


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_answer_that_would_be_broadcast_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="model"):
        SAMPLERS[name](lambda x, _: x[:, :1])


def test_steps_so_large_that_langevin_dynamics_diverges_are_an_error() -> None:
    wild = LangevinSchedule(torch.tensor([1.0, 0.5]), steps_each=5, epsilon=1e12)
    with pytest.raises(BrenierError, match="samples"):
        sample_langevin(lambda x, sigma: -x / sigma**2, NOISE, wild, seeds=range(9))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": torch.full((2, 6), torch.nan)}, "finite"),
        ({"noise": NOISE[:, :5]}, "d = 6"),
        ({"noise": NOISE[0]}, "samples"),
        ({"noise": NOISE.numpy()}, "tensor"),
        ({"noise": NOISE.long()}, "floating"),
        ({"image_shape": (5,)}, "image_shape"),
        ({"noise": None, "seeds": [1.5, 2]}, "whole numbers"),
        ({"noise": None, "seeds": [-1]}, "seed"),
        ({"noise": None, "seeds": [2**64]}, "seed"),
        ({"guidance": 3.0}, "labels with them"),
        ({"null_label": 3}, "labels with them"),
        ({"top": 41}, "count"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw(**changes)


def test_seeds_may_be_any_whole_numbers_in_any_container() -> None:
    listed = draw(noise=None, seeds=[3, 1])
    for seeds in (torch.tensor([3, 1]), (k for k in (3, 1)), torch.tensor([3, 1]).numpy()):
        assert torch.equal(draw(noise=None, seeds=seeds).samples, listed.samples)


def test_float64_and_half_noise_and_noise_with_gradients_are_taken() -> None:
    for noise in (NOISE.double(), NOISE.half(), NOISE.clone().requires_grad_()):
        samples = draw(noise=noise).samples
        assert not samples.requires_grad
        assert samples.isfinite().all()
    assert not sample_heun(shrink, NOISE.clone().requires_grad_(), SIGMAS).requires_grad


def test_the_whole_schedule_and_a_single_step_run() -> None:
    for steps, last in ((1, 1), (6, 6)):
        sigmas = edm_sigmas(steps)
        latents = NoisedLatents(DATA, sigma=start_level(sigmas, last).sigma)
        potential = Potential.of(latents.materialise(), torch.zeros(40))
        assert sample_dpm_ot(shrink, potential, NOISE, sigmas, last, latents=latents).samples.shape == (9, 6)


@pytest.mark.parametrize("rho", [0.05, 1.0, 7.0, 90.0, 1e6])
def test_schedules_end_at_both_levels_for_any_rho_that_can_be_computed(rho: float) -> None:
    levels = edm_sigmas(5, 0.002, 80.0, rho)
    assert (levels[0], levels[4], levels[5]) == (80.0, 0.002, 0.0)
    assert (levels.diff() < 0).all()


def test_a_rho_too_small_to_compute_and_lists_for_tensors_are_refused() -> None:
    with pytest.raises(InputError, match="rho"):
        edm_sigmas(5, rho=1e-3)
    with pytest.raises(InputError, match="alphas_cumprod"):
        VPSchedule([0.9, 0.5], torch.tensor([1, 0]))
    with pytest.raises(InputError, match="timesteps"):
        VPSchedule(torch.tensor([0.9, 0.5]), [1, 0])


def test_levels_that_are_neither_a_tensor_nor_a_schedule_are_refused() -> None:
    for call in (
        lambda: start_level([80.0, 1.0, 0.0], 1),
        lambda: sample_dpm_ot(shrink, POTENTIAL, NOISE, [80.0, 0.0], 1, latents=LATENTS),
    ):
        with pytest.raises(InputError, match="edm_sigmas"):
            call()
