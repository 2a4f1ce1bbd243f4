"""Files that are whole or absent: write beside, sync, rename."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brenier.errors import FileError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name when the block ends, and vanishes if it fails.

    The suffix is kept, so that writers which read it still see it. Raises FileError where the system refuses.
    """
    final = Path(path)
    temporary = _beside(final, f".part{final.suffix}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, final)
        _sync(final.parent)
    except FileError:
        raise
    except OSError as error:
        raise _unwritable(final, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: str | os.PathLike[str]) -> Path:
    """The path, once a file has been created beside it and removed again; raises FileError otherwise.

    Called before long work starts, so that the work is not lost at its end.
    """
    final = Path(path)
    if final.is_dir():
        raise FileError(str(final), expected="the name of a file", got="a folder", remedy="add a file name")
    probe = _beside(final, ".probe")
    try:
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(final, error) from error
    return final


def require_folder(path: str | os.PathLike[str]) -> Path:
    """The folder, made with its parents if absent and checked to accept files; raises FileError."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    require_writable(folder / "file")
    return folder


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole UTF-8 text file or none."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a whole binary file or none."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _beside(path: Path, ending: str) -> Path:
    """A name that nobody else has, in the same folder; process numbers are shared by containers on one storage."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(6)}{ending}")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(path: Path, error: OSError) -> FileError:
    return FileError(
        str(path),
        expected="to be writable",
        got=error.strerror or str(error),
        remedy="choose another place or make its folder",
    )
