"""Small networks F(x, c_noise) for tests, demos and modest data; any torch module with that call works too.

Both accept flat rows (N, d) and image tensors (N, C, H, W) and answer in the shape they were given: the MLP
flattens inside, the U-Net unflattens. Weights are drawn from `seed` without touching torch's global state. With
`classes` they are called as F(x, c_noise, labels), labels int64 (N,) from 0.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from brenier.errors import InputError

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


class NoiseEmbedding(nn.Module):
    """c_noise (N,) to (N, width): sines and cosines at geometric frequencies, then two layers."""

    frequencies: Tensor

    def __init__(self, width: int, waves: int = 16) -> None:
        super().__init__()
        # c_noise = ln(σ)/4 spans about −1.6 to 1.1: periods from 8 down to 1/4 resolve it without jitter
        self.register_buffer("frequencies", 0.25 * 2 ** torch.linspace(0, 5, waves), persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(2 * waves, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, c_noise: Tensor) -> Tensor:
        angles = math.pi * c_noise[:, None] * self.frequencies.to(c_noise.dtype)
        result: Tensor = self.layers(torch.cat([angles.cos(), angles.sin()], dim=1))
        return result


class ResidualLayer(nn.Module):
    """h + W₂·silu((1 + scale)·norm(W₁·h) + shift), scale and shift from the noise level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(width, width), nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.second = zeroed(nn.Linear(width, width))

    def forward(self, hidden: Tensor, level: Tensor) -> Tensor:
        scale, shift = self.modulation(level).chunk(2, dim=1)
        inner = silu(self.norm(self.first(hidden)) * (1 + scale) + shift)
        result: Tensor = hidden + self.second(inner)
        return result


class MLP(nn.Module):
    """A residual multilayer perceptron on rows of `dim` numbers.

    dim : numbers per sample, d (C·H·W for images)
    width, depth : hidden units and residual layers
    seed : of the initial weights
    classes : 0 for a network without labels

    Raises InputError where an input does not flatten to (N, dim), and for labels missing or too many.
    """

    def __init__(
        self, dim: int, width: int = 512, depth: int = 4, *, seed: int = 0, classes: int = 0
    ) -> None:
        super().__init__()
        self.dim = positive(dim, "dim")
        if not (isinstance(depth, int) and depth >= 0):
            raise InputError("depth", expected="an integer ≥ 0", got=repr(depth))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = NoiseEmbedding(positive(width, "width"))
            self.inward = nn.Linear(dim, width)
            self.layers = nn.ModuleList(ResidualLayer(width) for _ in range(depth))
            self.outward = zeroed(nn.Linear(width, dim))
            self.labels = label_embedding(classes, width)

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None = None) -> Tensor:
        level = with_labels(self.embedding(c_noise), self.labels, labels)
        hidden = self.inward(flat(x, self.dim))
        for layer in self.layers:
            hidden = layer(hidden, level)
        result: Tensor = self.outward(silu(hidden))
        return result.reshape(x.shape)


