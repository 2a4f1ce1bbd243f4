"""The folder of a potential per class: a potential file for each label, and labels.json, which lists them in order."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from brenier.data.atomic import replacing, require_folder
from brenier.data.latents import SelectedRows
from brenier.data.sources import LatentSource, open_source
from brenier.engine import checks
from brenier.errors import FileError, InputError
from brenier.solve.potential import Potential
from brenier.solve.problem import ACCEPTED
from brenier.solve.streamed_potential import StreamedPotential

INDEX, FORMAT = "labels.json", "brenier.labelled.1"
KINDS: dict[str, type[Potential]] = {"in memory": Potential, "streamed": StreamedPotential}
MEMBERS = "members"  # a tensor in each class's file: where its targets stand among those given to fit


class Entry(NamedTuple):
    """What labels.json says of a class."""

    label: int
    targets: int
    kind: str  # of KINDS
    digest: str  # of its file


def write(
    folder: str | os.PathLike[str],
    potentials: dict[int, Potential],
    members: dict[int, Tensor],
    include_targets: bool,
) -> None:
    """All files beside their places first, then renamed, labels.json last: what fails before leaves the old ones."""
    place = require_folder(require_name(folder))
    entries = []
    with ExitStack() as stack:
        index = stack.enter_context(replacing(place / INDEX))
        for label, potential in potentials.items():
            kind, rows = kind_of(potential), members[label].cpu().contiguous()
            file = stack.enter_context(replacing(file_of(place, label)))
            digest = potential.write(file, include_targets and kind == "in memory", {MEMBERS: rows})
            entries.append(Entry(label, len(rows), kind, digest)._asdict())
        index.write_text(json.dumps({"format": FORMAT, "classes": entries}, indent=2) + "\n")


def read(folder: str | os.PathLike[str], targets: Any) -> tuple[dict[int, Potential], dict[int, Tensor]]:
    """Potentials and members by label; targets : those of all classes, a tensor, an array or what open_source takes."""
    place = require_name(folder)
    entries = entries_of(place)
    given = matrix_or_source(targets, any(entry.kind == "streamed" for entry in entries))
    potentials, members = dict[int, Potential](), dict[int, Tensor]()
    for entry in entries:
        path = file_of(place, entry.label)
        members[entry.label] = rows = members_in(path, entry)
        own = None if given is None else of_class(given, rows, entry.kind)
        potentials[entry.label] = KINDS[entry.kind].load(path, own)
    return potentials, members


def require_name(folder: object) -> Path:
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        raise InputError("folder", expected="the name of a folder", got=repr(folder))
    return Path(os.fsdecode(folder))


def file_of(folder: Path, label: int) -> Path:
    """The potential file of one class."""
    return folder / f"label{label}.safetensors"


def kind_of(potential: Potential) -> str:
    for kind, its_type in KINDS.items():
        if type(potential) is its_type:
            return kind
    raise InputError("potential", expected="classes that brenier.fit made", got=type(potential).__name__)


def entries_of(folder: Path) -> list[Entry]:
    """The classes in order; raises FileError."""
    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        if index["format"] != FORMAT:
            raise ValueError(f"format {index['format']}")
        entries = [Entry(**entry) for entry in index["classes"]]
        unknown = [entry for entry in entries if type(entry.label) is not int or entry.kind not in KINDS]
        if unknown or not entries:
            raise ValueError(str(unknown[0]) if unknown else "no classes")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        expected = f"the list of a potential per class ({FORMAT})"
        raise FileError(str(path), expected=expected, got=str(error)) from error
    return entries


def members_in(path: Path, entry: Entry) -> Tensor:
    """Where the class's targets stand; raises FileError for a file that was not saved with the list."""
    try:
        with safe_open(path, framework="pt") as file:
            digest = (file.metadata() or {}).get("digest")
            members: Tensor = file.get_tensor(MEMBERS) if digest == entry.digest else Tensor()
    except (OSError, SafetensorError) as error:
        raise FileError(str(path), expected="a readable safetensors file", got=str(error)) from error
    if digest != entry.digest:
        expected, remedy = f"the file that {INDEX} beside it lists", "save the potential again"
        raise FileError(str(path), expected=expected, got="another one", remedy=remedy)
    sound = members.dtype == torch.int64 and members.shape == (entry.targets,) and len(members) > 0
    if not sound or members.min() < 0:
        expected, remedy = f"the places of {entry.targets} targets", "save the potential again"
        raise FileError(str(path), expected=expected, got="others; the file is damaged", remedy=remedy)
    return members


def matrix_or_source(targets: Any, streamed: bool) -> Tensor | LatentSource | None:
    """In memory where the classes were; a source, which is not copied, where some are streamed."""
    if targets is None:
        return None
    if isinstance(targets, Tensor | np.ndarray) and not streamed:
        return checks.as_matrix(targets, "targets", dtypes=ACCEPTED)
    return open_source(targets)


def of_class(targets: Tensor | LatentSource, rows: Tensor, kind: str) -> Any:
    """The class's targets, in memory where they were."""
    least = int(rows.max()) + 1
    if least > len(targets):
        raise InputError("targets", expected=f"at least {least}, all that were fitted", got=str(len(targets)))
    own = rows_at(targets, rows)
    return own.read(0, len(own)) if kind == "in memory" and not isinstance(own, Tensor) else own


def rows_at(targets: Tensor | LatentSource, rows: Tensor) -> Tensor | LatentSource:
    """Some of the targets, read when asked for where they are a source."""
    if isinstance(targets, Tensor):
        return targets[rows.to(targets.device)]
    return SelectedRows(targets, rows)
