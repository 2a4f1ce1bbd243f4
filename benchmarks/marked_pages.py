"""Parts of documents that a benchmark writes, between ``<!-- name: begin -->`` and ``<!-- name: end -->``."""

from __future__ import annotations

from pathlib import Path


def replace_part(page: Path, name: str, text: str) -> None:
    """Put text in place of the part of that name."""
    opening, closing = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, rest = page.read_text().split(opening, 1)
    after = rest.split(closing, 1)[1]
    page.write_text(f"{before}{opening}\n{text}\n\n{closing}{after}")
