"""brenier train: images in, network out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from brenier.cli.common import FILE, command, emit, note, reading, require_resumable


@command("""
    brenier train images.zip --steps 20000 --out network.safetensors
    brenier train images.npy --coupling aot --network mlp --steps 2000 --out network.safetensors
    brenier train images.npy --coupling c2ot --condition classes.npy --out network.safetensors
    brenier train images.npy --coupling semidiscrete --potential potential.safetensors --out net.safetensors
""")
@click.argument("images", type=FILE)
@click.option("--out", type=FILE, required=True, help="Network file to write (.safetensors).")
@click.option(
    "--coupling",
    type=click.Choice(["independent", "aot", "semidiscrete", "c2ot"]),
    default="independent",
    show_default=True,
)
@click.option("--potential", type=FILE, help="Fitted to these images, for --coupling semidiscrete.")
@click.option("--network", type=click.Choice(["mlp", "unet"]), default="mlp", show_default=True)
@click.option("--width", type=int, help="Of the network [default: 512 for mlp, 32 for unet].")
@click.option("--depth", type=int, default=4, show_default=True, help="Residual layers of the mlp.")
@click.option("--steps", type=int, default=2000, show_default=True, help="Optimiser steps.")
@click.option("--batch", type=int, default=64, show_default=True)
@click.option(
    "--pool", type=int, default=512, show_default=True, help="Pairs per assignment, for aot and c2ot."
)
@click.option("--lr", type=float, default=1e-3, show_default=True)
@click.option("--ema", type=float, default=0.999, show_default=True, help="Decay of the averaged weights.")
@click.option("--accumulate", type=int, default=1, show_default=True, help="Micro-batches per step.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True)
@click.option("--compile", is_flag=True, help="Through torch.compile.")
@click.option("--checkpoint", type=FILE, help="File to resume from; the last two states are kept.")
@click.option("--checkpoint-every", type=int, default=1000, show_default=True, help="Steps.")
@click.option(
    "--resume", is_flag=True, help="Continue from the checkpoint, if there is one, with the same bits."
)
@click.option("--labels", type=FILE, help="Integer classes (n,), .npy: aot within each class.")
@click.option(
    "--condition", type=FILE, help="Integer classes (n,), .npy, that the network is told; c2ot needs them."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", help="cpu or cuda [default: cpu].")
@reading
def train(images: Path, out: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Train a small EDM network on IMAGES (.npy, .safetensors, folder or .zip).

    The file holds weights and JSON metadata, no code. A record of the run is written beside it (.json).
    """
    from brenier.report.training import train_file

    require_resumable(options)
    record = train_file(images, out, progress=not quiet, say=note, **options)
    emit(as_json, record, record["summary"])
