"""brenier pair: data and noise in, permutation out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from brenier.cli.common import FILE, command, emit, note, reading


@command("""
    brenier pair images.npy --seed 1 --out permutation.npy
    brenier pair images.npy --noise noise.npy --labels labels.npy --out permutation.npy
""")
@click.argument("data", type=FILE)
@click.option("--out", type=FILE, required=True, help="Permutation to write (.npy, int64).")
@click.option("--noise", type=FILE, help="Noise of the data's shape [default: standard normal from --seed].")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the noise, without --noise.")
@click.option("--save-noise", type=FILE, help="Write the noise that was used (.npy or .safetensors).")
@click.option("--labels", type=FILE, help="Integer classes (n,), .npy: pair within each class.")
@reading
def pair(data: Path, out: Path, as_json: bool, quiet: bool, **options: Any) -> None:  # noqa: ARG001
    """Pair the rows of DATA with noise so that the summed squared distance is least.

    noise[permutation] is paired with DATA, whose order is untouched.
    """
    from brenier.report.fitting import pair_file

    record = pair_file(data, out, say=note, **options)
    emit(as_json, record, record["summary"])
