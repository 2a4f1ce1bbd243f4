"""Trained networks on disk: safetensors weights and JSON metadata, never code."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import safetensors
from safetensors.torch import save_file
from torch import nn

from brenier.data.atomic import replacing
from brenier.diffusion.networks import MLP, SmallUNet
from brenier.diffusion.precond import EDMPrecond
from brenier.errors import FileError, InputError

NETWORKS: dict[str, Callable[..., nn.Module]] = {"mlp": MLP, "unet": SmallUNet}
FORMAT = "brenier-network-1"


@dataclass(frozen=True)
class StoredNetwork:
    """A denoiser from a file, and what the file says of it."""

    denoiser: EDMPrecond
    kind: str
    arguments: dict[str, Any]
    image_shape: tuple[int, ...] | None


def build_network(kind: str, arguments: dict[str, Any]) -> nn.Module:
    """The untrained network of that kind; raises InputError for an unknown kind or unusable arguments."""
    if kind not in NETWORKS:
        raise InputError("network", expected=" or ".join(NETWORKS), got=repr(kind))
    try:
        return NETWORKS[kind](**arguments)
    except TypeError as error:
        raise InputError(f"arguments of {kind}", expected="those it takes", got=str(error)) from error


def save_network(
    path: str | os.PathLike[str],
    denoiser: EDMPrecond,
    *,
    kind: str,
    arguments: dict[str, Any],
    image_shape: tuple[int, ...] | None = None,
) -> None:
    """Write a denoiser whose network is build_network(kind, arguments); whole or not at all.

    Raises FileError where the place cannot be written, InputError for an unknown kind.
    """
    if kind not in NETWORKS:
        raise InputError("network", expected=" or ".join(NETWORKS), got=repr(kind))
    described = {
        "format": FORMAT,
        "kind": kind,
        "arguments": arguments,
        "sigma_data": denoiser.sigma_data,
        "image_shape": image_shape,
    }
    weights = {
        name: value.detach().cpu().contiguous() for name, value in denoiser.network.state_dict().items()
    }
    with replacing(path) as temporary:
        save_file(weights, temporary, {"brenier": json.dumps(described)})


def load_network(path: str | os.PathLike[str]) -> StoredNetwork:
    """The denoiser that save_network wrote, in evaluation mode; raises FileError for anything else."""
    try:
        with safetensors.safe_open(path, framework="pt") as handle:
            described = json.loads((handle.metadata() or {})["brenier"])
            weights = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        network = build_network(described["kind"], described["arguments"])
        network.load_state_dict(weights)
        denoiser = EDMPrecond(network, described["sigma_data"]).eval().requires_grad_(False)
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileError(
            str(path),
            expected="a network file of this version",
            got=f"{type(error).__name__}: {error}",
            remedy="write one with brenier train",
        ) from error
    shape = described.get("image_shape")
    return StoredNetwork(denoiser, described["kind"], described["arguments"], tuple(shape) if shape else None)
