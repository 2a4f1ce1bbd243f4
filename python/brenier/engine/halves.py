"""Half-precision operands of the GPU filter, and how far its scores can be from the exact ones.

Targets lose a centre m (which adds ⟨x, m⟩ to every score of a row alike) and are scaled by one power of two,
rows by one each, heights lose the largest, H; then all become fp16, the heights fp32:

    x̂_j = fp16(2^a_j x_j)     ŷ_i = fp16(2^b (y_i − m))     β_i = fp32(2^b (h_i − H))
    f = 2^a_j β_i − bar_j + ⟨x̂_j, ŷ_i⟩, summed by the tensor cores;      s, the same of the exact values

Let X = ‖2^a x‖ and e = ‖x̂ − 2^a x‖ (per row), Y = max‖ŷ_i‖ and F = max‖ŷ_i − 2^b(y_i − m)‖, R = (X + e)·Y.

- rounding to fp16: |⟨x̂, ŷ⟩ − ⟨2^a x, 2^b (y − m)⟩| ≤ X·F + e·Y (Cauchy-Schwarz);
- tensor cores: one step adds 16 products to the sum. ASSUMED, measured by tests/engine/test_gpu_filter.py: inside
  a step every addend is cut, at worst, at 2⁻²³ of the largest (24 significant bits), in any order and grouping;
  such a step is off by at most STEP·2⁻²³·(|sum before| + Σ|x̂ŷ|), STEP = 32 (16 single additions, two cuts each,
  are the worst grouping). A sum before differs from the final one by the products still to come, so it is at most
  |f| + R: over T steps at most κ·(|f| + R), κ = STEP·2⁻²³·(T + 2). Sections of T steps are added by correctly
  rounded additions, 2⁻²³·(|f| + R) for each section;
- the bias, the bar and what is computed from f: a target that matters has |β|, |bar| ≤ 5R + 2·slack, and each of
  the few roundings costs 2⁻²⁴ of that: 2⁻¹⁸·R and a factor 1 + 2⁻¹⁶ on the slack;
- underflow: β loses at most 2⁻¹²⁶, times 2^a; everything else is far above it;
- the lowest heights are held as LOWEST_BIAS: rows for which that is not out of the question list nothing;
- the reference: (d + 64)·2⁻⁵³·X·(Y + F + 2‖2^b m‖) for its sum, 2⁻⁵¹·2^(a+b)·(|H| + margin) for its height.

So |f − s| ≤ E + κ|f|, and a target within the margin of the best reaches best·(1 − κ) − slack with
slack = 2E + margin: linear in X, e and 2^a with weights that depend on the call only (``Weights``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from brenier.engine.checks import capturing

STEP = 32
ROUNDING = 2.0**-18
ROW_PAD = TARGET_PAD = 256
NARROW = (64, 128, 256)
LOWEST_BIAS = -(2.0**120)
BLOCK = 1 << 24


@dataclass(frozen=True)
class HalfTargets:
    """Targets as given and as the filter reads them; everything of the device, nothing read back."""

    values: Tensor  # (n, d) as given
    packed: Tensor  # fp16, (n padded, d padded)
    scale: Tensor  # 2^b, float64 scalar
    largest: Tensor  # Y
    residual: Tensor  # F
    centre: Tensor  # ‖2^b m‖
    weights_of: dict[tuple[float, int], tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False)

    @property
    def width(self) -> int:
        return self.packed.shape[1]


@dataclass(frozen=True)
class Weights:
    """slack_j = of_norm·X_j + of_rest·e_j + of_scale·2^a_j + least, as float32 (4,) of the device; and κ."""

    values: Tensor
    rho: float


def padded_width(depth: int) -> int:
    """Depth as the filter reads it: 64, 128 or 256, then multiples of 64."""
    return next((width for width in NARROW if depth <= width), -(-depth // 64) * 64)


def padded(count: int, unit: int) -> int:
    return -(-count // unit) * unit


def exact_power(exponent: Tensor) -> Tensor:
    """2^exponent in float64, by its bits: no library's pow is trusted to be exact."""
    return ((exponent.to(torch.int64) + 1023) << 52).view(torch.float64)


def exponent_for(largest: Tensor) -> Tensor:
    """The power of two that brings this magnitude into [2⁷, 2⁸), within [−126, 126]; 0 for zero."""
    exponent = torch.frexp(largest.double())[1]
    return torch.where(largest == 0, 0, (8 - exponent).clamp(-126, 126))


