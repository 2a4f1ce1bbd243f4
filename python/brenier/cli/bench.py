"""brenier bench: a short table of speeds on this machine."""

from __future__ import annotations

import click

from brenier.cli.common import command, emit


@command("""
    brenier bench
    brenier bench --quick --json
    brenier bench --device cuda
""")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--engine", help="reference, cpu, triton or cuda [default: chosen].")
@click.option("--quick", is_flag=True, help="The smallest shapes only.")
@click.option("--seed", type=int, default=0, show_default=True)
def bench(device: str, engine: str | None, quick: bool, seed: int, as_json: bool, quiet: bool) -> None:
    """Time assign against torch's blocked product and maximum, and pairing against scipy; on a GPU, assign alone."""
    from brenier.report.bench import as_text, measure

    record = measure(device=device, engine=engine, quick=quick, seed=seed, progress=not quiet)
    emit(as_json, record, as_text(record))
