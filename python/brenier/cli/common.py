"""What all commands share: --json, --config, --quiet, --debug, and the options that read files."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from brenier.errors import FileError, InputError

FILE = click.Path(path_type=Path)


def command(examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A subcommand with the shared options; the examples end its help."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        own = getattr(function, "__click_params__", [])
        function.__click_params__ = [*reversed(SHARED), *own]  # type: ignore[attr-defined]  # shared ones last
        lines = "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
        return click.command(epilog=f"\b\nExamples:\n{lines}")(function)

    return decorate


def read_config(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> None:  # noqa: ARG001
    """Take a TOML file's values as defaults: keys are long option names, the command line wins."""
    if path is None:
        return
    known = {
        name.removeprefix("--"): option.name
        for option in ctx.command.params
        for name in option.opts
        if name.startswith("--") and option.name not in ("config", "help")
    }
    values = parse_toml(path)
    unknown = sorted(values.keys() - known.keys())
    if unknown:
        raise InputError(
            f"{path}: key {unknown[0]!r}",
            expected="one of " + ", ".join(sorted(known)),
            got=repr(unknown[0]),
            remedy="keys are the command's long option names without the dashes",
        )
    ctx.default_map = {str(known[key]): as_typed(key, value) for key, value in values.items()}


def parse_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(str(path), expected="a readable TOML file", got=str(error)) from error


def as_typed(key: str, value: Any) -> Any:
    """The value as if typed on the command line, so that click checks it with the same strictness."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return [as_typed(key, item) for item in value]
    raise InputError(f"key {key!r}", expected="a number, a string, true, false or a list", got=repr(value))


SHARED: list[click.Parameter] = [
    click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON on stdout."),
    click.Option(
        ["--config"],
        type=FILE,
        is_eager=True,
        expose_value=False,
        callback=read_config,
        help="TOML file of long option names; the command line wins.",
    ),
    click.Option(["--quiet"], is_flag=True, help="No progress bars."),
    click.Option(["--debug"], is_flag=True, expose_value=False, help="Print the traceback of an error."),
]


def reading(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how the main input file is read."""
    for option in (
        click.option("--tensor", help="Which tensor of a .safetensors file [default: the first by name]."),
        click.option(
            "--layout",
            type=click.Choice(["nchw", "nhwc"]),
            default="nchw",
            show_default=True,
            help="Of arrays with four axes.",
        ),
        click.option(
            "--value-range",
            type=click.Choice(["raw", "0..1", "-1..1", "uint8"]),
            help="Values after loading [default: uint8 to -1..1, floats as stored].",
        ),
    ):
        function = option(function)
    return function


def require_resumable(options: dict[str, Any]) -> None:
    """Raise InputError for --resume without --checkpoint."""
    if options["resume"] and options["checkpoint"] is None:
        raise InputError("--resume", expected="a file to resume from, --checkpoint FILE", got="none")


def emit(as_json: bool, record: dict[str, Any], text: str) -> None:
    """The result on stdout: one JSON object, or text for people."""
    click.echo(json.dumps(record, indent=2, allow_nan=False) if as_json else text)


def silent(message: str) -> None:
    """What ranks after the first have to say: the first says it."""


def note(message: str) -> None:
    """A remark on stderr, where it does not disturb the result."""
    click.echo(message, err=True)
