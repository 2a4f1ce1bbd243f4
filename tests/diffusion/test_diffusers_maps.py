"""Which potentials a pipeline's map can hold: plain, streamed and mirrored ones, none of two levels."""

from typing import Any

import brenier
import pytest
import torch

pytest.importorskip("diffusers")

from brenier.data import ArraySource, FlippedSource, NoisedLatents
from brenier.diffusion import start_level
from brenier.diffusion.diffusers import DPMOTPipeline, OTMap, SchedulerProcess
from brenier.errors import InputError
from brenier.solve import StreamedPotential
from diffusers import DDIMScheduler
from helpers.hub import tiny_conditional_unet, tiny_unet

SHAPE = (1, 8, 8)
IMAGES = ArraySource(torch.rand(30, *SHAPE, generator=torch.Generator().manual_seed(0)) * 2 - 1)
LEVEL = start_level(SchedulerProcess(DDIMScheduler(), 20), 3)


def draw(potential: Any, latents: NoisedLatents) -> torch.Tensor:
    ot_map = OTMap.of(potential, latents, image_shape=SHAPE, num_inference_steps=20, last_steps=3)
    pipe = DPMOTPipeline(tiny_unet(), DDIMScheduler(), ot_map)
    pipe.set_progress_bar_config(disable=True)
    return pipe(3, generator=torch.Generator().manual_seed(0), output_type="pt").images


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_potential_over_a_source_draws_what_the_same_in_memory_draws(mirrored: bool) -> None:
    latents = NoisedLatents(
        FlippedSource(IMAGES, SHAPE) if mirrored else IMAGES, sigma=LEVEL.sigma, scale=LEVEL.scale
    )
    plain = brenier.fit(latents.materialise(), tol=0.5, progress=False).potential
    assert torch.equal(draw(StreamedPotential.of_resident(plain, latents), latents), draw(plain, latents))


def test_a_map_of_two_levels_is_refused_and_not_flattened() -> None:
    latents = NoisedLatents(IMAGES, sigma=LEVEL.sigma, scale=LEVEL.scale)
    fitted = brenier.fit_hierarchical(latents.materialise(), tol=0.5, progress=False)
    with pytest.raises(InputError, match="one level"):
        draw(fitted.potential, latents)


def test_a_compiled_unet_is_told_its_conditions_too() -> None:
    latents = NoisedLatents(IMAGES, sigma=LEVEL.sigma, scale=LEVEL.scale)
    fitted = brenier.fit(latents.materialise(), tol=0.5, progress=False).potential
    ot_map = OTMap.of(fitted, latents, image_shape=SHAPE, num_inference_steps=20, last_steps=3)
    pipe = DPMOTPipeline(tiny_conditional_unet(), DDIMScheduler(), ot_map)
    pipe.set_progress_bar_config(disable=True)
    told = {"prompt_embeds": torch.ones(2, 2, 8), "output_type": "pt"}
    plain = pipe(2, generator=torch.Generator().manual_seed(0), **told).images
    pipe.unet = torch.compile(pipe.unet, backend="eager")
    with pytest.raises(InputError, match="prompt_embeds"):
        pipe(2)
    compiled = pipe(2, generator=torch.Generator().manual_seed(0), **told).images
    torch.testing.assert_close(compiled, plain, atol=1e-5, rtol=0)
