"""brenier fit: targets file in, potential file out."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

import click

from brenier.cli.common import FILE, command, emit, note, reading, require_resumable, silent
from brenier.cli.signals import Ending, ending_at_signals
from brenier.cli.sizes import Size

NOT_CONVERGED = 3


@command("""
    brenier fit latents.npy --out potential.safetensors
    brenier fit images.zip --sigma 0.14 --tol 0.02 --out potential.safetensors
    brenier fit latents.npy --checkpoint fit.checkpoint --resume --out potential.safetensors
    brenier fit faces.zip --flips --sigma 0.5 --out potential.safetensors
    brenier fit huge.npy --sigma 0.5 --max-memory 6GiB --checkpoint fit.checkpoint --resume --out p.safetensors
    brenier fit latents.npy --labels labels.npy --out potentials
    brenier fit latents.safetensors --weights masses.npy --json --out potential.safetensors
    torchrun --nproc-per-node 2 -m brenier fit latents.npy --out potential.safetensors
""")
@click.argument("targets", type=FILE)
@click.option(
    "--out", type=FILE, required=True, help="Potential file to write (.safetensors); with --labels a folder."
)
@click.option("--tol", type=float, default=0.05, show_default=True, help="Bound on χ² of the cell masses.")
@click.option("--max-samples", type=int, help="Stop after that many noise samples, converged or not.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the noise.")
@click.option("--weights", type=FILE, help="Masses of the targets, (n,) [default: equal].")
@click.option("--labels", type=FILE, help="Integer classes of TARGETS (.npy): one potential for each.")
@click.option(
    "--checkpoint",
    type=FILE,
    help="File for the state of the fit: every minute, at Ctrl-C, SIGTERM and the end.",
)
@click.option(
    "--resume", is_flag=True, help="Continue from the checkpoint if it exists; the bits are the same."
)
@click.option("--sigma", type=float, help="Fit onto noised latents y + sigma·ε at this level.")
@click.option("--flips", is_flag=True, help="Images and their mirror images: twice the targets.")
@click.option("--latent-seed", type=int, default=0, show_default=True, help="Of ε, with --sigma.")
@click.option(
    "--max-memory",
    type=Size(),
    help="Such as 6GiB; larger targets are streamed [default: half of this machine's].",
)
@click.option("--engine", help="reference, cpu, triton or cuda [default: chosen; see brenier doctor].")
@click.option(
    "--device",
    help="cpu or cuda: where draws meet the targets, and where the potential goes [default: where the targets are].",
)
@reading
def fit(targets: Path, out: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Fit the Brenier potential of standard normal noise onto TARGETS.

    TARGETS is .npy, .safetensors, a pattern of such shards ('name*.safetensors'), a folder of images or a .zip of
    them. A file larger than memory is read in tiles, and its potential is written without the targets
    (docs/scaling.md). With --labels OUT is a folder with a file for each class; mirror images are of their image's.
    A record of the run is written beside the potential (same name, .json). Processes that torchrun started share the
    work; the first of them writes.
    Exit code 3: written, but not converged; 130 or 143: ended by Ctrl-C or SIGTERM, the checkpoint and the potential
    so far written (none before the first step; a potential that is being written is finished).
    """
    from brenier.engine.ranks import launched
    from brenier.report.fitting import fit_file

    require_resumable(options)
    record = None
    with ending_at_signals() as ending, launched() as ranks:
        first = ranks.rank == 0
        try:
            record = fit_file(
                targets,
                out,
                progress=first and not quiet,
                say=note if first else silent,
                write=first,
                **options,
            )
        except KeyboardInterrupt:
            if ending.number == 0:
                raise
    if first:
        report(record, ending, as_json, options["checkpoint"])
    if ending.number:
        click.get_current_context().exit(ending.exit_code)
    if first and record is not None and not record["converged"]:
        click.get_current_context().exit(NOT_CONVERGED)


def report(record: dict[str, Any] | None, ending: Ending, as_json: bool, checkpoint: Path | None) -> None:
    """The record, what a signal has ended, and a warning where the tolerance is not proved."""
    from brenier.solve.result import Status

    if record is not None:
        emit(as_json, record, record["summary"])
    if ending.number and (record is None or record["status"] == str(Status.INTERRUPTED)):
        written = "no potential is written" if record is None else "the potential so far is written"
        note(f"interrupted by {ending.name}; {written}; {where_to_go_on(checkpoint)}")
    elif ending.number:
        note(f"{ending.name} came when the fit had ended; its potential is written whole")
    elif record is not None and not record["converged"]:
        note(f"warning: not converged; χ² is {record['error']}, asked for {record['settings']['tol']}")


def where_to_go_on(checkpoint: Path | None) -> str:
    if checkpoint is None:
        return "no checkpoint, for none was asked for"
    if not (checkpoint.exists() or any(checkpoint.parent.glob(f"{glob.escape(checkpoint.name)}.label*"))):
        return f"no checkpoint yet in {checkpoint}, for no step was made"
    return f"the state is in {checkpoint}: the same command with --resume continues with the same bits"
