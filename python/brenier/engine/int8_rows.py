"""Int8 operands of the GPU filter, and how far its scores can be from the exact ones.

Rounding, bounds and their proofs are those of the CPU's int8 filter (csrc/core/int8_bound.hpp; docs/numerics.md, "The
integer filters"); here the sides are torch tensors of the device. With dithers u, v shared by all rows and all targets,

    x_q = s_j (q − u)     y_q = s (p − v)     ⟨x_q, y_q⟩/(s_j s) = Σqp − Σpu − Σqv + Σuv

s_j is shared by a panel of rows (a block of the kernel), s by all targets: then w_j = s_j·s is the unit of everything
that a row meets, and Σqv − Σuv, the same for all targets of a row, drops out as ⟨x, m⟩ does. In units of w_j, with
A = ‖x_j‖/s_j, D = ‖x_q − x‖/s_j, b = max‖y_i − m‖/s, a = max‖y_q − (y_i − m)‖/s and η = 2/F:

    deterministic    A·a + D·(b + a)
    dithered         κ·√(A'² + (b' + √d/2)²) + η√d·(A' + b' + √d/2),   A' = A + η√d, b' = b + η√d

hold for all targets of the call (κ from engine/int8.py; infinite for exact="strict"); the smaller is E. A filter score
is off by E, by the reference's own rounding, and by what float32 loses of heights, c_i and estimates: all of these are
below 2(‖q‖‖p‖ + C) + slack, C = max|c_i|, for a target that matters, and meet less than 16 roundings of 2⁻²⁴. So

    slack = (2E + 2ρ/w_j + 2⁻¹⁸·((A + √d)·P + C) + 8)·(1 + 2⁻¹⁶)
    ρ/w_j = 2⁻⁵⁰·((d + 64)·A·(b + 2‖m‖/s) + |H|/w_j)

and a target that wins has f ≥ (the best f of the row) − slack. Scales are large enough that ‖q‖, ‖p‖ ≤ 2¹⁴; rows whose
slack, unit or values are out of range list nothing and are done again by the half-precision filter.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brenier.engine import halves
from brenier.engine.halves import TARGET_PAD, centre_of, padded, padded_width

F = 1 << 16
LARGEST = 126.4  # of x/s: with the dither at most 127
LONGEST = 1 << 14  # ‖q‖ and ‖p‖
ETA = 2.0 / F
ALWAYS_SHORT = 16_000  # depths up to which 127.4·√d stays below LONGEST
WIDEST_SLACK = 2.0**27
UNITS = (2.0**-100, 2.0**100)


@dataclass(frozen=True)
class ByteTargets:
    """Targets as given and as the int8 filter reads them; everything of the device, nothing read back."""

    values: Tensor  # (n, d) as given
    packed: Tensor  # int8 (n padded, d padded)
    scale: Tensor  # s, float64 scalar
    largest: Tensor  # b
    residual: Tensor  # a
    centre: Tensor  # ‖m‖/s
    shift: Tensor  # c, float32 (n padded)
    row_bits: Tensor  # U, int32 (d,)

    @property
    def width(self) -> int:
        return self.packed.shape[1]


def dither_bits(depth: int, device: torch.device) -> Tensor:
    """16 random bits per coordinate from the operating system, int32 (depth,)."""
    bits = np.frombuffer(secrets.token_bytes(2 * depth), dtype=np.uint16).astype(np.int32)
    return torch.from_numpy(bits).to(device)


def dither_of(bits: Tensor) -> Tensor:
    """u = (U + ½)/F − ½, float64."""
    return (bits.double() + 0.5) / F - 0.5


def pack_targets(y: Tensor) -> ByteTargets:
    """Targets (n, d) of any type and strides for the filter, in blocks of bounded size."""
    depth, centre = y.shape[1], centre_of(y)
    step = max(1, halves.BLOCK // max(1, depth))
    blocks = range(0, len(y), step)

    def centred(lo: int) -> Tensor:
        return y[lo : lo + step].double() - centre

    largest = torch.stack([centred(lo).abs().amax() for lo in blocks]).amax()
    longest = torch.stack([centred(lo).norm(dim=1).amax() for lo in blocks]).amax()
    scale = scale_for(largest, longest, depth)
    row_bits, bits = dither_bits(depth, y.device), dither_bits(depth, y.device)
    packed = torch.zeros(padded(len(y), TARGET_PAD), padded_width(depth), dtype=torch.int8, device=y.device)
    shift = torch.zeros(len(packed), dtype=torch.float32, device=y.device)
    rests = []
    for lo in blocks:
        exact = centred(lo) / scale
        whole = rounded(exact, bits)
        packed[lo : lo + len(whole), :depth] = whole
        shift[lo : lo + len(whole)] = whole @ dither_of(row_bits)
        rests.append((whole - dither_of(bits) - exact).norm(dim=1).amax())
    residual = torch.stack(rests).amax()
    return ByteTargets(y, packed, scale, longest / scale, residual, centre.norm() / scale, shift, row_bits)


def rounded(exact: Tensor, bits: Tensor) -> Tensor:
    """⌊(int(F·x/s) + U)/F⌋ of float64 x/s, as float64."""
    return (((exact * F).trunc() + bits) / F).floor()


def scale_for(largest: Tensor, longest: Tensor, depth: int) -> Tensor:
    """s: values up to `largest` fit in LARGEST of it and rows as long as `longest` in LONGEST; 1 for zeros."""
    scale = torch.maximum(largest / LARGEST, longest / (LONGEST - math.sqrt(depth)))
    return torch.where(scale == 0, 1.0, scale)


def row_scales(x: Tensor, panel: int) -> Tensor:
    """s_j as float64 (rows padded): one for each panel of rows."""
    largest = torch.linalg.vector_norm(x, ord=torch.inf, dim=1, dtype=torch.float32)
    longest = torch.zeros_like(largest)
    if x.shape[1] > ALWAYS_SHORT:
        longest = torch.linalg.vector_norm(x, dim=1, dtype=torch.float32) * (1 + 2.0**-12)
    whole = padded(len(x), halves.ROW_PAD)
    each = [torch.nn.functional.pad(one, (0, whole - len(x))).double() for one in (largest, longest)]
    top, length = (one.view(-1, panel).amax(dim=1) for one in each)
    return scale_for(top, length, x.shape[1]).repeat_interleave(panel)


def biases(h: Tensor, y: ByteTargets) -> tuple[Tensor, Tensor]:
    """Heights below the largest as float32 (n padded), −inf beyond the targets; and |H|, 0 if none is finite."""
    top = h.amax()
    pivot = torch.where(top == -torch.inf, 0.0, top)
    bias = torch.full((len(y.packed),), -torch.inf, dtype=torch.float32, device=h.device)
    shifted = (h - pivot).clamp(min=halves.LOWEST_BIAS)
    bias[: len(h)] = torch.where(h == -torch.inf, -torch.inf, shifted).float()
    return bias, pivot.abs()


@dataclass(frozen=True)
class RowBounds:
    """What each row's list goes by; float32 (rows padded), and whether the row can be filtered."""

    slack: Tensor
    lowest: Tensor  # no best filter score is lower
    usable: Tensor


