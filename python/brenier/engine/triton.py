"""The Triton engine: a filter over fused tiles in half precision, and a float64 decision among its survivors.

Rows that the half-precision filter leaves with more than their lists hold (many ties, heights beyond float32) go
through the float32 filter of kernels/assign.py, which needs no lists of fixed length.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from brenier.engine import certified, gpu_circles, int8_rows
from brenier.engine.checks import require_finite
from brenier.engine.filtered import Filtered, assigned_in_blocks, listed_in_blocks
from brenier.engine.gpu_filter import gpu_filter, lists_fit
from brenier.engine.halves import HalfTargets, pack_targets
from brenier.engine.int8_rows import ByteTargets
from brenier.engine.reference import ReferenceEngine, concatenate
from brenier.engine.triton_auction import TritonBidder
from brenier.engine.triton_filter import TritonBackend, capability, interpreted, launch
from brenier.engine.triton_int8 import ByteBackend, ByteFiltered
from brenier.types import Candidates, CircleCandidates

PAIRS_AT_ONCE = 1 << 20
"""Survivors held at a time: 24 bytes each. A single row may exceed it, up to its n targets."""


def kernels() -> ModuleType:
    return importlib.import_module("brenier.kernels.assign")


@dataclass(frozen=True)
class ScaledTargets:
    """Targets as the caller has them, with the scale and norm that the float32 bound needs."""

    values: Tensor  # (n, d)
    scale: float
    norm: float  # largest ‖y_i‖ · scale


class TritonTargets:
    """Targets as given; each filter's view of them is made when it is first wanted."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    @cached_property
    def scaled(self) -> ScaledTargets:
        norm = float(certified.row_norms(self.values).max())
        scale = certified.power_of_two(norm)
        return ScaledTargets(self.values, scale, norm * scale)

    @cached_property
    def halves(self) -> HalfTargets:
        return pack_targets(self.values)

    @cached_property
    def bytes(self) -> ByteTargets:
        return int8_rows.pack_targets(self.values)


class TritonEngine:
    """brenier.kernels.assign on CUDA tensors, or on CPU tensors with TRITON_INTERPRET=1 (slow, for tests)."""

    name = "triton"
    dithers = True

    def __init__(self) -> None:
        self.devices: tuple[str, ...] = ("cuda", "cpu") if interpreted() else ("cuda",)

    @property
    def screens(self) -> bool:
        """Whether rows of noise that are not finite are found on the way."""
        return gpu_filter() != "plain"

    def why_unavailable(self) -> str | None:
        if importlib.util.find_spec("triton") is None:
            return "package triton is not installed"
        if not interpreted() and not torch.cuda.is_available():
            return (
                "no CUDA device: torch.cuda.is_available() is False; "
                "set TRITON_INTERPRET=1 to run its kernels slowly on the CPU"
            )
        return None

    def detail(self) -> str:
        version = importlib.import_module("triton").__version__
        where = "interpreted on the CPU" if interpreted() else torch.cuda.get_device_name()
        return f"triton {version}, {where}"

    def prepare(self, y: Tensor) -> TritonTargets:
        targets = TritonTargets(y)
        if y.numel() > 0 and lists_fit(len(y)):
            targets.bytes if gpu_filter() == "int8" else targets.halves  # packed here, not in the first call
        return targets

    def bidder(self, device: torch.device) -> TritonBidder:
        """Who bids in assignment problems on that device."""
        return TritonBidder(interpreted=device.type == "cpu")

    def filtered(self, x: Tensor, y: TritonTargets) -> bool:
        return not trivial(x, y) and lists_fit(len(y.values))

    def assign(
        self,
        x: Tensor,
        y: TritonTargets,
        h: Tensor,
        exact: str = "certified",
        warm: Tensor | None = None,  # noqa: ARG002 - guesses would save nothing
    ) -> tuple[Tensor, Tensor]:
        """Winners int64 (N,) and their float64 scores (N,), as in engine/reference.py."""
        if not self.filtered(x, y):
            require_finite(x, "x")
        if trivial(x, y):
            return ReferenceEngine().assign(x, y.values, h)
        if not self.filtered(x, y):
            return assigned_in_blocks(x, lambda rows: Filter(rows, y.scaled, h).assign())
        if gpu_filter() == "int8":
            return in_bytes(x, y, h, exact).assign(lambda rows: by_halves(rows, y, h))
        return by_halves(x, y, h)

    def candidates(self, x: Tensor, y: TritonTargets, h: Tensor, margin: float) -> Candidates:
        """Targets with float64 score ≥ best − margin, ascending by index, as in engine/reference.py."""
        if not self.filtered(x, y):
            require_finite(x, "x")
        if trivial(x, y):
            return ReferenceEngine().candidates(x, y.values, h, margin)

        def plain(rows: Tensor) -> Candidates:
            return Filter(rows, y.scaled, h).candidates(margin)

        if not self.filtered(x, y):
            return listed_in_blocks(x, plain)
        return half(x, y, h).candidates(margin, plain)

    def circle_candidates(self, x: Tensor, y: TritonTargets, h: Tensor, margin: float) -> CircleCandidates:
        """Targets within the margin at one of the points of each pair of rows, ascending by index."""
        if not self.filtered(x, y):
            require_finite(x, "x")
            return ReferenceEngine().circle_candidates(x, y.values, h, margin)
        return gpu_circles.circle_candidates(x, y.halves, h, margin)


