"""The command line, called in this process."""

from __future__ import annotations

import json
from typing import Any

from brenier.cli.main import cli
from click.testing import CliRunner, Result


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def quietly(*arguments: object) -> Result:
    return call(*arguments, "--quiet")


def ok(*arguments: object) -> dict[str, Any]:
    """The record of a command that must succeed."""
    result = quietly(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)
