"""Training from file to file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import brenier
from brenier.data import Loaded, load_array
from brenier.data.files import read_numbers
from brenier.diffusion import train_edm
from brenier.diffusion.store import build_network, save_network
from brenier.diffusion.training import Precision
from brenier.errors import InputError
from brenier.report.fitting import describe, require_outputs
from brenier.report.record import new_record, plain, write_record
from brenier.solve.labelled import integer_labels

Say = Callable[[str], None]


def train_file(
    images: Path,
    out: Path,
    *,
    coupling: str = "independent",
    potential: Path | None = None,
    network: str = "mlp",
    width: int | None = None,
    depth: int = 4,
    steps: int = 2000,
    batch: int = 64,
    pool: int = 512,
    lr: float = 1e-3,
    ema: float = 0.999,
    accumulate: int = 1,
    precision: Precision = "fp32",
    compile: bool = False,
    checkpoint: Path | None = None,
    checkpoint_every: int = 1000,
    resume: bool = False,
    labels: Path | None = None,
    condition: Path | None = None,
    seed: int = 0,
    device: str | None = None,
    value_range: str | None = None,
    layout: str = "nchw",
    tensor: str | None = None,
    progress: bool = True,
    say: Say = print,
) -> dict[str, Any]:
    """Train a network on a file of images and write it, with a record beside it; returns the record.

    width : None is 512 for "mlp", 32 for "unet"; depth counts for "mlp" only
    condition : integer classes (n,) from 0, which the network is told
    Other arguments as in train_edm and load_array. Raises BrenierError; writes nothing then.
    """
    settings = {k: v for k, v in locals().items() if k not in ("progress", "say")}
    beside = require_outputs(out, (".safetensors",))
    loaded = load_array(images, value_range=value_range, layout=layout, tensor=tensor)
    say(f"{images}: {describe(loaded.array)}; {loaded.note}")
    classes = None if condition is None else read_classes(condition)
    arguments = network_arguments(network, loaded, width, depth) | {"seed": seed}
    if classes is not None:
        arguments["classes"] = int(classes.max()) + 1
    result = train_edm(
        build_network(network, arguments),
        loaded.array.float(),
        coupling=coupling,  # type: ignore[arg-type]  # checked by train_edm
        potential=None if potential is None else brenier.Potential.load(potential),
        steps=steps,
        batch=batch,
        pool=pool,
        lr=lr,
        ema=ema,
        accumulate=accumulate,
        precision=precision,
        compile=compile,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        labels=None if labels is None else integer_labels(read_numbers(labels), len(loaded.array)),
        condition=classes,
        seed=seed,
        device=device,
        progress=progress,
    )
    save_network(out, result.denoiser, kind=network, arguments=arguments, image_shape=loaded.image_shape)
    record = new_record("train", settings) | plain(
        {
            "arguments": arguments,
            "value_range": loaded.note,
            "losses": result.losses,
            "seconds": result.seconds,
            "pairing_seconds": result.pairing_seconds,
            "summary": f"{result.summary()}; {out}",
        }
    )
    write_record(beside, record)
    return record


def read_classes(path: Path) -> Tensor:
    """Integer classes from 0 of a .npy; raises FileError and InputError."""
    given = read_numbers(path)
    if given.dtype.kind not in "iu" or len(given) == 0 or given.min() < 0:
        raise InputError(str(path), expected="integer classes from 0", got=f"{given.dtype} {given.shape}")
    return torch.from_numpy(given).long()


def network_arguments(kind: str, loaded: Loaded, width: int | None, depth: int) -> dict[str, Any]:
    """What the network is built from; raises InputError for a U-Net on anything but square images."""
    if kind == "mlp":
        return {"dim": loaded.array.shape[1], "width": 512 if width is None else width, "depth": depth}
    shape = loaded.image_shape
    if shape is None or shape[1] != shape[2]:
        raise InputError(
            "images", expected="square images for a U-Net", got=str(shape), remedy="use --network mlp"
        )
    return {"channels": shape[0], "image_size": shape[1], "width": 32 if width is None else width}
