"""The exception family: every message says what was wrong, what was expected, what came, and the remedy."""

from __future__ import annotations

import importlib
from types import ModuleType


class BrenierError(Exception):
    """Base of everything brenier raises on purpose."""

    def __init__(self, what: str, *, expected: str = "", got: str = "", remedy: str = "") -> None:
        clauses = [f"expected {expected}" if expected else "", f"got {got}" if got else ""]
        sentence = ", ".join(clause for clause in clauses if clause)
        message = f"{what}: {sentence}" if sentence else what
        super().__init__(f"{message}; {remedy}" if remedy else message)


class InputError(BrenierError, ValueError):
    """An argument has the wrong shape, type or values."""


class EngineError(BrenierError, RuntimeError):
    """An engine is unknown, not available on this machine, or failed while running."""


class MissingPackageError(BrenierError, ImportError):
    """An optional package is needed and not installed."""


class FileError(BrenierError, OSError):
    """A file or folder cannot be read, is damaged, or cannot be written."""


class RankLostError(BrenierError, RuntimeError):
    """Another process of a shared work has died, or does not answer."""


class NotConvergedWarning(UserWarning):
    """A fit ended before its independent check met the tolerance."""


def require_package(name: str, extra: str) -> ModuleType:
    """Import an optional package, or say which extra installs it.

    Raises MissingPackageError.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackageError(
            f"package {name.split('.')[0]}",
            expected="to be installed",
            got=str(error),
            remedy=f"pip install 'brenier[{extra}]'",
        ) from error
