"""The file of a potential: safetensors with JSON metadata, a digest and a fingerprint of the targets."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from brenier.data.atomic import write_bytes
from brenier.errors import FileError, InputError
from brenier.solve.fingerprint import fingerprint, raw

FORMAT = "brenier.potential.1"


def digest_of(tensors: dict[str, Tensor], *texts: str) -> str:
    """SHA-256 of named tensors and of the metadata beside them."""
    digest = hashlib.sha256("\0".join(texts).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        digest.update(raw(tensors[name]))
    return digest.hexdigest()


def write(
    path: str | os.PathLike[str],
    tensors: dict[str, Tensor],
    print_of: str,
    info: dict[str, Any],
    kind: str = FORMAT,
) -> str:
    """print_of : the fingerprint of the targets; kind : the format, which read must be told too; returns the digest"""
    require_path(path)
    text = json.dumps(info, sort_keys=True)
    digest = digest_of(tensors, print_of, text)
    metadata = {"format": kind, "digest": digest, "fingerprint": print_of, "info": text}
    write_bytes(path, serialise(tensors, metadata))
    return digest


def read(
    path: str | os.PathLike[str], targets: Tensor | None, kind: str = FORMAT
) -> tuple[dict[str, Tensor], Tensor, dict[str, Any]]:
    """Tensors, targets and info; FileError for a damaged file, InputError for other targets."""
    tensors, metadata = read_undamaged(path, kind)
    if targets is None and "targets" not in tensors:
        raise InputError(
            "targets",
            expected="the targets this potential was fitted to, which its file does not hold",
            got="None",
            remedy="pass targets=...",
        )
    matrix = tensors["targets"] if targets is None else targets
    require_targets(path, tensors, metadata, fingerprint(matrix), len(matrix))
    return tensors, matrix, json.loads(metadata["info"])


def read_checked(
    path: str | os.PathLike[str], print_of: str, targets: int
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and info of a potential over so many targets of that fingerprint; raises as read does."""
    tensors, metadata = read_undamaged(path)
    require_targets(path, tensors, metadata, print_of, targets)
    return tensors, json.loads(metadata["info"])


def masses_in(path: str | os.PathLike[str], targets: int) -> Tensor:
    """The masses of an undamaged potential over so many targets."""
    masses = read_undamaged(path)[0]["masses"]
    require_heights(path, masses, targets)
    return masses


def read_undamaged(
    path: str | os.PathLike[str], kind: str = FORMAT
) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != kind or not {"heights", "centre", "masses"} <= tensors.keys():
        raise FileError(str(path), expected=f"a potential ({kind})", got=str(metadata.get("format")))
    texts = (metadata.get("fingerprint", ""), metadata.get("info", ""))
    if digest_of(tensors, *texts) != metadata.get("digest"):
        raise FileError(
            str(path), expected="the digest written with it", got="other bytes; the file is damaged"
        )
    return tensors, metadata


def require_targets(
    path: str | os.PathLike[str],
    tensors: dict[str, Tensor],
    metadata: dict[str, str],
    print_of: str,
    targets: int,
) -> None:
    """Refuse targets of another fingerprint, and heights of another number."""
    if print_of != metadata["fingerprint"]:
        raise InputError(
            "targets",
            expected=f"those fitted, fingerprint {metadata['fingerprint'][:16]}",
            got=f"fingerprint {print_of[:16]}",
        )
    for name in ("heights", "masses"):
        require_heights(path, tensors[name], targets)


def require_heights(path: str | os.PathLike[str], numbers: Tensor, targets: int) -> None:
    """Refuse heights or masses of another number of targets."""
    if numbers.shape != (targets,):
        raise FileError(str(path), expected=f"{targets} heights", got=f"{tuple(numbers.shape)}")


def require_path(path: object) -> None:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise InputError("path", expected="the name of a file", got=repr(path))


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    require_path(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        remedy = "the folder of a potential per class is LabelledPotential's" if Path(path).is_dir() else ""
        expected = "a readable safetensors file"
        raise FileError(str(path), expected=expected, got=str(error), remedy=remedy) from error
