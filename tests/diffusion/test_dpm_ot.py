"""DPM-OT sampling starts where its latents lie, and each sample depends on its own noise."""

import pytest
import torch
from brenier.data import ArraySource
from brenier.data.latents import NoisedLatents
from brenier.diffusion import DPMOTSamples, edm_sigmas, sample_dpm_ot, sample_heun
from brenier.errors import InputError
from torch import Tensor

IMAGES = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
SIGMAS = edm_sigmas(12)
M = 5
LATENTS = NoisedLatents(IMAGES, sigma=float(SIGMAS[-(M + 1)]), seed=3)


class BestProduct:
    """The potential with heights 0 over some targets."""

    def __init__(self, targets: Tensor) -> None:
        self.targets = targets

    def assign(self, x: Tensor) -> Tensor:
        return (x @ self.targets.T).argmax(dim=1)


POTENTIAL = BestProduct(LATENTS.materialise())
NOISE = torch.randn(9, 6, generator=torch.Generator().manual_seed(1))


def shrink(x: Tensor, sigma: float) -> Tensor:
    return x / (1 + float(sigma) ** 2)


def test_it_is_the_potential_then_the_last_heun_steps() -> None:
    result = sample_dpm_ot(shrink, POTENTIAL, NOISE, SIGMAS, M, latents=LATENTS)
    assert torch.equal(result.indices, POTENTIAL.assign(NOISE))
    assert torch.equal(result.starts, LATENTS.take(result.indices))
    assert torch.equal(result.samples, sample_heun(shrink, result.starts, SIGMAS[-(M + 1) :]))


@pytest.mark.parametrize("last", [1, 4, 12])
def test_it_evaluates_twice_per_step_but_once_in_the_last(last: int) -> None:
    calls = []

    def counted(x: Tensor, sigma: float) -> Tensor:
        calls.append(sigma)
        return shrink(x, sigma)

    latents = NoisedLatents(IMAGES, sigma=float(SIGMAS[-(last + 1)]))
    sample_dpm_ot(counted, BestProduct(latents.materialise()), NOISE, SIGMAS, last, latents=latents)
    assert len(calls) == 2 * last - 1
    assert calls[0] == latents.sigma


def test_the_exact_denoiser_at_a_low_level_returns_the_targets_own_image() -> None:
    apart = 20 * IMAGES  # far apart against the level of the latents

    def denoise(x: Tensor, sigma: float) -> Tensor:
        """D(x; σ) = Σ_i softmax_i(−‖x − y_i‖²/(2σ²))·y_i, exact for this data set."""
        return torch.softmax(-(torch.cdist(x, apart) ** 2) / (2 * float(sigma) ** 2), dim=1) @ apart

    latents = NoisedLatents(apart, sigma=LATENTS.sigma)
    potential = BestProduct(latents.materialise())
    result = sample_dpm_ot(denoise, potential, NOISE, SIGMAS, M, latents=latents)
    torch.testing.assert_close(result.samples, apart[result.indices], atol=1e-3, rtol=0)


def test_fresh_samples_depend_on_their_own_noise_and_seed_alone() -> None:
    seeds = list(range(40, 49))

    def draw(rows: slice) -> Tensor:
        return sample_dpm_ot(
            shrink, POTENTIAL, NOISE[rows], SIGMAS, M, latents=LATENTS, fresh=True, seeds=seeds[rows]
        ).starts

    together = draw(slice(0, 9))
    assert torch.equal(torch.cat([draw(slice(0, 2)), draw(slice(2, 9))]), together)
    stored = sample_dpm_ot(shrink, POTENTIAL, NOISE, SIGMAS, M, latents=LATENTS)
    assert not torch.equal(stored.starts, together)


@pytest.mark.parametrize("last", [M - 1, M + 1])
def test_latents_at_another_level_are_refused(last: int) -> None:
    with pytest.raises(InputError, match="start level"):
        sample_dpm_ot(shrink, POTENTIAL, NOISE, SIGMAS, last, latents=LATENTS)


@pytest.mark.parametrize(
    "other",
    [
        NoisedLatents(IMAGES, sigma=LATENTS.sigma, seed=4),
        NoisedLatents(IMAGES.flip(0), sigma=LATENTS.sigma, seed=3),
        NoisedLatents(IMAGES[:-1], sigma=LATENTS.sigma, seed=3),
    ],
)
def test_latents_the_potential_was_not_fitted_to_are_refused(other: NoisedLatents) -> None:
    with pytest.raises(InputError, match="latents"):
        sample_dpm_ot(shrink, POTENTIAL, NOISE, SIGMAS, M, latents=other)


def test_a_streamed_potential_is_checked_through_its_source() -> None:
    streamed = BestProduct(LATENTS.materialise())
    streamed.targets = ArraySource(LATENTS.materialise())
    assert sample(streamed).starts.shape == (9, 6)
    streamed.targets = ArraySource(LATENTS.materialise().flip(0))
    with pytest.raises(InputError, match="fitted to"):
        sample(streamed)


def sample(potential: BestProduct) -> DPMOTSamples:
    best = POTENTIAL.assign(NOISE)
    potential.assign = lambda _: best
    return sample_dpm_ot(shrink, potential, NOISE, SIGMAS, M, latents=LATENTS)


def test_scaled_latents_are_refused() -> None:
    scaled = NoisedLatents(IMAGES, sigma=LATENTS.sigma, scale=0.9)
    with pytest.raises(InputError, match="scale 1"):
        sample_dpm_ot(shrink, POTENTIAL, NOISE, SIGMAS, M, latents=scaled)


@pytest.mark.parametrize("last", [0, 13, 2.0])
def test_step_counts_outside_of_the_schedule_are_refused(last: int) -> None:
    with pytest.raises(InputError, match="last_steps"):
        sample_dpm_ot(shrink, POTENTIAL, NOISE, SIGMAS, last, latents=LATENTS)


@pytest.mark.parametrize("changes", [{"fresh": True}, {"seeds": range(9)}, {"fresh": True, "seeds": [1]}])
def test_seeds_come_with_fresh_noise_and_one_per_sample(changes: dict[str, object]) -> None:
    with pytest.raises(InputError, match="seeds"):
        sample_dpm_ot(shrink, POTENTIAL, NOISE, SIGMAS, M, latents=LATENTS, **changes)
