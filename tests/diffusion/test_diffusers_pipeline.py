"""The map and the pipeline behave as diffusers users expect, and come back from disk bit for bit."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers")

from brenier import Potential
from brenier.data import NoisedLatents
from brenier.diffusion.diffusers import DPMOTPipeline, OTMap, encode_images
from brenier.errors import BrenierError, InputError
from brenier.solve.labelled import LabelledPotential
from brenier.transport import Extension
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler
from helpers.hub import map_for, tiny_conditional_unet, tiny_unet
from torch import Tensor

SHAPE = (1, 8, 8)
DATA = torch.rand(30, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
LABELS = torch.arange(30) % 3


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def pipeline(scheduler: Any = None, unet: Any = None, **options: Any) -> DPMOTPipeline:
    scheduler = DDPMScheduler() if scheduler is None else scheduler
    pipe = DPMOTPipeline(unet or tiny_unet(), scheduler, map_for(scheduler, 20, 3, DATA, SHAPE, **options))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe: DPMOTPipeline, count: int = 3, seed: int = 5, **options: Any) -> Tensor:
    return pipe(count, **({"generator": seeded(seed)[0], "output_type": "pt"} | options)).images


def per_class(targets: Tensor, heights: Tensor) -> LabelledPotential:
    members = {label: torch.nonzero(label == LABELS)[:, 0] for label in range(3)}
    return LabelledPotential(
        {label: Potential.of(targets[rows], heights[rows] - 0.1 * label) for label, rows in members.items()},
        members,
    )


@pytest.mark.parametrize("unet", [tiny_unet, tiny_conditional_unet])
@pytest.mark.parametrize("scheduler", [DDPMScheduler, DDIMScheduler, FlowMatchEulerDiscreteScheduler])
def test_a_saved_pipeline_draws_identical_images(unet: Any, scheduler: Any, tmp_path: Path) -> None:
    pipe = pipeline(scheduler(), unet())
    told = {"prompt_embeds": torch.ones(3, 2, 8)} if unet is tiny_conditional_unet else {}
    pipe.save_pretrained(tmp_path)
    again = DPMOTPipeline.from_pretrained(tmp_path, local_files_only=True)
    again.set_progress_bar_config(disable=True)
    for fresh in (False, True):
        assert torch.equal(draw(pipe, fresh=fresh, **told), draw(again, fresh=fresh, **told))
    assert type(again.unet) is type(pipe.unet)
    assert again.vae is None


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_a_map_keeps_every_bit_on_disk_and_when_cast(dtype: torch.dtype, tmp_path: Path) -> None:
    data = (DATA * 127.5 + 127.5).to(torch.uint8) if dtype == torch.uint8 else DATA.to(dtype)
    heights = torch.randn(30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    heights[4] = -torch.inf
    weights = torch.ones(30).index_fill(0, torch.tensor([4]), 0) / 29
    latents = NoisedLatents(data, sigma=0.1 + 0.2, scale=1 / 3, seed=2**40)
    made = OTMap.of(Potential.of(latents.materialise(), heights, weights), latents, image_shape=SHAPE)
    made.save_pretrained(tmp_path)
    for kept in (OTMap.from_pretrained(tmp_path), OTMap.from_pretrained(tmp_path, torch_dtype=torch.float16)):
        kept.to(torch.float16)
        potential = kept.potential()
        assert torch.equal(potential.heights, heights)
        assert torch.equal(potential.masses, made.potential().masses)
        assert torch.equal(potential.targets, latents.materialise())
        assert torch.equal(potential.centre, made.potential().centre)
    noise = torch.randn(7, *SHAPE)
    winners = Potential.of(latents.materialise(), heights, weights).assign(noise)
    assert torch.equal(made(noise), latents.take(winners).reshape(noise.shape))
    assert (tmp_path / "diffusion_pytorch_model.safetensors").exists()


def test_a_map_per_class_survives_too_and_starts_in_the_class(tmp_path: Path) -> None:
    pipe = pipeline(unet=tiny_unet(classes=3), potential=per_class)
    pipe.save_pretrained(tmp_path)
    again = DPMOTPipeline.from_pretrained(tmp_path)
    labels = torch.tensor([2, 0, 1, 1])
    first = draw(pipe, 4, class_labels=labels)
    assert torch.equal(first, draw(again, 4, class_labels=labels))
    noise = torch.randn(4, 64)
    indices = again.ot_map.potential().assign(noise, labels)
    assert torch.equal(LABELS[indices], labels)
    with pytest.raises(InputError, match="labels"):
        draw(pipe, 4)


def test_an_image_follows_its_own_generator_whatever_the_batch() -> None:
    pipe = pipeline()
    for fresh in (False, True):
        together = draw(pipe, 3, generator=seeded(1, 2, 3), fresh=fresh)
        alone = torch.cat([draw(pipe, 1, generator=seeded(seed), fresh=fresh) for seed in (1, 2, 3)])
        torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)
        assert (together[0] - together[1]).abs().max() > 0.01


def test_one_generator_repeats_and_another_does_not() -> None:
    pipe = pipeline()
    assert torch.equal(draw(pipe, seed=1), draw(pipe, seed=1))
    assert not torch.equal(draw(pipe, seed=1), draw(pipe, seed=2))
    assert not torch.equal(draw(pipe, seed=1), draw(pipe, seed=1, fresh=True))


def test_it_is_the_map_then_the_schedulers_last_steps() -> None:
    pipe, scheduler = pipeline(DDIMScheduler()), DDIMScheduler()
    noise = torch.randn(3, *SHAPE)
    x = pipe.ot_map(noise)
    scheduler.set_timesteps(20)
    for time in scheduler.timesteps[-3:]:
        with torch.no_grad():
            x = scheduler.step(pipe.unet(x, time).sample, time, x).prev_sample
    torch.testing.assert_close(draw(pipe, noise=noise, output_type="latent"), x)


def test_guidance_is_classifier_free_guidance() -> None:
    unet, seen = tiny_conditional_unet(), []
    pipe = pipeline(DDIMScheduler(clip_sample=False), unet)
    unet.register_forward_pre_hook(
        lambda _, _args, kwargs: seen.append(kwargs["encoder_hidden_states"]), with_kwargs=True
    )
    told, free = torch.ones(3, 2, 8), torch.zeros(3, 2, 8)
    options = {
        "prompt_embeds": told,
        "negative_prompt_embeds": free,
        "last_steps": 3,
        "output_type": "latent",
    }
    plain, strong = draw(pipe, **options), draw(pipe, guidance_scale=4.0, **options)
    assert [float(states.mean()) for states in seen] == [1.0] * 3 + [1.0, 0.0] * 3
    assert not torch.allclose(plain, strong)


def test_output_types_are_those_of_diffusers() -> None:
    pipe = pipeline()
    pil, arrays = draw(pipe, output_type="pil"), draw(pipe, output_type="np")
    pixels, raw = draw(pipe, output_type="pt"), draw(pipe, output_type="latent")
    assert [image.size for image in pil] == [(8, 8)] * 3
    assert arrays.shape == (3, 8, 8, 1)
    torch.testing.assert_close((raw / 2 + 0.5).clamp(0, 1), pixels)
    np.testing.assert_array_equal(arrays, pixels.permute(0, 2, 3, 1).numpy())
    assert isinstance(pipe(1, return_dict=False), tuple)
    with pytest.raises(InputError, match="output_type"):
        draw(pipe, output_type="jpeg")


def test_the_progress_bar_counts_the_last_steps(capsys: pytest.CaptureFixture[str]) -> None:
    pipe = pipeline()
    pipe.set_progress_bar_config(disable=False)
    draw(pipe)
    assert "3/3" in capsys.readouterr().err
    pipe.set_progress_bar_config(disable=True)
    draw(pipe)
    assert capsys.readouterr().err == ""


def test_callbacks_see_each_step_and_may_change_it() -> None:
    pipe, steps = pipeline(), []

    def call(owner: Any, step: int, time: Any, given: dict[str, Tensor]) -> dict[str, Tensor]:
        assert owner is pipe
        steps.append((step, int(time)))
        return {"latents": torch.zeros_like(given["latents"])}

    assert not draw(pipe, callback_on_step_end=call, output_type="latent").any()
    assert [step for step, _ in steps] == [0, 1, 2]


def test_an_extension_is_passed_on() -> None:
    pipe = pipeline(DDIMScheduler())
    plain, extended = draw(pipe), draw(pipe, extension=Extension(3.0, width=3.0))
    assert not torch.equal(plain, extended)


def test_calls_that_do_not_fit_are_refused() -> None:
    pipe = pipeline()
    with pytest.raises(InputError, match="generator"):
        draw(pipe, 3, generator=seeded(1, 2))
    with pytest.raises(InputError, match="noise"):
        draw(pipe, 3, noise=torch.zeros(3, 1, 4, 4))
    with pytest.raises(InputError, match="start level"):
        draw(pipe, num_inference_steps=21)
    latents = NoisedLatents(DATA, sigma=1.0)
    potential = Potential.of(latents.materialise(), torch.zeros(30))
    with pytest.raises(InputError, match="image_shape"):
        OTMap.of(potential, latents, image_shape=(1, 9, 9))
    with pytest.raises(InputError, match="latents"):
        OTMap.of(potential, NoisedLatents(DATA, sigma=1.0, seed=1), image_shape=SHAPE)
    without = DPMOTPipeline(pipe.unet, pipe.scheduler, OTMap.of(potential, latents, image_shape=SHAPE))
    with pytest.raises(InputError, match="num_inference_steps"):
        draw(without)


def test_latent_diffusion_goes_through_its_autoencoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=2,
        norm_num_groups=4,
        scaling_factor=0.7,
        shift_factor=0.1,
    ).eval()
    images = torch.rand(11, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    source = encode_images(vae, images, batch=4)
    on_disk = encode_images(vae, images, batch=3, path=tmp_path / "latents.npy")
    with torch.no_grad():
        expected = (vae.encode(images).latent_dist.mode() - 0.1) * 0.7
    torch.testing.assert_close(source.read(0, 11).reshape(expected.shape), expected)
    torch.testing.assert_close(on_disk.read(0, 11), source.read(0, 11))
    scheduler = DDIMScheduler(clip_sample=False)
    ot_map = map_for(scheduler, 20, 3, source, (2, 4, 4))
    pipe = DPMOTPipeline(tiny_unet(2, 4), scheduler, ot_map, vae)
    pipe.set_progress_bar_config(disable=True)
    raw = draw(pipe, output_type="latent")
    with torch.no_grad():
        decoded = vae.decode(raw / 0.7 + 0.1).sample
    torch.testing.assert_close(draw(pipe), (decoded / 2 + 0.5).clamp(0, 1))
    pipe.save_pretrained(tmp_path / "pipe")
    again = DPMOTPipeline.from_pretrained(tmp_path / "pipe")
    assert torch.equal(draw(again), draw(pipe))


def test_importing_brenier_does_not_import_diffusers() -> None:
    code = "import sys, brenier, brenier.diffusion, brenier.cli.main; sys.exit('diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_pipeline_never_names_a_place_to_download_from() -> None:
    for kind in (DPMOTPipeline, OTMap):
        assert "http" not in inspect.getsource(inspect.getmodule(kind))


TOLD = torch.ones(3, 2, 8)


@pytest.mark.parametrize(
    ("unet", "changes", "message"),
    [
        (tiny_unet, {"guidance_scale": 5.0}, "guidance_scale"),
        (tiny_unet, {"class_labels": torch.tensor([0, 1, 1])}, "conditions"),
        (tiny_unet, {"prompt_embeds": TOLD}, "conditions"),
        (lambda: tiny_unet(classes=3), {}, "class_labels"),
        (lambda: tiny_unet(classes=3), {"class_labels": torch.tensor([0])}, "one row per image"),
        (lambda: tiny_unet(classes=3), {"class_labels": [0, 1, 2]}, "a tensor"),
        (tiny_conditional_unet, {}, "prompt_embeds"),
        (tiny_conditional_unet, {"prompt_embeds": TOLD[:1]}, "one row per image"),
        (tiny_conditional_unet, {"prompt_embeds": TOLD, "guidance_scale": 3.0}, "negative_prompt_embeds"),
        (tiny_unet, {"eta": float("nan")}, "eta"),
        (tiny_unet, {"noise": torch.full((3, *SHAPE), torch.nan)}, "finite"),
    ],
)
def test_conditions_are_what_the_unet_takes_and_guidance_has_something_to_leave(
    unet: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        draw(pipeline(unet=unet()), **changes)


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_a_batch_is_a_whole_number_of_images(count: int) -> None:
    with pytest.raises(InputError, match="batch_size"):
        draw(pipeline(), count)


def test_a_map_per_class_starts_an_unconditional_unet_in_its_class() -> None:
    pipe, labels = pipeline(DDIMScheduler(), potential=per_class), torch.tensor([2, 0, 1])
    noise = torch.randn(3, *SHAPE)
    starts = pipe.ot_map(noise, labels)
    assert torch.equal(
        draw(pipe, class_labels=labels, noise=noise), draw(pipe, class_labels=labels, noise=noise)
    )
    winners = pipe.ot_map.potential().assign(noise.flatten(1), labels)
    assert torch.equal(starts.flatten(1), pipe.ot_map.latents().take(winners))


def test_a_unet_that_spoils_numbers_is_an_error() -> None:
    unet = tiny_unet()
    unet.conv_out.bias.data.fill_(torch.nan)
    with pytest.raises(BrenierError, match="samples"):
        draw(pipeline(unet=unet))
