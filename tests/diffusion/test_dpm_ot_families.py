"""DPM-OT is one map and the last steps of any family: Heun, annealed Langevin, DDIM and DDPM."""

from collections.abc import Callable

import pytest
import torch
from brenier import Potential
from brenier.data import NoisedLatents
from brenier.diffusion import (
    DPMOTSamples,
    LangevinSchedule,
    ReverseProcess,
    VPSchedule,
    edm_sigmas,
    first_noise,
    noise_of,
    sample_dpm_ot,
    score_of,
    start_level,
)
from brenier.errors import InputError
from brenier.solve.labelled import LabelledPotential
from brenier.transport import Extension
from helpers.mixture import apart
from torch import Tensor

MIXTURE = apart(distance=4.0, spread=0.2)
DATA, PARTS = MIXTURE.draw(60)
NOISE = first_noise(range(25), 4)

Family = tuple[Callable, Tensor | ReverseProcess, int]
DDIM, DDPM = VPSchedule.linear(60), VPSchedule.linear(60, eta=1.0)
FAMILIES: dict[str, Family] = {
    "heun": (MIXTURE.denoise, edm_sigmas(20), 7),
    "langevin": (score_of(MIXTURE.denoise), LangevinSchedule.geometric(10.0, 0.02, 36), 12),
    "ddim": (noise_of(MIXTURE.denoise, DDIM), DDIM, 12),
    "ddpm": (noise_of(MIXTURE.denoise, DDPM), DDPM, 12),
}


def fitted(
    sigmas: Tensor | ReverseProcess, last: int, data: Tensor = DATA
) -> tuple[Potential, NoisedLatents]:
    """Latents at the start level of the last steps, and a potential over them."""
    level = start_level(sigmas, last)
    latents = NoisedLatents(data, sigma=level.sigma, scale=level.scale, seed=1)
    return Potential.of(latents.materialise(), torch.zeros(len(latents))), latents


def draw(family: str, **options: object) -> DPMOTSamples:
    model, sigmas, last = FAMILIES[family]
    potential, latents = fitted(sigmas, last)
    needed = {"seeds": range(25)} if getattr(sigmas, "stochastic", False) else {}
    return sample_dpm_ot(model, potential, NOISE, sigmas, last, latents=latents, **(needed | options))


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_come_from_the_part_of_their_target_with_its_spread(family: str) -> None:
    drawn = draw(family)
    assert torch.equal(MIXTURE.nearest(drawn.samples), PARTS[drawn.indices])
    spread = (drawn.samples - MIXTURE.centres[PARTS[drawn.indices]]).std()
    assert spread == pytest.approx(MIXTURE.spread, rel=0.4)  # 25 samples; a wrong scale is 2 or more off


@pytest.mark.parametrize("family", FAMILIES)
def test_latents_of_a_neighbouring_level_are_refused(family: str) -> None:
    model, sigmas, last = FAMILIES[family]
    potential, latents = fitted(sigmas, last + 1)
    with pytest.raises(InputError, match="start level"):
        sample_dpm_ot(model, potential, NOISE, sigmas, last, latents=latents)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_image_depends_on_its_seed_alone_whatever_the_batch(family: str) -> None:
    model, sigmas, last = FAMILIES[family]
    potential, latents = fitted(sigmas, last)

    def by_seed(seeds: list[int]) -> Tensor:
        drawn = sample_dpm_ot(model, potential, None, sigmas, last, latents=latents, fresh=True, seeds=seeds)
        return drawn.samples

    together = by_seed([9, 4, 2**40, 7])
    apart = torch.cat([by_seed([9]), by_seed([4, 2**40]), by_seed([7])])
    torch.testing.assert_close(
        apart, together, atol=1e-5, rtol=1e-5
    )  # the model's own sums may round otherwise
    assert torch.equal(by_seed([4, 9])[1:], by_seed([7, 9])[1:])


def test_models_of_images_see_images() -> None:
    seen = []

    def model(x: Tensor, sigma: float) -> Tensor:
        seen.append(tuple(x.shape))
        return MIXTURE.denoise(x, sigma)

    sigmas, last = edm_sigmas(5), 2
    potential, latents = fitted(sigmas, last)
    images = sample_dpm_ot(model, potential, NOISE.view(25, 1, 2, 2), sigmas, last, latents=latents)
    rows = sample_dpm_ot(model, potential, NOISE, sigmas, last, latents=latents)
    assert set(seen) == {(25, 1, 2, 2), (25, 4)}
    assert torch.equal(images.samples.flatten(1), rows.samples)
    by_seed = sample_dpm_ot(
        model, potential, None, sigmas, last, latents=latents, seeds=[3], image_shape=(1, 2, 2)
    )
    assert by_seed.samples.shape == (1, 1, 2, 2)


