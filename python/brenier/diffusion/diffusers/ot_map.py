"""A fitted potential as a diffusers model: a config and safetensors weights."""

# ruff: noqa: ARG002  # register_to_config keeps the arguments of __init__
from __future__ import annotations

import math
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from brenier.data.latents import NoisedLatents
from brenier.diffusion.starts import check_source, map_noise
from brenier.errors import InputError
from brenier.solve import HierarchicalPotential, Potential
from brenier.solve.labelled import LabelledPotential
from brenier.types import Array

BITS = {  # floating-point dtype -> the integers that hold its bits
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.uint8: torch.uint8,
}


class OTMap(ModelMixin, ConfigMixin):
    """The map noise ↦ x_M of DPM-OT: images, the level and seed of their noise, and the heights over them.

    Made by OTMap.of; save_pretrained and from_pretrained keep every bit. Buffers hold floating-point numbers as
    integers of the same bits, because a rounded height moves winners: .to(torch.float16) changes nothing here.

    targets, image_shape, image_dtype : of the images (n, *image_shape)
    scale, sigma, latent_seed : x_M = scale·y + sigma·ε(latent_seed, i)
    num_inference_steps, last_steps : the schedule whose start level this is, for the pipeline's defaults
    classes : labels of a potential per class
    """

    config_name: Any = "config.json"
    _supports_gradient_checkpointing = False

    @register_to_config
    def __init__(
        self,
        targets: int,
        image_shape: list[int],
        scale: float,
        sigma: float,
        latent_seed: int = 0,
        num_inference_steps: int | None = None,
        last_steps: int | None = None,
        image_dtype: str = "float32",
        classes: list[int] | None = None,
    ) -> None:
        super().__init__()
        d, kinds = math.prod(image_shape), len(classes or [0])
        self.register_buffer("images", torch.zeros(targets, d, dtype=BITS[getattr(torch, image_dtype)]))
        for name, shape in (("heights", (targets,)), ("masses", (targets,)), ("centres", (kinds, d))):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.int64))
        self.register_buffer("labels", torch.zeros(targets, dtype=torch.int64))
        self._made: tuple[torch.device, Any, NoisedLatents] | None = None

    @classmethod
    def of(
        cls,
        potential: Potential | LabelledPotential,
        latents: NoisedLatents,
        *,
        image_shape: tuple[int, ...],
        num_inference_steps: int | None = None,
        last_steps: int | None = None,
    ) -> OTMap:
        """The map of a potential fitted to `latents`.

        Raises InputError where it was visibly fitted to others, and for a HierarchicalPotential, whose two levels the
        map does not hold.
        """
        if isinstance(potential, HierarchicalPotential):
            raise InputError(
                "potential",
                expected="one level, from brenier.fit",
                got=type(potential).__name__,
                remedy="use sample_dpm_ot, which takes any potential",
            )
        check_source(latents, potential)
        if math.prod(image_shape) != latents.shape[1]:
            raise InputError("image_shape", expected=f"{latents.shape[1]} numbers", got=str(image_shape))
        kept = latents.images
        images = kept.flatten(1) if isinstance(kept, Tensor) else latents.clean(torch.arange(len(latents)))
        parts = potential.potentials if isinstance(potential, LabelledPotential) else {}
        made: OTMap = cls(
            len(latents),
            list(image_shape),
            latents.scale,
            latents.sigma,
            latents.seed,
            num_inference_steps,
            last_steps,
            str(images.dtype).removeprefix("torch."),
            list(parts) or None,
        )
        made._fill(images, potential)
        return made

    def _fill(self, images: Tensor, potential: Potential | LabelledPotential) -> None:
        self.images.copy_(bits(images))
        heights, masses = torch.zeros(2, len(images), dtype=torch.float64)
        for row, (label, rows, own) in enumerate(parts_of(potential, len(images))):
            heights[rows], masses[rows] = own.heights.cpu(), own.masses.double().cpu()
            self.centres[row] = bits(own.centre.double())
            self.labels[rows] = label
        self.heights.copy_(bits(heights))
        self.masses.copy_(bits(masses))

    def latents(self) -> NoisedLatents:
        """The targets x_M, made from images and seed."""
        return self._parts()[1]

    def potential(self) -> Any:
        """The Potential, or LabelledPotential with classes; its targets are made at first use and kept."""
        return self._parts()[0]

    def _parts(self) -> tuple[Any, NoisedLatents]:
        if self._made is None or self._made[0] != self.images.device:
            dtype = getattr(torch, self.config["image_dtype"])
            latents = NoisedLatents(
                self.images.view(dtype),
                sigma=self.config["sigma"],
                scale=self.config["scale"],
                seed=self.config["latent_seed"],
            )
            self._made = (self.images.device, self._potential(latents.materialise()), latents)
        return self._made[1:]

    def _potential(self, targets: Tensor) -> Potential | LabelledPotential:
        heights, masses = self.heights.view(torch.float64), self.masses.view(torch.float64).cpu()
        centres, classes = self.centres.view(torch.float64).cpu(), self.config["classes"]
        if classes is None:
            return Potential(targets, heights, centres[0], masses)
        members = {label: torch.nonzero(self.labels.cpu() == label)[:, 0] for label in classes}
        own = {
            label: Potential(targets[rows], heights[rows], centres[row], masses[rows])
            for row, (label, rows) in enumerate(members.items())
        }
        return LabelledPotential(own, members)

    def forward(self, noise: Tensor, class_labels: Array | None = None) -> Tensor:
        """The stored latents x_M of noises (N, ...), in their shape; see sample_dpm_ot for the options."""
        potential, latents = self._parts()
        rows = noise.flatten(1).to(self.images.device)
        return map_noise(potential, rows, latents, labels=class_labels).latents.to(noise).reshape(noise.shape)


def bits(values: Tensor) -> Tensor:
    """A tensor as integers of the same bits."""
    return values.detach().contiguous().view(BITS[values.dtype])


def parts_of(potential: Potential | LabelledPotential, targets: int) -> list[tuple[int, Tensor, Potential]]:
    """Label, places of the targets and potential of each class; one class 0 without labels."""
    if isinstance(potential, LabelledPotential):
        return [(label, potential.members[label], own) for label, own in potential.potentials.items()]
    return [(0, torch.arange(targets), potential)]
