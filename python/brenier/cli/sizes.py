"""Sizes as people write them: 6GiB, 800 MiB, 4096."""

from __future__ import annotations

import re

import click

UNITS = {"": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}


class Size(click.ParamType):
    """A number of bytes, with or without a binary unit."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value))
        if found is None or found[2].upper() not in UNITS or float(found[1]) <= 0:
            self.fail(f"{value!r} is no size such as 6GiB, 800MiB or a number of bytes", param, ctx)
        return int(float(found[1]) * UNITS[found[2].upper()])
