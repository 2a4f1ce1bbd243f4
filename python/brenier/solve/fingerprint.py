"""What tells one set of targets from another."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

ROWS = 4096


def fingerprint(targets: Tensor) -> str:
    """SHA-256 of shape, dtype and values, read in blocks."""
    digest = hashlib.sha256(f"{tuple(targets.shape)} {targets.dtype}".encode())
    for lo in range(0, len(targets), ROWS):
        digest.update(raw(targets[lo : lo + ROWS]))
    return digest.hexdigest()


def raw(tensor: Tensor) -> memoryview:
    """The bytes of the values, not copied where they are on the CPU and contiguous."""
    if not tensor.numel():
        return memoryview(b"")
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def summary(shape: tuple[int, ...], centre: np.ndarray, norms: np.ndarray) -> str:
    """SHA-256 of shape, centre and the norms of centred targets: another value of any target changes its norm."""
    digest = hashlib.sha256(f"streamed {tuple(shape)}".encode())
    digest.update(centre.tobytes())
    digest.update(norms.tobytes())
    return digest.hexdigest()
