"""The Fréchet Inception distance, from weights that the user has: the only place where the name FID is used."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brenier.engine.checks import as_tensor
from brenier.errors import FileError, InputError, require_package
from brenier.metrics.frechet import frechet_distance
from brenier.metrics.kernel import KernelDistance, kernel_distance
from brenier.types import Array

PACKAGES = {
    "torch-fidelity": "torch_fidelity.feature_extractor_inceptionv3",
    "torchmetrics": "torchmetrics.image.fid",
}


@dataclass(frozen=True)
class Inception:
    """The network of the FID; metrics quote its name beside their figures."""

    network: Any
    name: str
    batch: int

    def features(self, images: Array) -> Tensor:
        """The 2,048 pooled features, float32 (N, 2048), of images (N, 3, H, W): uint8, or floats in [-1, 1]."""
        pixels = as_pixels(images)
        device = next(self.network.parameters()).device
        with torch.no_grad():
            parts = [self.network(part.to(device)) for part in pixels.split(self.batch)]
        return torch.cat([(part[0] if isinstance(part, tuple) else part).flatten(1).cpu() for part in parts])


def load_inception(
    weights: str | os.PathLike[str],
    *,
    package: str = "torch-fidelity",
    device: torch.device | str = "cpu",
    batch: int = 64,
) -> Inception:
    """The Inception network of torch-fidelity, or through torchmetrics, with weights from a file of the user's.

    weights : the file pt_inception-2015-12-05-6726825d.pth that both packages know; nothing is downloaded, and a
        file that holds anything but tensors is refused before the packages, which unpickle, see it
    package : "torch-fidelity" or "torchmetrics" (which needs torch-fidelity too)

    Raises MissingPackageError, FileError where there is no such file, InputError.
    """
    if package not in PACKAGES:
        raise InputError("package", expected=" or ".join(PACKAGES), got=repr(package))
    path = Path(weights)
    if not path.is_file():
        raise FileError(
            str(path),
            expected="the Inception weights",
            got="no such file",
            remedy="download pt_inception-2015-12-05-6726825d.pth from torch-fidelity's releases yourself",
        )
    module = require_package(PACKAGES[package], "fid")
    kind = module.FeatureExtractorInceptionV3 if package == "torch-fidelity" else module.NoTrainInceptionV3
    try:
        torch.load(path, map_location="cpu", weights_only=True)
        network = kind("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    except (RuntimeError, KeyError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise FileError(str(path), expected="the Inception weights", got=str(error)[:200]) from error
    return Inception(network.to(device).eval(), f"Inception of {package}, weights {path.name}", batch)


def fid(real: Array, fake: Array, inception: Inception) -> float:
    """The Fréchet Inception distance (Heusel et al. 2017) of images; published figures use 50,000 samples.

    real, fake : (N, 3, H, W), uint8 or floats in [-1, 1]; at least 2 each. Raises InputError.
    """
    return frechet_distance(inception.features(real), inception.features(fake))


def kid(real: Array, fake: Array, inception: Inception) -> KernelDistance:
    """The kernel Inception distance (Bińkowski et al. 2018) of images; arguments as in fid."""
    return kernel_distance(inception.features(real), inception.features(fake))


def as_pixels(images: Array) -> Tensor:
    """Images as uint8 (N, 3, H, W), rounded and clipped as when they are stored."""
    given = as_tensor(images, "images")
    if (
        given.ndim != 4
        or given.shape[1] != 3
        or not (given.is_floating_point() or given.dtype == torch.uint8)
    ):
        raise InputError(
            "images",
            expected="(N, 3, H, W), uint8 or floats in [-1, 1]",
            got=f"{given.dtype} {tuple(given.shape)}",
            remedy="repeat grey images three times along the channels",
        )
    if given.dtype == torch.uint8:
        return given
    if not (given.float().abs() <= 1.5).all():
        raise InputError("images", expected="floats in [-1, 1]", got=f"up to {float(given.abs().max()):.3g}")
    return ((given.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
