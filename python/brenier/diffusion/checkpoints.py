"""Weights from files into networks: safetensors, or what torch.load reads without running code."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from brenier.diffusion.ncsnv2 import NCSNv2
from brenier.errors import FileError

Module = TypeVar("Module", bound=nn.Module)


def read_weights(path: str | os.PathLike[str], *, averaged: bool = True) -> dict[str, Tensor]:
    """The named tensors of a checkpoint, on the CPU, without a leading "module." of nn.DataParallel.

    Reads .safetensors and files of torch.save, the latter with weights_only=True: nothing in a file is run. A list, as
    NCSNv2 saves [weights, optimiser, epoch, step, averaged weights], gives its averaged weights if it has them and
    `averaged` is true, else its weights.

    Raises FileError for files that are damaged, hold pickled objects, or hold no weights.
    """
    try:
        found = load_file(path) if Path(path).suffix == ".safetensors" else load_safely(path)
    except (OSError, safetensors.SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise FileError(
            str(path),
            expected="weights as safetensors or tensors of torch.save",
            got=f"{type(error).__name__}: {str(error).splitlines()[0]}",
            remedy="convert pickled networks yourself, if you trust them: docs/diffusion.md",
        ) from error
    parts = [found] if isinstance(found, Mapping) else list(found) if isinstance(found, list | tuple) else []
    usable = [part for part in [*parts[:1], *(parts[1:][-1:] if averaged else [])] if is_weights(part)]
    if not usable:
        raise FileError(str(path), expected="named tensors", got=type(found).__name__)
    return {name.removeprefix("module."): tensor for name, tensor in usable[-1].items()}


def load_weights(module: Module, path: str | os.PathLike[str], *, averaged: bool = True) -> Module:
    """Put the weights of a file into any module, in evaluation mode; returns the module.

    Raises FileError, as read_weights and where names or shapes differ from the module's.
    """
    return fill(module, read_weights(path, averaged=averaged), path)


def load_ncsnv2(path: str | os.PathLike[str], *, averaged: bool = True) -> NCSNv2:
    """A published NCSNv2 network: its kind, width and channels are read off the names and shapes.

    The result is a score s(x, σ) for sample_langevin, images in [0, 1]. Raises FileError.
    """
    weights = read_weights(path, averaged=averaged)
    weights.pop("sigmas", None)  # the schedule; see LangevinSchedule.published
    if "begin_conv.weight" not in weights or weights["begin_conv.weight"].ndim != 4:
        raise FileError(str(path), expected="an NCSNv2 network", got=", ".join(list(weights)[:4]))
    width, channels = weights["begin_conv.weight"].shape[:2]
    stages = {name.split(".")[0] for name in weights}
    kind = "deepest" if "res31" in stages else "deeper" if "res5" in stages else "standard"
    return fill(NCSNv2(channels, width, kind), weights, path)


def load_safely(path: str | os.PathLike[str]) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def is_weights(found: Any) -> bool:
    """Whether that is a non-empty mapping of names to tensors."""
    if not isinstance(found, Mapping) or not found:
        return False
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items())


def fill(module: Module, weights: dict[str, Tensor], path: str | os.PathLike[str]) -> Module:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise FileError(
            str(path), expected=f"the weights of this {type(module).__name__}", got=str(error)
        ) from error
    return module.eval().requires_grad_(False)