def trivial(x: Tensor, y: TritonTargets) -> bool:
    """Nothing to multiply: no rows, no targets or no dimension."""
    return x.numel() == 0 or y.values.numel() == 0


def by_halves(x: Tensor, y: TritonTargets, h: Tensor) -> tuple[Tensor, Tensor]:
    """Winners and scores through the half-precision filter, and the float32 filter for rows that overflow."""
    return half(x, y, h).assign(lambda rows: Filter(rows, y.scaled, h).assign())


def in_bytes(x: Tensor, y: TritonTargets, h: Tensor, exact: str) -> ByteFiltered:
    """The problem as the int8 filter takes it."""
    return ByteFiltered(ByteBackend(capability(x)), x, y.bytes, h.contiguous(), exact=exact)


def half(x: Tensor, y: TritonTargets, h: Tensor) -> Filtered:
    """The problem as the half-precision filter takes it."""
    return Filtered(TritonBackend(capability(x)), x, y.halves, h.contiguous())


class Filter:
    """One problem on its way through the kernels: scales, bias, bound and tiles."""

    def __init__(self, x: Tensor, y: ScaledTargets, h: Tensor) -> None:
        self.x, self.y, self.h = x, y, h.contiguous()
        norms = certified.row_norms(x)
        self.x_scale = certified.power_of_two(float(norms.max()))
        self.bias = (h * (self.x_scale * y.scale)).float()
        depth, scales = x.shape[1], (self.x_scale, y.scale)
        roundings = kernels().roundings(depth, self.config.section)
        self.bound = certified.bound(norms * self.x_scale, y.norm, scales, depth, roundings)

    @cached_property
    def config(self) -> Any:
        return kernels().configuration(len(self.x), len(self.y.values), capability(self.x))

    def assign(self) -> tuple[Tensor, Tensor]:
        best, winners = self.best()
        sure, roomy = certified.thresholds(best, self.bound, margin=0.0)
        everyone = torch.arange(len(self.x), device=self.x.device)
        counts = self.count(everyone, roomy)
        several = (counts.sum(dim=1) > 1) | (roomy == -torch.inf)
        alone = (~several).nonzero()[:, 0]  # one survivor: it is the best fp32 score, and the winner
        scores = torch.full((len(self.x),), -torch.inf, dtype=torch.float64, device=self.x.device)
        scores[alone] = self.score(alone, winners[alone])
        for rows, owner, index, score in self.survivors(several.nonzero()[:, 0], counts, sure):
            winners[rows], scores[rows] = certified.fold_pairs(owner, index, score, len(rows))
        winners[scores == -torch.inf] = -1
        return winners, scores

    def candidates(self, margin: float) -> Candidates:
        best, _ = self.best()
        sure, roomy = certified.thresholds(best, self.bound, margin * (self.x_scale * self.y.scale))
        everyone = torch.arange(len(self.x), device=self.x.device)
        lengths, indices, values = [], [], []
        for rows, owner, index, score in self.survivors(everyone, self.count(everyone, roomy), sure):
            _, top = certified.fold_pairs(owner, index, score, len(rows))
            keep = (score >= (top - margin)[owner]) & (score > -torch.inf)
            lengths.append(torch.bincount(owner[keep], minlength=len(rows)))
            indices.append(index[keep])
            values.append(score[keep])
        return concatenate(lengths, indices, values, self.x.device)

    def survivors(self, rows: Tensor, counts: Tensor, least: Tensor) -> Any:
        """(rows, owner, index, float64 score) of all that reach the threshold, a bounded group at a time."""
        for lo, hi in certified.groups(counts[rows].sum(dim=1), PAIRS_AT_ONCE):
            some = rows[lo:hi]
            index = self.fill(some, least[some], counts[some])
            owner = torch.arange(hi - lo, device=rows.device).repeat_interleave(counts[some].sum(dim=1))
            yield some, owner, index, self.score(some[owner], index)

    def best(self) -> tuple[Tensor, Tensor]:
        """The best fp32 score of each row and its lowest index."""
        parts = (len(self.x), self.config.splits)
        best = torch.empty(parts, dtype=torch.float32, device=self.x.device)
        winner = torch.empty(parts, dtype=torch.int64, device=self.x.device)
        operands = (self.x, self.y.values, self.bias, best, winner, *parts[:1], *self.sizes())
        launch(kernels().best_tiles, self.grid(len(self.x)), *operands, **self.tiles())
        return certified.fold_parts(best, winner)

    def count(self, rows: Tensor, least: Tensor) -> Tensor:
        """How many targets of each part reach the row's threshold, (len(rows), splits)."""
        counts = torch.empty(len(rows), self.config.splits, dtype=torch.int64, device=rows.device)
        self.list_into(rows, least, counts, counts, counts, fill=False)
        return counts

    def fill(self, rows: Tensor, least: Tensor, counts: Tensor) -> Tensor:
        """Those targets, each part in its own room of `counts` places, ascending; -1 in places left over."""
        starts = torch.zeros(counts.numel() + 1, dtype=torch.int64, device=rows.device)
        starts[1:] = counts.flatten().cumsum(0)
        indices = torch.full((int(starts[-1]),), -1, dtype=torch.int64, device=rows.device)
        self.list_into(rows, least, starts, counts, indices, fill=True)
        return indices

    def list_into(
        self, rows: Tensor, least: Tensor, starts: Tensor, counts: Tensor, indices: Tensor, fill: bool
    ) -> None:
        launch(
            kernels().list_tiles, self.grid(len(rows)),
            self.x, self.y.values, self.bias, rows, least, starts, counts, indices, len(rows),
            *self.sizes(), FILL=fill, **self.tiles(),
        )  # fmt: skip

    def score(self, rows: Tensor, targets: Tensor) -> Tensor:
        """Float64 scores of (row, target) pairs in the fixed order; -inf where the target is -1."""
        out = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
        if len(rows):
            size = self.config.block_pairs
            launch(
                kernels().pair_scores, (-(-len(rows) // size),),
                self.x, self.y.values, self.h, rows, targets, out, len(rows), self.x.shape[1],
                *self.x.stride(), *self.y.values.stride(),
                BLOCK_PAIRS=size, num_warps=4, enable_fp_fusion=True,
            )  # fmt: skip
        return out

    def grid(self, rows: int) -> tuple[int, int]:
        return (-(-rows // self.config.block_rows), self.config.splits)

    def sizes(self) -> tuple[float, ...]:
        y = self.y.values
        return (*y.shape, *self.x.stride(), *y.stride(), self.x_scale, self.y.scale, self.config.splits)

    def tiles(self) -> dict[str, Any]:
        c = self.config
        return {
            "BLOCK_ROWS": c.block_rows, "BLOCK_TARGETS": c.block_targets, "BLOCK_DEPTH": c.block_depth,
            "SECTION": c.section, "num_warps": c.warps, "num_stages": c.stages, "enable_fp_fusion": True,
        }  # fmt: skip
