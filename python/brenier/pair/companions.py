"""What goes with the data of a pool: a class or a condition for every row, given once or handed out by the source."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from torch import Tensor

from brenier.engine import checks
from brenier.errors import InputError
from brenier.pair.scores import class_array
from brenier.pair.streams import Rows
from brenier.solve.fingerprint import fingerprint
from brenier.types import Array

Companion = Tensor | np.ndarray | bool | None
"""One entry per item of the source (an array unless they are numbers), True for the source's second field, or none."""


def conditions(value: Array | bool | None, source: Any) -> Companion:
    """Conditions (n, ...) of the source's items; raises InputError."""
    if value is None or isinstance(value, bool):
        return value
    tensor = checks.as_tensor(value, "condition")
    require_entries(tensor, "condition", source)
    return tensor.cpu()


def classes(value: Array | bool | None, source: Any) -> Companion:
    """Classes (n,) of the source's items, numbers or anything else that sorts; raises InputError."""
    if value is None or isinstance(value, bool):
        return value
    try:
        array: Any = value if isinstance(value, Tensor) else class_array(value)
    except ValueError as error:  # lists of unequal lengths
        expected = "one class per item: integers or strings"
        raise InputError("labels", expected=expected, got=str(error)) from error
    if isinstance(array, Tensor) or array.dtype.kind in "biufc":
        array = checks.as_tensor(array, "labels").cpu()
    require_entries(array, "labels", source)
    return array


def require_entries(entries: Any, what: str, source: Any) -> None:
    """Raise InputError unless there is one for each item of the source."""
    if not hasattr(source, "__len__") or not hasattr(source, "__getitem__"):
        remedy = "let the loader hand them out as the second field"
        got = type(entries).__name__
        raise InputError(what, expected="True or None with a loader", got=got, remedy=remedy)
    if entries.ndim == 0 or len(entries) != len(source):
        expected = f"shape (n, ...) with n = {len(source)}"
        raise InputError(what, expected=expected, got=f"shape {tuple(entries.shape)}")


def of_rows(rows: Rows, given: Companion) -> Any:
    """The entries of some rows: a tensor of numbers, or a list of anything else; None without."""
    if given is None or given is False:
        return None
    if isinstance(given, Tensor):
        return given[rows.index]
    if isinstance(given, np.ndarray):
        return given[rows.index.numpy()].tolist()
    if len(rows.fields) < 2:
        expected = "a source whose items have a second field"
        raise InputError("labels or condition = True", expected=expected, got="one field")
    return rows.fields[1]


def identity_of(given: Companion) -> str | bool | None:
    """What tells classes or conditions from others."""
    if isinstance(given, Tensor):
        return fingerprint(given)[:32]
    if isinstance(given, np.ndarray):
        return hashlib.blake2b(repr(given.tolist()).encode(), digest_size=16).hexdigest()
    return given or None
