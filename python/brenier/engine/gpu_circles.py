"""Great circles on a GPU: the half-precision filter lists who may be near at a point, float64 decides.

Operands as in engine/halves.py, one power of two 2^a for both rows of a circle. In units of 2^(a+b), with
X = ‖2^a x‖ and e = ‖x̂ − 2^a x‖ of a row, Y and F of the targets, κ of the tensor cores, R = (X + e) Y and S the sum of
both rows' R, which bounds |â| + |b̂|,

    δ = X F + e Y + 3κ R        of a product: rounding to fp16; sums on tensor cores, κ(|â| + R), |â| ≤ (1 + κ) R, κ ≤ ¼
    E = hypot(δ_a, δ_b)         of a point: |δ_a cos φ + δ_b sin φ|
      + 2⁻²⁰ (S + margin)       in fp32: five roundings of at most |â| + |b̂| + |bias|, where |bias| ≤ 2S + margin for
                                whoever can matter (the highest has bias 0)
      + 2⁻⁵¹ (d + 64) Σ X (Y + F + 2‖2^b m‖) + 2⁻⁴⁹ (|H| + margin)      the float64 of the contract
      + 2⁻¹²⁴ 2^a               underflow of the bias

bounds |ŝ_k − s_k| but for ⟨x_k, m⟩, the same for all targets. Whoever is within the margin of the best at a point has
ŝ_k ≥ max ŝ_k − margin − 2E there: the floor of the second pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brenier.engine import certified, halves
from brenier.engine.checks import require_finite
from brenier.engine.filtered import SCRATCH_BYTES, each_block
from brenier.engine.halves import HalfTargets
from brenier.engine.reference import ReferenceEngine
from brenier.engine.triton_filter import TritonBackend, capability, kernels, launch
from brenier.types import CIRCLE_POINTS, COSINES, SINES, CircleCandidates

ROOM = 256  # places of a circle's list at first
PAIRS_AT_ONCE = 1 << 22  # listed targets decided at a time, about 100 bytes each
LOWEST = -0x7F800001  # -inf as ordered bits
LEAST_FLOOR = -torch.finfo(torch.float32).max  # above it a height of -inf never is
MOST_WINDOW = 1e30  # beyond it float32 says nothing
HOPELESS = -halves.LOWEST_BIAS / 4  # a height that is held as LOWEST_BIAS must be out of the question


@dataclass(frozen=True)
class Circles:
    """Pairs of rows as the filter reads them."""

    x: Tensor  # (2C, d) as given
    packed: Tensor  # fp16 (2 · padded C, width)
    scale: Tensor  # float32 (C,): 2^a
    window: Tensor  # float32 (C,): margin + 2E

    def __len__(self) -> int:
        return len(self.scale)

    def take(self, some: Tensor) -> Circles:
        """Those circles alone."""
        rows = torch.stack([2 * some, 2 * some + 1], dim=1).flatten()
        return Circles(self.x[rows], padded_rows(self.packed[rows]), self.scale[some], self.window[some])


def circle_candidates(x: Tensor, y: HalfTargets, h: Tensor, margin: float) -> CircleCandidates:
    """Targets within the margin at one of the points of each pair of rows, ascending by index."""
    require_finite(x, "x")
    search = CircleSearch(y, h.contiguous(), margin, capability(x))
    blocks = each_block(len(x), y.width, ROOM, lambda lo, hi: search.found(x[lo:hi]))
    return joined(list(blocks), x)


def joined(parts: list[CircleCandidates], like: Tensor) -> CircleCandidates:
    """Lists of consecutive blocks of circles; ``like`` is of their device."""
    lengths = [part.offsets.diff() for part in parts]
    offsets = torch.zeros(sum(map(len, lengths)) + 1, dtype=torch.int64, device=like.device)
    if parts:
        offsets[1:] = torch.cat(lengths).cumsum(0)
    none = offsets[:0], torch.empty(0, 2, dtype=torch.float64, device=like.device)
    indices = torch.cat([none[0], *(part.indices for part in parts)])
    return CircleCandidates(offsets, indices, torch.cat([none[1], *(part.products for part in parts)]))


def padded_rows(half: Tensor) -> Tensor:
    """Rows in whole blocks of the filter, those added zero."""
    return torch.nn.functional.pad(half, (0, 0, 0, -len(half) % halves.ROW_PAD))


class CircleSearch:
    """One call: targets, heights and margin, to be met by blocks of circles."""

    def __init__(self, y: HalfTargets, h: Tensor, margin: float, device: tuple[int, int]) -> None:
        self.y, self.h, self.margin, self.backend = y, h, margin, TritonBackend(device)
        self.bias, self.pivot = halves.biases(h, y)
        turns = torch.stack([torch.from_numpy(COSINES), torch.from_numpy(SINES)], dim=1)
        self.exact_turns = turns.to(h.device)
        self.turns = self.exact_turns.float().contiguous()

    def found(self, x: Tensor) -> CircleCandidates:
        """Of one block; in float64 alone where numbers leave what halves and float32 can hold."""
        circles = self.pack(x)
        if not (circles.window < MOST_WINDOW).all():
            return ReferenceEngine().circle_candidates(x, self.y.values, self.h, self.margin)
        owner, target = self.listed(circles)
        order = (owner * len(self.h) + target).argsort()
        return self.decided(x, owner[order], target[order])

    def pack(self, x: Tensor) -> Circles:
        exact = x.double().unflatten(0, (-1, 2))
        scale = halves.exact_power(halves.exponent_for(exact.abs().amax(dim=(1, 2))))
        exact = exact * scale[:, None, None]
        half = exact.half()
        rest = half.double() - exact
        window = self.window(exact.norm(dim=2), rest.norm(dim=2), scale)
        packed = torch.nn.functional.pad(half.flatten(0, 1), (0, self.y.width - x.shape[1]))
        return Circles(x, padded_rows(packed), scale.float(), window.float())

    def window(self, norm: Tensor, rest: Tensor, scale: Tensor) -> Tensor:
        """margin + 2E in units of 2^(a+b), rounded up; norm and rest (C, 2), scale (C,)."""
        y, depth = self.y, self.y.values.shape[1]
        relative = halves.kappa(y.width, self.config(1).section)
        if relative > 0.25:
            return torch.full_like(scale, torch.inf)
        margin, pivot = self.margin * y.scale * scale, self.pivot * y.scale * scale
        product = norm * y.residual + (rest + 3 * relative * (norm + rest)) * y.largest
        size = ((norm + rest) * y.largest).sum(dim=1)
        error = product.norm(dim=1) + 2.0**-20 * (size + margin) + 2.0**-49 * (pivot + margin)
        error = error + 2.0**-51 * (depth + 64) * norm.sum(dim=1) * (y.largest + y.residual + 2 * y.centre)
        window = (margin + 2 * error + 2.0**-123 * scale + 2.0**-90) * (1 + 2.0**-15)
        return torch.where(window + 4 * size < HOPELESS * scale, window, torch.inf)

    def config(self, circles: int) -> Any:
        return kernels("circles").circle_configuration(
            circles, len(self.h), self.y.width, self.backend.capability
        )

    def listed(self, circles: Circles) -> tuple[Tensor, Tensor]:
        """(circle, target) of all that may be near, in any order."""
        floors = self.best(circles) - circles.window[:, None]
        return self.reaching(circles, floors.clamp(min=LEAST_FLOOR), ROOM)

    def best(self, circles: Circles) -> Tensor:
        """The largest ŝ of each circle and point, float32 (C, 16)."""
        best = torch.full((len(circles), CIRCLE_POINTS), LOWEST, dtype=torch.int32, device=self.h.device)
        self.launch("best_points", circles, best)
        return (best ^ ((best >> 31) & 0x7FFFFFFF)).view(torch.float32)

    def reaching(self, circles: Circles, floors: Tensor, room: int) -> tuple[Tensor, Tensor]:
        """Pairs that reach a floor; circles with more than `room` of them go again, with room for all."""
        count = torch.zeros(len(circles), dtype=torch.int32, device=self.h.device)
        index = torch.empty(len(circles), room, dtype=torch.int32, device=self.h.device)
        self.launch("list_points", circles, floors, floors.amin(dim=1), count, index, room=room)
        fits = count <= room
        there = (torch.arange(room, device=count.device) < count[:, None]) & fits[:, None]
        owner, place = there.nonzero(as_tuple=True)
        pairs = [(owner, index[owner, place].long())]
        over = (~fits).nonzero()[:, 0]
        if len(over):
            larger = int(count.max())
            for some in over.split(max(1, SCRATCH_BYTES // (4 * larger))):
                mine, target = self.reaching(circles.take(some), floors[some], larger)
                pairs.append((some[mine], target))
        owners, targets = zip(*pairs, strict=True)
        return torch.cat(owners), torch.cat(targets)

    def launch(self, name: str, circles: Circles, *tensors: Tensor, **room: int) -> None:
        config, n = self.config(len(circles)), len(self.h)
        blocks = -(-len(circles) // config.block_rows)
        launch(
            getattr(kernels("circles"), name), (blocks * config.splits,),
            circles.packed, self.y.packed, self.bias, circles.scale, self.turns, *tensors,
            len(circles), n, self.y.width, config.splits, *room.values(),
            BLOCK_ROWS=config.block_rows, BLOCK_TARGETS=config.block_targets, BLOCK_DEPTH=config.block_depth,
            SECTION=config.section, GROUP=config.group,
            num_warps=config.warps, num_stages=config.stages, enable_fp_fusion=True,
        )  # fmt: skip

    def decided(self, x: Tensor, owner: Tensor, target: Tensor) -> CircleCandidates:
        """Those of the pairs, sorted by circle and target, that float64 finds within the margin at some point."""
        circles = len(x) // 2
        lengths = torch.bincount(owner, minlength=circles)
        ends = [0, *lengths.cumsum(0).tolist()]
        parts = []
        for lo, hi in certified.groups(lengths, PAIRS_AT_ONCE):
            some = slice(ends[lo], ends[hi])
            parts.append(self.kept(x[2 * lo : 2 * hi], owner[some] - lo, target[some]))
        return joined(parts, x)

    def kept(self, x: Tensor, owner: Tensor, target: Tensor) -> CircleCandidates:
        circles, height = len(x) // 2, self.h[target]
        nothing = torch.zeros_like(self.h)
        a, b = (
            self.backend.pair_scores(x, self.y.values, nothing, 2 * owner + one, target) for one in (0, 1)
        )
        near = torch.zeros(len(owner), dtype=torch.bool, device=x.device)
        for cosine, sine in self.exact_turns:
            along = a * cosine + b * sine
            for score in (along + height, height - along):
                best = torch.full((circles,), -torch.inf, dtype=torch.float64, device=x.device)
                best = best.scatter_reduce(0, owner, score, "amax")
                near |= (score >= (best - self.margin)[owner]) & (score > -torch.inf)
        offsets = torch.zeros(circles + 1, dtype=torch.int64, device=x.device)
        offsets[1:] = torch.bincount(owner[near], minlength=circles).cumsum(0)
        return CircleCandidates(offsets, target[near], torch.stack([a[near], b[near]], dim=1))
