"""Files that are open to be read at positions, so many of them at a time that a process never runs out."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path

from brenier.errors import FileError

MOST_OPEN = 64  # of a source; a process may have 1,024 on most systems


class OpenFile:
    """A file open for reading, closed once nobody refers to it; raises FileError."""

    def __init__(self, path: Path) -> None:
        try:
            self.number = os.open(path, os.O_RDONLY)
        except OSError as error:
            got = error.strerror or str(error)
            raise FileError(str(path), expected="a readable file", got=got) from error

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


class OpenFiles:
    """The files of a source by their number, of which the MOST_OPEN that were asked for last stay open.

    Any threads may ask; one that is closed for another's sake stays open for whoever holds it. The first ones are
    opened now, so that a source of few files keeps those it was made of, whatever becomes of their names.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = [path.absolute() for path in paths]
        self._open = functools.lru_cache(MOST_OPEN)(OpenFile)
        for path in self._paths[:MOST_OPEN]:
            self._open(path)

    def __getitem__(self, index: int) -> OpenFile:
        return self._open(self._paths[index])