def row_bounds(
    norm: Tensor, rest: Tensor, unit: Tensor, y: ByteTargets, pivot: Tensor, kappa: float
) -> RowBounds:
    """slack and the least best score of rows with A = norm, D = rest (float32, as packed) and unit w_j (float64)."""
    depth, root = y.values.shape[1], math.sqrt(y.values.shape[1])
    norms = 1 + 2.0**-22 * (depth / 32 + 64)  # summed in float32, in chains of d/32 at most
    a, d = norm.double() * norms, rest.double() * norms + ETA * root
    error = bound(a, d, y.largest, y.residual, root, kappa)
    reference = 2.0**-50 * ((depth + 64) * a * (y.largest + 2 * y.centre) + pivot / unit)
    reach = (a + root) * (y.largest + root) + y.shift.abs().amax().double()
    slack = (2 * (error + reference) + 2.0**-18 * reach + 8) * (1 + 2.0**-16)
    inside = (unit > UNITS[0]) & (unit < UNITS[1]) & (reach <= 1.01 * LONGEST**2)
    usable = inside & (slack < WIDEST_SLACK)
    return RowBounds(
        torch.where(usable, slack, 0.0).float(), torch.where(usable, -1.01 * reach - 8, 0.0).float(), usable
    )


def bound(a: Tensor, d: Tensor, largest: Tensor, residual: Tensor, root: float, kappa: float) -> Tensor:
    """E: the smaller of the two bounds at the top of this file, GroupError::of of csrc/core/int8_bound.hpp."""
    certain = a * residual + d * (largest + residual)
    above, norm = a + ETA * root, largest + ETA * root + root / 2
    likely = kappa * torch.hypot(above, norm) + ETA * root * (above + norm)
    return torch.minimum(certain, likely) * 1.00001
