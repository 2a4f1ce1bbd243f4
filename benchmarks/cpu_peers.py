"""Problems and peers of benchmarks/assign_cpu.py: what a user would write today, each at its best block size."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

Winners = Callable[[], Tensor]
BLOCKS = (64, 256, 1024)
COPIES = {"ties": 1, "duplicates": 2, "eightfold": 8}
"""Kinds of targets in {-1, 0, 1} with noise in whole numbers, and how often each of them occurs."""


@dataclass(frozen=True)
class Case:
    """One row of the table; `goal` is the wanted ratio to the best peer."""

    name: str
    rows: int
    targets: int
    depth: int
    kind: str
    goal: float
    exact: str = "certified"
    filter: str | None = None  # forced by BRENIER_CPU_FILTER
    includes_packing: bool = False  # of the targets

    @property
    def data(self) -> tuple[int, int, int, str]:
        """What names the data: cases that share it share the peers' first rates."""
        return self.rows, self.targets, self.depth, self.kind


CASES = (  # those that share their data stand together: it is made once
    Case("images 32x32", 4096, 50_000, 3072, "images", 4.0),
    Case("images, strict", 4096, 50_000, 3072, "images", 2.0, exact="strict"),
    Case("images, float32 alone", 4096, 50_000, 3072, "images", 1.0, filter="fp32"),
    Case("images 64x64", 1024, 20_000, 12_288, "images", 4.0),
    Case("images 64x64, float32 alone", 1024, 20_000, 12_288, "images", 1.0, filter="fp32"),
    Case("latents", 8192, 50_000, 128, "latents", 3.5),
    Case("latents, float32 alone", 8192, 50_000, 128, "latents", 1.3, filter="fp32"),
    Case("subspace", 50_000, 50_000, 64, "latents", 4.0),
    Case("subspace, float32 alone", 50_000, 50_000, 64, "latents", 1.3, filter="fp32"),
    Case("digits", 8192, 1797, 64, "digits", 2.0, includes_packing=True),
    Case("within 1e-3", 2048, 20_000, 256, "near", 0.8),
    Case("heavy ties", 2048, 20_000, 256, "ties", 0.8),
    Case("half duplicates", 2048, 20_000, 256, "duplicates", 0.8),
    Case("every target eight times", 2048, 20_000, 256, "eightfold", 0.8),
)


@lru_cache(maxsize=1)
def problem(rows: int, targets: int, depth: int, kind: str, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Noise, targets, and heights near the optimum (h = -z‖y - mean‖, docs/numerics.md); scale shrinks N and n."""
    rows, targets = (max(256, int(size * scale)) for size in (rows, targets))
    generator = torch.Generator().manual_seed(1)
    y = make_targets(kind, targets, depth, generator)
    x = torch.randn(rows, depth, generator=generator)
    if kind in COPIES:
        return x.round(), y, torch.zeros(len(y), dtype=torch.float64)
    z = torch.special.ndtri(torch.tensor(1 - 1 / len(y), dtype=torch.float64))
    return x, y, -z * (y - y.mean(dim=0)).double().norm(dim=1)


def make_targets(kind: str, targets: int, depth: int, generator: torch.Generator) -> Tensor:
    if kind == "digits":
        from sklearn.datasets import load_digits

        return torch.from_numpy(load_digits().data.astype(np.float32)) / 8 - 1
    noise = torch.randn(targets, depth, generator=generator)
    if kind == "near":
        return torch.randn(1, depth, generator=generator) + 1e-3 * noise
    if kind in COPIES:
        own = -(-targets // COPIES[kind])
        return noise.round().clamp(-1, 1)[torch.randperm(targets, generator=generator) % own]
    smooth = 64 if kind == "images" else min(depth, 64)
    decay = 1 / (1 + torch.arange(smooth) / 8).sqrt()
    base = torch.randn(targets, smooth, generator=generator) * decay
    waves = torch.cos(torch.pi * torch.outer(torch.arange(smooth), torch.arange(depth) + 0.5) / depth)
    return torch.tanh(base @ waves * 0.2) + 0.1 * noise


def by_torch(x: Tensor, y: Tensor, h: Tensor, rows: int) -> Winners:
    bias = h.float()
    return lambda: torch.cat([torch.addmm(bias, block, y.T).argmax(dim=1) for block in x.split(rows)])


def by_numpy(x: Tensor, y: Tensor, h: Tensor) -> Winners:
    a, b, bias = x.numpy(), y.numpy().T, h.float().numpy()
    blocks = range(0, len(a), 256)
    return lambda: torch.from_numpy(
        np.concatenate([(a[lo : lo + 256] @ b + bias).argmax(axis=1) for lo in blocks])
    )


def by_faiss(x: Tensor, y: Tensor, h: Tensor) -> Winners:
    """Inner products of (x, 1) and (y, h): an exact flat index."""
    import faiss

    index = faiss.IndexFlatIP(y.shape[1] + 1)
    index.add(np.hstack([y.numpy(), h.float().numpy()[:, None]]))
    queries = np.hstack([x.numpy(), np.ones((len(x), 1), dtype=np.float32)])
    return lambda: torch.from_numpy(index.search(queries, 1)[1][:, 0])


def by_sklearn(x: Tensor, y: Tensor, h: Tensor) -> Winners:
    """Nearest neighbour of (x, 0) among (y, √(c - ‖y‖² + 2h)): the same order as <x, y> + h."""
    from sklearn.metrics import pairwise_distances_argmin

    lift = 2 * h - y.double().square().sum(dim=1)
    lifted = torch.cat([y, (lift - lift.min()).sqrt().float()[:, None]], dim=1).numpy()
    queries = np.hstack([x.numpy(), np.zeros((len(x), 1), dtype=np.float32)])
    return lambda: torch.from_numpy(pairwise_distances_argmin(queries, lifted))


def peers() -> dict[str, Callable[[Tensor, Tensor, Tensor], Winners]]:
    """Those installed here: of x, y, h they make a closure that repeats the whole search, data in its own layout."""
    found: dict[str, Callable[[Tensor, Tensor, Tensor], Winners]] = {
        f"torch, blocks of {rows}": partial(by_torch, rows=rows) for rows in BLOCKS
    }
    found["numpy"] = by_numpy
    if importlib.util.find_spec("faiss"):
        found["faiss"] = by_faiss
    if importlib.util.find_spec("sklearn"):
        found["scikit-learn"] = by_sklearn
    return found


@lru_cache(maxsize=1)
def exact_winners(rows: int, targets: int, depth: int, kind: str, scale: float, sample: int) -> Tensor:
    """Winners of the first rows of the problem by products in float64, the lowest index of equal scores."""
    x, y, h = problem(rows, targets, depth, kind, scale)
    first, best = x[:sample].double().numpy(), np.full(min(sample, len(x)), -np.inf)
    winners = np.full(len(best), -1)
    for lo in range(0, len(y), 2048):
        scores = first @ y[lo : lo + 2048].double().numpy().T + h[lo : lo + 2048].numpy()
        here = scores.max(axis=1)
        winners = np.where(here > best, lo + scores.argmax(axis=1), winners)
        best = np.maximum(here, best)
    return torch.from_numpy(winners)
