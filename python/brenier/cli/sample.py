"""brenier sample: network (and potential) in, samples and a picture out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from brenier.cli.common import FILE, command, emit, note, reading


@command("""
    brenier sample network.safetensors --count 64 --steps 9 --out samples.npy --grid samples.png
    brenier sample network.safetensors --sampler ddim --steps 20 --out samples.npy
    brenier sample net.safetensors --potential pot.safetensors --targets images.zip --steps 5 --out s.npy
    brenier sample net.safetensors --potential pot.safetensors --targets images.zip --fresh --extend 0.7 --out s.npy
""")
@click.argument("network", type=FILE)
@click.option("--out", type=FILE, required=True, help="Samples to write (.npy or .safetensors).")
@click.option("--grid", type=FILE, help="Picture of the first 64 samples to write (.png).")
@click.option("--count", type=int, default=64, show_default=True)
@click.option(
    "--sampler",
    type=click.Choice(["heun", "langevin", "ddim", "ddpm"]),
    default="heun",
    show_default=True,
    help="langevin: NCSN's annealed Langevin dynamics.",
)
@click.option(
    "--steps",
    type=int,
    default=18,
    show_default=True,
    help="Heun: 2·steps - 1 evaluations; Langevin: levels; ddim, ddpm: one evaluation each.",
)
@click.option(
    "--langevin-steps", type=int, default=5, show_default=True, help="At each level, and one at the end."
)
@click.option("--sigma-min", type=float, default=0.002, show_default=True)
@click.option(
    "--sigma-max", type=float, default=80.0, show_default=True, help="Start level without a potential."
)
@click.option("--rho", type=float, default=7.0, show_default=True)
@click.option(
    "--potential", type=FILE, help="DPM-OT: a potential of `brenier fit --sigma`; its level is the start."
)
@click.option("--targets", type=FILE, help="The images that the potential was fitted to.")
@click.option("--fresh", is_flag=True, help="Noise the latents anew instead of with their stored noise.")
@click.option(
    "--extend", type=float, help="Mix neighbouring targets whose planes meet at up to this angle, in radians."
)
@click.option(
    "--labels",
    type=FILE,
    help="Integer classes (.npy) for a network trained with --condition: one per sample, or per target.",
)
@click.option("--guidance", type=float, default=1.0, show_default=True, help="Classifier-free, with labels.")
@click.option("--null-label", type=int, help="The class that guidance leads away from.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Sample k has seed + k, and depends on it alone."
)
@reading
def sample(network: Path, out: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Draw samples from NETWORK, from noise or, with a potential, by DPM-OT."""
    from brenier.report.sampling import sample_file

    record = sample_file(network, out, progress=not quiet, say=note, **options)
    emit(as_json, record, record["summary"])
