"""The file of a potential: safetensors with JSON metadata, a digest and a fingerprint of the targets."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from brenier.data.atomic import write_bytes
from brenier.errors import FileError, InputError

FORMAT = "brenier.potential.1"
ROWS = 4096


def fingerprint(targets: Tensor) -> str:
    """SHA-256 of shape, dtype and values, read in blocks."""
    digest = hashlib.sha256(f"{tuple(targets.shape)} {targets.dtype}".encode())
    for lo in range(0, len(targets), ROWS):
        digest.update(raw(targets[lo : lo + ROWS]))
    return digest.hexdigest()


def raw(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def digest_of(tensors: dict[str, Tensor], *texts: str) -> str:
    """SHA-256 of named tensors and of the metadata beside them."""
    digest = hashlib.sha256("\0".join(texts).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        digest.update(raw(tensors[name]))
    return digest.hexdigest()


def write(
    path: str | os.PathLike[str], tensors: dict[str, Tensor], targets: Tensor, info: dict[str, Any]
) -> None:
    require_path(path)
    print_of, text = fingerprint(targets), json.dumps(info, sort_keys=True)
    digest = digest_of(tensors, print_of, text)
    metadata = {"format": FORMAT, "digest": digest, "fingerprint": print_of, "info": text}
    write_bytes(path, serialise(tensors, metadata))


def read(
    path: str | os.PathLike[str], targets: Tensor | None
) -> tuple[dict[str, Tensor], Tensor, dict[str, Any]]:
    """Tensors, targets and info; FileError for a damaged file, InputError for other targets."""
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT or not {"heights", "centre", "masses"} <= tensors.keys():
        raise FileError(str(path), expected=f"a potential ({FORMAT})", got=str(metadata.get("format")))
    texts = (metadata.get("fingerprint", ""), metadata.get("info", ""))
    if digest_of(tensors, *texts) != metadata.get("digest"):
        raise FileError(
            str(path), expected="the digest written with it", got="other bytes; the file is damaged"
        )
    if targets is None and "targets" not in tensors:
        raise InputError(
            "targets",
            expected="the targets this potential was fitted to, which its file does not hold",
            got="None",
            remedy="pass targets=...",
        )
    matrix = tensors["targets"] if targets is None else targets
    if fingerprint(matrix) != metadata["fingerprint"]:
        raise InputError(
            "targets",
            expected=f"those fitted, fingerprint {metadata['fingerprint'][:16]}",
            got=f"fingerprint {fingerprint(matrix)[:16]}",
        )
    if any(tensors[name].shape != matrix.shape[:1] for name in ("heights", "masses")):
        raise FileError(
            str(path), expected=f"{len(matrix)} heights", got=f"{tuple(tensors['heights'].shape)}"
        )
    return tensors, matrix, json.loads(metadata["info"])


def require_path(path: object) -> None:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise InputError("path", expected="the name of a file", got=repr(path))


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    require_path(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise FileError(str(path), expected="a readable safetensors file", got=str(error)) from error