@pytest.mark.parametrize("fresh", [False, True])
def test_blended_latents_keep_the_noise_of_their_level(fresh: bool) -> None:
    sigmas, last = edm_sigmas(20), 12
    flat = NoisedLatents(torch.zeros(40, 500), sigma=start_level(sigmas, last).sigma, seed=2)
    potential = Potential.of(flat.materialise(), torch.zeros(40))
    noise = first_noise(range(30), 500)
    drawn = sample_dpm_ot(
        lambda x, _: x,
        potential,
        noise,
        sigmas,
        last,
        latents=flat,
        fresh=fresh,
        seeds=range(30) if fresh else None,
        extension=Extension(angle=3.14, width=2.0),
        top=3,
    )
    assert drawn.blend is not None
    assert (drawn.blend.weights[:, 1:] > 0).any(dim=1).float().mean() > 0.5
    level = drawn.starts.std(dim=1)
    torch.testing.assert_close(level, torch.full((30,), flat.sigma), rtol=0.15, atol=0)
    assert drawn.top is not None
    assert torch.equal(drawn.top.indices[:, 0], drawn.indices)


def test_an_extension_that_never_blends_changes_nothing() -> None:
    plain, extended = draw("heun"), draw("heun", extension=Extension(angle=0.0))
    assert torch.equal(plain.indices, extended.indices)
    torch.testing.assert_close(extended.starts, plain.starts)


def by_label(sigmas: Tensor, last: int) -> tuple[LabelledPotential, NoisedLatents]:
    whole, latents = fitted(sigmas, last)
    members = {label: torch.nonzero(label == PARTS)[:, 0] for label in range(6)}
    potentials = {
        label: Potential.of(whole.targets[rows], torch.zeros(len(rows))) for label, rows in members.items()
    }
    return LabelledPotential(potentials, members), latents


def test_a_potential_per_class_starts_in_the_class_and_tells_the_model() -> None:
    sigmas, last = edm_sigmas(20), 7
    potential, latents = by_label(sigmas, last)
    labels = torch.arange(25) % 6
    told = []

    def model(x: Tensor, sigma: float, condition: Tensor) -> Tensor:
        told.append(condition)
        return MIXTURE.denoise(x, sigma)

    drawn = sample_dpm_ot(
        model,
        potential,
        NOISE,
        sigmas,
        last,
        latents=latents,
        labels=labels,
        extension=Extension(1.0),
        top=2,
    )
    assert drawn.top is not None
    assert drawn.blend is not None
    assert torch.equal(PARTS[drawn.indices], labels)
    assert torch.equal(PARTS[drawn.top.indices], labels[:, None].expand(25, 2))
    assert torch.equal(PARTS[drawn.blend.indices], labels[:, None].expand(25, 4))
    assert torch.equal(MIXTURE.nearest(drawn.samples), labels)
    assert all(condition is labels for condition in told)


def test_no_noise_gives_no_samples() -> None:
    sigmas, last = edm_sigmas(20), 7
    extension, labels = Extension(1.0), torch.zeros(0, dtype=torch.long)
    by_class, latents = by_label(sigmas, last)
    for potential, told in ((by_class, labels), (fitted(sigmas, last)[0], None)):
        drawn = sample_dpm_ot(
            MIXTURE.denoise,
            potential,
            NOISE[:0],
            sigmas,
            last,
            latents=latents,
            labels=told,
            guidance=None,
            extension=extension,
        )
        assert drawn.samples.shape == (0, 4)


def test_guidance_goes_beyond_the_condition() -> None:
    sigmas, last = edm_sigmas(20), 7
    potential, latents = by_label(sigmas, last)
    labels = torch.arange(25) % 6

    def model(x: Tensor, sigma: float, condition: Tensor | None) -> Tensor:
        assert sigma > 0
        return torch.zeros_like(x) if condition is None else MIXTURE.centres[condition]

    for guidance in (1.0, 3.0):
        drawn = sample_dpm_ot(
            model, potential, NOISE, sigmas, last, latents=latents, labels=labels, guidance=guidance
        )
        torch.testing.assert_close(drawn.samples, guidance * MIXTURE.centres[labels], atol=1e-4, rtol=1e-4)
    blind = sample_dpm_ot(
        MIXTURE.denoise, potential, NOISE, sigmas, last, latents=latents, labels=labels, guidance=None
    )
    assert torch.equal(MIXTURE.nearest(blind.samples), labels)


def test_labels_go_with_a_potential_per_class_and_seeds_with_what_draws() -> None:
    with pytest.raises(InputError, match="labels"):
        draw("heun", labels=torch.zeros(25, dtype=torch.long))
    sigmas, last = edm_sigmas(20), 7
    potential, latents = by_label(sigmas, last)
    with pytest.raises(InputError, match="labels"):
        sample_dpm_ot(MIXTURE.denoise, potential, NOISE, sigmas, last, latents=latents)
    with pytest.raises(InputError, match="such as"):
        sample_dpm_ot(
            MIXTURE.denoise, potential, NOISE, sigmas, last, latents=latents, labels=torch.full((25,), 9)
        )
    with pytest.raises(InputError, match="seeds"):
        draw("langevin", seeds=None)
    with pytest.raises(InputError, match="seeds"):
        draw("ddpm", seeds=[1])


def test_latents_of_another_class_order_are_refused() -> None:
    sigmas, last = edm_sigmas(20), 7
    potential, _ = by_label(sigmas, last)
    other = NoisedLatents(DATA.flip(0), sigma=start_level(sigmas, last).sigma, seed=1)
    with pytest.raises(InputError, match="latents"):
        sample_dpm_ot(
            MIXTURE.denoise, potential, NOISE, sigmas, last, latents=other, labels=torch.zeros(25).long()
        )