def pack_targets(y: Tensor) -> HalfTargets:
    """Targets (n, d) of any type and strides for the filter, in blocks of bounded size."""
    centre = centre_of(y)
    step = max(1, BLOCK // max(1, y.shape[1]))
    blocks = range(0, len(y), step)
    tops = [(y[lo : lo + step].double() - centre).abs().amax() for lo in blocks]
    scale = exact_power(exponent_for(torch.stack(tops).amax()))
    packed = torch.zeros(
        padded(len(y), TARGET_PAD), padded_width(y.shape[1]), dtype=torch.float16, device=y.device
    )
    norms, rests = [], []
    for lo in blocks:
        exact = (y[lo : lo + step].double() - centre) * scale
        half = exact.half()
        packed[lo : lo + len(exact), : y.shape[1]] = half
        norms.append(half.double().norm(dim=1).amax())
        rests.append((half.double() - exact).norm(dim=1).amax())
    largest, residual = torch.stack(norms).amax(), torch.stack(rests).amax()
    return HalfTargets(y, packed, scale, largest, residual, (centre * scale).norm())


def centre_of(y: Tensor) -> Tensor:
    """The mean of the targets where it is a good part of their size, else zero: then halves stay exact."""
    step = max(1, BLOCK // max(1, y.shape[1]))
    sums = torch.zeros(y.shape[1], dtype=torch.float64, device=y.device)
    squares = torch.zeros((), dtype=torch.float64, device=y.device)
    for block in y.split(step):
        exact = block.double()
        sums += exact.sum(dim=0)
        squares += exact.square().sum()
    mean = sums / len(y)
    return torch.where(4 * mean.square().sum() * len(y) > squares, mean, 0.0)


def biases(h: Tensor, y: HalfTargets) -> tuple[Tensor, Tensor]:
    """β as float32 (n padded), −inf beyond the targets and for heights of −inf; and |H|, 0 if none is finite."""
    top = h.amax()
    pivot = torch.where(top == -torch.inf, 0.0, top)
    shifted = ((h - pivot) * y.scale).clamp(min=LOWEST_BIAS)
    bias = torch.full((len(y.packed),), -torch.inf, dtype=torch.float32, device=h.device)
    bias[: len(h)] = torch.where(h == -torch.inf, -torch.inf, shifted).float()
    return bias, pivot.abs()


def kappa(width: int, section: int) -> float:
    """κ for a depth of `width` summed in sections of `section` (0: one chain)."""
    steps = (min(width, section) if section else width) // 16
    sections = -(-width // section) if section else 1
    return STEP * 2.0**-23 * (steps + 2) + sections * 2.0**-23


def weights(y: HalfTargets, pivot: Tensor, margin: float, section: int) -> Weights:
    """The slack of a row as a linear function of its norm, its residual and its scale."""
    relative = kappa(y.width, section)
    if relative > 0.25:
        return Weights(torch.full((4,), torch.inf, device=pivot.device), 0.25)
    base, slope = y.weights_of.get((margin, section)) or base_weights(y, margin, relative)
    if not capturing(pivot):  # what a graph computes is there only once it has run
        y.weights_of.clear()  # a margin seldom changes: one is enough
        y.weights_of[margin, section] = base, slope
    return Weights(torch.addcmul(base, pivot, slope).float(), 2 * relative)


def base_weights(y: HalfTargets, margin: float, relative: float) -> tuple[Tensor, Tensor]:
    """The weights for a pivot of 0, and what they grow by per unit of |H|; float64, rounded up."""
    depth, inside = y.values.shape[1], relative + ROUNDING
    reference = 2.0**-51 * (depth + 64) * (y.largest + y.residual + 2 * y.centre)
    of_norm = 2 * (y.residual + inside * y.largest) + reference
    of_rest = 2 * (1 + inside) * y.largest
    of_scale = y.scale * (margin * (1 + 2.0**-49)) + 2.0**-124  # β may underflow
    norms = 1 + 2.0**-22 * (depth / 32 + 64)  # norms are summed in float32, in chains of d/32 at most
    least = torch.full_like(of_norm, 2.0**-90)
    rows = torch.stack([of_norm * norms, of_rest * norms, of_scale, least])
    slope = torch.zeros_like(rows)
    slope[2] = y.scale * 2.0**-49
    return rows * (1 + 2.0**-15), slope * (1 + 2.0**-15)


@dataclass(frozen=True)
class Lists:
    """Rows as the filter reads them, and the places it writes to; padded to whole blocks of rows."""

    packed: Tensor  # fp16 (rows padded, width); int8 of the int8 filter
    scale: Tensor  # float32: 2^a; of the int8 filter 1/w
    slack: Tensor  # float32
    best: Tensor  # int64: ordered bits of the best estimate, then the inverted index
    count: Tensor  # int32: listed targets; more than `room` means that the list has overflowed
    index: Tensor  # int32 (rows, room)
    estimate: Tensor  # float32 (rows, room)

    @property
    def room(self) -> int:
        return self.index.shape[1]


def empty_lists(
    rows: int, width: int, room: int, device: torch.device, packed: torch.dtype = torch.float16
) -> Lists:
    """Memory of torch's allocator; packing fills all but the lists, which need no filling."""
    whole = padded(rows, ROW_PAD)

    def new(dtype: torch.dtype, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=device)

    return Lists(
        new(packed, whole, width), new(torch.float32, whole), new(torch.float32, whole),
        new(torch.int64, whole), new(torch.int32, whole),
        new(torch.int32, rows, room), new(torch.float32, rows, room),
    )  # fmt: skip


def bytes_per_row(width: int, room: int) -> int:
    return 2 * width + 8 * room + 20
