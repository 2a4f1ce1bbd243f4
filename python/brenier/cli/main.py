"""The ``brenier`` command: subcommands by name, loaded at first use, and one place for exit codes.

Exit codes: 0 done; 1 an unforeseen error; 2 a mistake in what was given (one message, no traceback);
3 done, but a fit did not converge; 130 or 143 ended by Ctrl-C or (fit only) SIGTERM.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Any

import click

from brenier import __version__
from brenier.errors import BrenierError

COMMANDS = {  # name -> one line; each lives in brenier.cli.<name>
    "demo": "Do all of it on handwritten digits and write a report.",
    "fit": "Fit the Brenier potential of noise onto targets.",
    "sample": "Draw samples from a trained network, plainly or by DPM-OT.",
    "pair": "Pair data and noise, one to one, optimally.",
    "train": "Train a small EDM network on independent or paired noise.",
    "evaluate": "Measure samples against reference images.",
    "bench": "Time the engines on this machine.",
    "doctor": "Say what is installed here, what is used, and why.",
}
MISTAKE, INTERRUPTED = 2, 130


class Program(click.Group):
    """Loads a subcommand when it is called for, and turns what goes wrong into a message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"brenier.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, args: list[str] | None = None, **extra: Any) -> Any:  # type: ignore[override]
        arguments = sys.argv[1:] if args is None else list(args)
        extra["standalone_mode"] = False
        try:
            sys.exit(super().main(arguments, **extra) or 0)
        except (Exception, KeyboardInterrupt) as error:
            if "--debug" in arguments:
                traceback.print_exc()
            sys.exit(explain(error))


def explain(error: BaseException) -> int:
    """Say on stderr what went wrong; returns the exit code."""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        return MISTAKE
    if isinstance(error, BrenierError):
        click.echo(f"error: {error}", err=True)
        return MISTAKE
    click.echo(
        f"unforeseen {type(error).__name__}: {error}\nrun again with --debug for the traceback", err=True
    )
    return 1


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="brenier")
def cli() -> None:
    """Semi-discrete optimal transport between Gaussian noise and data, and what diffusion models do with it.

    Exit codes: 0 done, 1 unforeseen error, 2 a mistake in what was given, 3 not converged, 130 or 143 interrupted.
    """


def run() -> None:
    """The console entry."""
    cli.main()


if __name__ == "__main__":
    run()
