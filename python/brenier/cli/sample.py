"""brenier sample: network (and potential) in, samples and a picture out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from brenier.cli.common import FILE, command, emit, note, reading


@command("""
    brenier sample network.safetensors --count 64 --steps 9 --out samples.npy --grid samples.png
    brenier sample net.safetensors --potential pot.safetensors --targets images.zip --steps 5 --out s.npy
""")
@click.argument("network", type=FILE)
@click.option("--out", type=FILE, required=True, help="Samples to write (.npy or .safetensors).")
@click.option("--grid", type=FILE, help="Picture of the first 64 samples to write (.png).")
@click.option("--count", type=int, default=64, show_default=True)
@click.option("--steps", type=int, default=18, show_default=True, help="Heun steps: 2·steps - 1 evaluations.")
@click.option("--sigma-min", type=float, default=0.002, show_default=True)
@click.option(
    "--sigma-max", type=float, default=80.0, show_default=True, help="Start level without a potential."
)
@click.option("--rho", type=float, default=7.0, show_default=True)
@click.option(
    "--potential", type=FILE, help="DPM-OT: a potential of `brenier fit --sigma`; its level is the start."
)
@click.option("--targets", type=FILE, help="The images that the potential was fitted to.")
@click.option("--seed", type=int, default=0, show_default=True)
@reading
def sample(network: Path, out: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Draw samples from NETWORK with Heun's method, from noise or, with a potential, by DPM-OT."""
    from brenier.report.training import sample_file

    record = sample_file(network, out, progress=not quiet, say=note, **options)
    emit(as_json, record, record["summary"])
