"""brenier evaluate: samples and reference in, metrics out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from brenier.cli.common import FILE, command, emit, note, reading


@command("""
    brenier evaluate samples.npy reference.npy
    brenier evaluate samples.npy train.npy --held-out test.npy --labels train_labels.npy --json
""")
@click.argument("samples", type=FILE)
@click.argument("reference", type=FILE)
@click.option("--held-out", type=FILE, help="Images not trained on, to judge memorisation.")
@click.option("--labels", type=FILE, help="Integer classes of REFERENCE (.npy): adds a classifier's metrics.")
@click.option("--threshold", type=float, help="λ of the mode mixture ratio [default: 1.1/classes].")
@click.option("--k", type=int, default=3, show_default=True, help="Neighbours for precision and recall.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the classifier.")
@click.option("--out", type=FILE, help="Record of the run to write (.json).")
@reading
def evaluate(samples: Path, reference: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure SAMPLES against REFERENCE images.

    Features are the raw values and, with --labels, those of a small classifier trained here on REFERENCE:
    none of the figures is an FID in the published sense.
    """
    from brenier.report.evaluating import evaluate_files

    record = evaluate_files(samples, reference, progress=not quiet, say=note, **options)
    emit(as_json, record, record["summary"])
