"""A diffusers pipeline: noise through an OTMap, then the last steps of any first-order scheduler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel, UNet2DModel
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from diffusers.schedulers import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from brenier.diffusion.diffusers.autoencoder import decode_latents
from brenier.diffusion.diffusers.ot_map import OTMap
from brenier.diffusion.diffusers.scheduler import Generators, SchedulerProcess
from brenier.diffusion.dpm_ot import sample_dpm_ot
from brenier.diffusion.guidance import guided
from brenier.diffusion.process import Model
from brenier.errors import InputError
from brenier.transport import Extension


class DPMOTPipeline(DiffusionPipeline):
    """DPM-OT sampling (arXiv 2307.11308) with a pretrained U-Net, its scheduler and a fitted map.

    unet : UNet2DModel or UNet2DConditionModel
    scheduler : see SchedulerProcess; the map must lie at the level where its last steps begin
    ot_map : OTMap
    vae : for latent-diffusion models, whose map is fitted to encode_images' latents
    """

    unet: Any  # what DiffusionPipeline sets at run time
    scheduler: Any
    ot_map: Any
    vae: Any
    register_modules: Any
    progress_bar: Any
    numpy_to_pil: Any
    maybe_free_model_hooks: Any
    _execution_device: Any

    model_cpu_offload_seq = "unet->vae"
    _exclude_from_cpu_offload = ["ot_map"]  # noqa: RUF012  # as diffusers declares them
    _optional_components = ["vae"]  # noqa: RUF012

    def __init__(
        self,
        unet: UNet2DModel | UNet2DConditionModel,
        scheduler: SchedulerMixin,
        ot_map: OTMap,
        vae: AutoencoderKL | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, ot_map=ot_map, vae=vae)

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        *,
        num_inference_steps: int | None = None,
        last_steps: int | None = None,
        generator: Generators = None,
        noise: Tensor | None = None,
        fresh: bool = False,
        extension: Extension | None = None,
        class_labels: Tensor | None = None,
        null_class_labels: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        guidance_scale: float = 1.0,
        eta: float = 0.0,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, Any, dict[str, Tensor]], dict[str, Tensor]] | None = None,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Draw images: index of each noise, its latent x_M, then the last steps of the scheduler.

        batch_size : images to draw
        num_inference_steps, last_steps : of the whole schedule, and M; None takes those the map was made with
        generator : one, or a list of one per image: image k then depends on generator k alone
        noise : (batch_size, C, H, W) standard normal in place of the generator's
        fresh : noise each latent anew (its seed is drawn from the generator) instead of with its stored noise
        extension : mix neighbouring targets (brenier.transport.Extension)
        class_labels : (batch_size,); a map per class starts in those classes, a class-conditional U-Net is told them
        prompt_embeds, negative_prompt_embeds : encoder_hidden_states of a UNet2DConditionModel
        guidance_scale : classifier-free guidance towards the condition and away from null_class_labels or
            negative_prompt_embeds; 1 is none
        output_type : "pil", "np", "pt" (in [0, 1]) or "latent" (as the U-Net left it)
        callback_on_step_end : called as (pipeline, step, timestep, {"latents": x}); may return a new "latents"

        Returns ImagePipelineOutput, or a tuple with return_dict=False. Raises InputError.
        """
        if output_type not in ("pil", "np", "pt", "latent"):
            raise InputError("output_type", expected="pil, np, pt or latent", got=repr(output_type))
        process = SchedulerProcess(
            self.scheduler,
            self._known(num_inference_steps, "num_inference_steps"),
            generator=generator,
            eta=eta,
            each=self._callback(callback_on_step_end),
            bar=self.progress_bar,
        )
        by_class = self.ot_map.config["classes"] is not None
        check_count(batch_size, class_labels, prompt_embeds, generator)
        condition, null = self._conditions(
            {"class_labels": class_labels, "encoder_hidden_states": prompt_embeds},
            {"class_labels": null_class_labels, "encoder_hidden_states": negative_prompt_embeds},
            guidance_scale,
        )
        drawn = sample_dpm_ot(
            self._model(condition, null, guidance_scale),
            self.ot_map.potential(),
            self._noise(batch_size, generator, noise),
            process,
            self._known(last_steps, "last_steps"),
            latents=self.ot_map.latents(),
            fresh=fresh,
            seeds=draw_seeds(batch_size, generator) if fresh else None,
            labels=class_labels if by_class else None,
            guidance=None,  # the condition is bound to the model here
            extension=extension,
        )
        images = self._finish(drawn.samples, output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _known(self, given: int | None, name: str) -> int:
        value = self.ot_map.config[name] if given is None else given
        if value is None:
            raise InputError(
                name, expected="a number of steps", got="None, here and in the map", remedy=f"pass {name}="
            )
        return value  # whoever takes it checks that it is whole

    def _conditions(
        self, given: dict[str, Tensor | None], null: dict[str, Tensor | None], guidance: float
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What the U-Net is told, and what it is guided away from; raises InputError for too little or too much."""
        told = {name: value for name, value in given.items() if value is not None}
        away = {name: value for name, value in null.items() if value is not None}
        unet = getattr(self.unet, "_orig_mod", self.unet)  # inside torch.compile's
        wanted = {
            "class_labels": getattr(unet, "class_embedding", None) is not None,
            "encoder_hidden_states": isinstance(unet, UNet2DConditionModel),
        }
        if not wanted["class_labels"] and self.ot_map.config["classes"] is not None:
            told.pop("class_labels", None)  # the map alone is told the class
        known = isinstance(unet, UNet2DModel | UNet2DConditionModel)
        if known and told.keys() != {name for name, needed in wanted.items() if needed}:
            names = {"class_labels": "class_labels", "encoder_hidden_states": "prompt_embeds"}
            needs = [names[name] for name, needed in wanted.items() if needed]
            raise InputError(
                "conditions",
                expected=f"{' and '.join(needs) or 'none'}, as this {type(unet).__name__} takes",
                got=" and ".join(names[name] for name in told) or "none",
            )
        if guidance != 1 and (not told or told.keys() != away.keys()):
            raise InputError(
                "guidance_scale",
                expected="1, or null_class_labels or negative_prompt_embeds for each condition",
                got=f"{guidance} with {len(told)} conditions and {len(away)} to guide away from",
            )
        return told, away

    def _noise(self, count: int, generator: Generators, noise: Tensor | None) -> Tensor:
        shape = (count, *self.ot_map.config["image_shape"])
        if noise is None:
            noise = randn_tensor(shape, generator=generator, device=self.ot_map.device, dtype=torch.float32)
        if tuple(noise.shape) != shape:
            raise InputError("noise", expected=str(shape), got=str(tuple(noise.shape)))
        return noise.to(self.ot_map.device, torch.float32)

    def _model(self, condition: dict[str, Tensor], null: dict[str, Tensor], guidance: float) -> Model:
        """The U-Net on the latents' own dtype and device, with its condition and guidance bound."""
        device = self._execution_device

        def predict(x: Tensor, time: Any, told: dict[str, Tensor]) -> Tensor:
            known = {name: value.to(device) for name, value in told.items()}
            found = self.unet(x.to(device, self.unet.dtype), time.to(device), **known).sample
            return found.to(x)

        return guided(predict, condition, guidance=guidance, null=null)

    def _callback(self, call: Any) -> Callable[[int, Any, Tensor], Tensor | None] | None:
        if call is None:
            return None
        return lambda step, time, x: (call(self, step, time, {"latents": x}) or {}).get("latents")

    def _finish(self, samples: Tensor, output_type: str) -> Any:
        if output_type == "latent":
            return samples
        images = samples if self.vae is None else decode_latents(self.vae, samples)
        images = (images.float() / 2 + 0.5).clamp(0, 1)
        if output_type == "pt":
            return images
        arrays = images.cpu().permute(0, 2, 3, 1).numpy()
        return self.numpy_to_pil(arrays) if output_type == "pil" else arrays


def check_count(count: int, labels: Tensor | None, embeddings: Tensor | None, generator: Generators) -> None:
    """Raise InputError unless there is one of everything for each image."""
    if not (isinstance(count, int) and count >= 1):
        raise InputError("batch_size", expected="an integer ≥ 1", got=repr(count))
    for what, given in (("class_labels", labels), ("prompt_embeds", embeddings)):
        if given is not None and not (isinstance(given, Tensor) and given.ndim and len(given) == count):
            got = str(tuple(given.shape)) if isinstance(given, Tensor) else type(given).__name__
            raise InputError(what, expected=f"a tensor, one row per image, {count}", got=got)
    if isinstance(generator, list) and len(generator) != count:
        raise InputError("generator", expected=f"one per image, {count}", got=str(len(generator)))


def draw_seeds(count: int, generator: Generators) -> list[int]:
    """A seed for each image from the generator, or from that of the image."""
    if isinstance(generator, list):
        return [draw_seeds(1, own)[0] for own in generator]
    device = None if generator is None else generator.device
    return torch.randint(0, 2**62, (count,), generator=generator, device=device).tolist()
