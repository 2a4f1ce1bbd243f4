"""Image-like data on disk: smooth images plus pixel noise, each a function of the seed and its number."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from brenier.data import Stream, normal
from brenier.engine.project import prepare_directions, project

WAVES = 24  # smooth waves that every image mixes
GRAIN = 8.0  # standard deviation of the pixel noise, in grey levels
ROWS = 16  # images that a thread makes at a time
WEIGHTS_SEED = 1 << 32  # beside the seed of the pixel noise


def waves_of(side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine waves (WAVES, side²) and the standard deviation of each one's weight, in grey levels."""
    frequency = np.random.default_rng(seed).integers(0, 8, (WAVES, 2))
    axis = np.linspace(0, np.pi, side, dtype=np.float32)
    height, width = np.cos(np.outer(frequency[:, 0], axis)), np.cos(np.outer(frequency[:, 1], axis))
    waves = np.einsum("ki,kj->kij", height, width).reshape(WAVES, -1).astype(np.float32)
    return waves, (60 / (1 + np.hypot(*frequency.T))).astype(np.float32)


def generate(path: Path, shape: tuple[int, int, int, int], seed: int = 0) -> None:
    """Write shape (n, channels, side, side) of uint8 as .npy, by two threads."""
    rows, channels, side, _ = shape
    waves, deviations = waves_of(side, seed)
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)

    prepared = prepare_directions(np.ascontiguousarray(waves.T))

    def write(lo: int) -> None:
        hi = min(lo + ROWS, rows)
        weights = normal(seed + WEIGHTS_SEED, lo, hi - lo, channels * WAVES, stream=Stream.SAMPLE)
        smooth = (
            project(weights.view(-1, WAVES) * torch.from_numpy(deviations), prepared)
            .numpy()
            .reshape(hi - lo, -1)
        )
        grain = normal(seed, lo, hi - lo, channels * side * side, stream=Stream.SAMPLE).numpy()
        for image, noise, place in zip(
            smooth, grain, file[lo:hi], strict=True
        ):  # one by one: they fit in cache
            noise *= GRAIN
            noise += image
            noise += 128
            np.clip(noise, 0, 255, out=noise)
            place[...] = noise.reshape(channels, side, side)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(0, rows, ROWS)))
    file.flush()
