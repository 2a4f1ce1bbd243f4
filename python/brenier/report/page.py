"""One self-contained HTML page: no script, no font, no image from anywhere else."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brenier.errors import require_package
from brenier.report import demo_words, pictures
from brenier.report.tables import demo_tables

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Picture:
    """A picture of the page: an SVG element, or pixels; with its caption."""

    name: str
    caption: str
    svg: str = ""
    pixels: np.ndarray | None = None

    @property
    def source(self) -> str:
        """Pixels as a data: address."""
        if self.pixels is None:
            return ""
        return "data:image/png;base64," + base64.b64encode(pictures.png(self.pixels)).decode()

    @property
    def width(self) -> int:
        return 0 if self.pixels is None else self.pixels.shape[1]

    @property
    def height(self) -> int:
        return 0 if self.pixels is None else self.pixels.shape[0]


def render(record: dict[str, Any], shown: dict[str, Picture]) -> str:
    """The demo's report as HTML; every text comes from the record's numbers.

    shown : pictures by name. All text is escaped; SVG is our own and goes in as it is.
    """
    jinja2 = require_package("jinja2", "report")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page: str = environment.get_template("report.html").render(
        record=record,
        pictures=shown,
        words=demo_words.all_words(record),
        tables=demo_tables(record),
        cards=demo_words.cards(record),
    )
    return page