class ConvBlock(nn.Module):
    """Two 3×3 convolutions with group norm, the noise level in between, and a skip."""

    def __init__(self, inward: int, outward: int, level: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = group_norm(inward), group_norm(outward)
        self.conv1 = nn.Conv2d(inward, outward, 3, padding=1)
        self.conv2 = zeroed(nn.Conv2d(outward, outward, 3, padding=1))
        self.modulation = nn.Linear(level, 2 * outward)
        self.skip = nn.Conv2d(inward, outward, 1) if inward != outward else nn.Identity()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        scale, shift = self.modulation(level)[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm2(self.conv1(silu(self.norm1(x)))) * (1 + scale) + shift
        result: Tensor = self.skip(x) + self.conv2(silu(hidden))
        return result


class SmallUNet(nn.Module):
    """A two- or three-level convolutional U-Net for square images of any side.

    channels, image_size : C and the side H = W; flat rows must hold C·H·W numbers in that order
    width : channels of the finest level, a multiple of 8; coarser levels have twice as many
    seed : of the initial weights
    classes : 0 for a network without labels

    Raises InputError where an input is not (N, C·H·W) or (N, C, H, W), and for labels missing or too many.
    """

    def __init__(
        self, channels: int, image_size: int, width: int = 32, *, seed: int = 0, classes: int = 0
    ) -> None:
        super().__init__()
        self.shape = (positive(channels, "channels"), *[positive(image_size, "image_size")] * 2)
        if positive(width, "width") % 8:
            raise InputError("width", expected="a multiple of 8", got=repr(width))
        widths = [width, *[2 * width] * (1 + (image_size >= 16))]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(channels, widths, level=4 * width)
            self.labels = label_embedding(classes, 4 * width)

    def _build(self, channels: int, widths: list[int], level: int) -> None:
        pairs = list(pairwise(widths))
        self.embedding = NoiseEmbedding(level)
        self.inward = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(ConvBlock(w, w, level) for w in widths[:-1])
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.middle = ConvBlock(widths[-1], widths[-1], level)
        self.up = nn.ModuleList(ConvBlock(a + b, a, level) for a, b in reversed(pairs))
        self.outward = nn.Sequential(
            group_norm(widths[0]), nn.SiLU(), zeroed(nn.Conv2d(widths[0], channels, 3, padding=1))
        )

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None = None) -> Tensor:
        level = with_labels(self.embedding(c_noise), self.labels, labels)
        hidden = self.inward(flat(x, math.prod(self.shape)).reshape(-1, *self.shape))
        skips = []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            skips.append(block(hidden, level))
            hidden = shrink(skips[-1])
        hidden = self.middle(hidden, level)
        for block in self.up:
            skip = skips.pop()
            wide = interpolate(hidden, size=skip.shape[-2:])  # odd sides come back to their own size
            hidden = block(torch.cat([wide, skip], dim=1), level)
        result: Tensor = self.outward(hidden)
        return result.reshape(x.shape)


def label_embedding(classes: int, width: int) -> nn.Embedding | None:
    """A vector for each class, drawn after all other weights, so that those do not depend on `classes`."""
    if not (isinstance(classes, int) and classes >= 0):
        raise InputError("classes", expected="an integer ≥ 0", got=repr(classes))
    return nn.Embedding(classes, width) if classes else None


def with_labels(level: Tensor, embedding: nn.Embedding | None, labels: Tensor | None) -> Tensor:
    """The embedded noise level (N, width) plus the embedded labels (N,), where the network has classes."""
    if embedding is None and labels is None:
        return level
    if embedding is None or labels is None or labels.shape != level.shape[:1]:
        raise InputError(
            "labels",
            expected="none for a network without classes" if embedding is None else f"({len(level)},)",
            got="none" if labels is None else str(tuple(labels.shape)),
            remedy="build the network with classes=... and pass one label per sample",
        )
    if labels.device.type == "cpu" and not torch.compiler.is_compiling():  # elsewhere a look would wait
        check_classes(labels, embedding.num_embeddings)
    result: Tensor = level + embedding(labels)
    return result


def check_classes(labels: Tensor, classes: int) -> None:
    if len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
        raise InputError(
            "labels",
            expected=f"classes from 0 to {classes - 1}",
            got=f"{int(labels.min())} to {int(labels.max())}",
        )


def flat(x: Tensor, dim: int) -> Tensor:
    """x (N, ...) as rows (N, dim)."""
    if x.ndim < 2 or math.prod(x.shape[1:]) != dim:
        raise InputError(
            "x", expected=f"{dim} numbers per sample, (N, {dim}) or an image shape", got=str(tuple(x.shape))
        )
    return x.reshape(len(x), dim)


def positive(value: int, what: str) -> int:
    if not (isinstance(value, int) and value >= 1):
        raise InputError(what, expected="an integer ≥ 1", got=repr(value))
    return value


def group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


def zeroed(layer: Layer) -> Layer:
    """The layer with zero weights: a residual branch that starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
