"""brenier demo: all of it on real data, in a few minutes."""

from __future__ import annotations

from pathlib import Path

import click

from brenier.cli.common import FILE, command, emit


@command("""
    brenier demo
    brenier demo --out /tmp/demo --quick
""")
@click.option("--out", type=FILE, default=Path("demo"), show_default=True, help="Folder for the report.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--quick", is_flag=True, help="Everything once at a small size: under a minute, poor samples.")
def demo(out: Path, seed: int, quick: bool, as_json: bool, quiet: bool) -> None:
    """Train, fit, sample and measure on handwritten digits; write OUT/report.html and OUT/run.json.

    Takes a few minutes on two CPU cores. Nothing is downloaded: the digits come with scikit-learn.
    """
    from brenier.report.demo_run import run_demo

    record = run_demo(out, seed=seed, quick=quick, progress=not quiet)
    emit(as_json, record, record["summary"])
