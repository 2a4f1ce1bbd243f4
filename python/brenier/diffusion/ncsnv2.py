"""The NCSNv2 score network, written from its paper (Song & Ermon 2020, arXiv 2006.09011, appendix B).

A RefineNet (Lin et al. 2017): residual stages whose later ones are dilated instead of shrunk, and a cascade of
refinement blocks back up. The network does not see the level; its output is divided by σ (technique 3).
Parameter names are those of the published checkpoints, so that load_ncsnv2 can read them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, elu, interpolate, max_pool2d

from brenier.diffusion.precond import like
from brenier.errors import InputError

# per stage: its name, and its width in units of `width`; refinement blocks mirror them from the deepest up
STAGES = {
    "standard": (("1", 1), ("2", 2), ("3", 2), ("4", 2)),  # 32 and 64 pixels (CIFAR-10, CelebA)
    "deeper": (("1", 1), ("2", 2), ("3", 2), ("4", 4), ("5", 4)),  # 96 and 128 pixels
    "deepest": (("1", 1), ("2", 2), ("3", 2), ("31", 2), ("4", 4), ("5", 4)),  # 256 pixels (FFHQ)
}
REFINES = {"standard": "1234", "deeper": "12345", "deepest": ("1", "2", "31", "3", "4", "5")}


class NCSNv2(nn.Module):
    """The score s(x, σ) = F(2x − 1)/σ of images x in [0, 1] with noise of any level.

    channels, width : C, and the channels of the finest stage (128 in the paper)
    kind : "standard", "deeper" or "deepest", by the size of the images
    seed : of the initial weights

    Call it as network(x, sigma), x (N, C, H, W) or flat rows with image_size, σ a number or (N,): what
    sample_langevin takes. The last two stages are dilated by 2 and 4. Raises InputError.
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 128,
        kind: str = "standard",
        *,
        image_size: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if kind not in STAGES:
            raise InputError("kind", expected=" or ".join(STAGES), got=repr(kind))
        self.stages, self.refines = STAGES[kind], REFINES[kind]
        self.shape = None if image_size is None else (channels, image_size, image_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(channels, width)

    def _build(self, channels: int, width: int) -> None:
        self.begin_conv = nn.Conv2d(channels, width, 3, padding=1)
        widths = [width * multiple for _, multiple in self.stages]
        deep = len(widths) - 2  # the first of the two dilated stages
        for stage, (name, _) in enumerate(self.stages):
            dilation = 2 ** (stage - deep + 1) if stage >= deep else 1
            before = widths[max(0, stage - 1)]
            first = ResidualBlock(before, widths[stage], down=stage > 0, dilation=dilation)
            self.add_module(
                f"res{name}",
                nn.ModuleList([first, ResidualBlock(widths[stage], widths[stage], dilation=dilation)]),
            )
        upward = [*widths[::-1], width]  # a block works at the width of the stage it is merged with next
        for step, name in enumerate(self.refines):
            inputs = [upward[step]] * (1 if step == 0 else 2)
            last = step == len(self.refines) - 1
            self.add_module(f"refine{name}", RefineBlock(inputs, upward[step + 1], last=last))
        self.normalizer = InstanceNormPlus(width)
        self.end_conv = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        images = x if self.shape is None else x.reshape(-1, *self.shape)
        hidden, seen = self.begin_conv(2 * images - 1), []
        for name, _ in self.stages:
            for block in self.get_submodule(f"res{name}").children():
                hidden = block(hidden)
            seen.append(hidden)
        hidden = None
        for name in self.refines:
            stage = seen.pop()
            block = self.get_submodule(f"refine{name}")
            hidden = block([stage] if hidden is None else [stage, hidden])
        raw = self.end_conv(elu(self.normalizer(hidden)))
        levels = torch.as_tensor(sigma, dtype=raw.dtype, device=raw.device).reshape(-1).expand(len(raw))
        return (raw / like(levels, raw)).reshape(x.shape)


class InstanceNormPlus(nn.Module):
    """Instance normalisation that keeps the channels' means: γ·(norm(x) + α·(μ − m)/v) + β.

    m and v are mean and standard deviation of the channel means μ over the channels (NCSN, arXiv 1907.05600, eq. 10).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(1 + 0.02 * torch.randn(channels))
        self.gamma = nn.Parameter(1 + 0.02 * torch.randn(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(2, 3))
        apart = means - means.mean(dim=1, keepdim=True)
        shared = apart / (means.var(dim=1, keepdim=True) + 1e-5).sqrt()
        own = nn.functional.instance_norm(x) + (self.alpha * shared)[:, :, None, None]
        return self.gamma[:, None, None] * own + self.beta[:, None, None]


class ResidualBlock(nn.Module):
    """x + conv(elu(norm(conv(elu(norm(x)))))), halved in size by means of 2×2 or dilated in its place."""

    def __init__(self, inward: int, outward: int, *, down: bool = False, dilation: int = 1) -> None:
        super().__init__()
        middle = inward if down else outward
        halves = down and dilation == 1
        self.normalize1, self.normalize2 = InstanceNormPlus(inward), InstanceNormPlus(middle)
        self.conv1 = dilated(inward, middle, dilation)
        self.conv2: nn.Module = (
            PooledConv(middle, outward, 3) if halves else dilated(middle, outward, dilation)
        )
        self.shortcut: nn.Module | None = None
        if halves:
            self.shortcut = PooledConv(inward, outward, 1)
        elif down:
            self.shortcut = dilated(inward, outward, dilation)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(elu(self.normalize1(x)))
        inner = self.conv2(elu(self.normalize2(inner)))
        result: Tensor = inner + (x if self.shortcut is None else self.shortcut(x))
        return result


class PooledConv(nn.Module):
    """A convolution, then means of 2×2."""

    def __init__(self, inward: int, outward: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inward, outward, size, padding=size // 2)

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(self.conv(x), 2)


class RefineBlock(nn.Module):
    """Adapt each input, fuse them at the size of the first, pool context in a chain, and adapt the result."""

    def __init__(self, inputs: list[int], width: int, *, last: bool) -> None:
        super().__init__()
        self.adapt_convs = nn.ModuleList(AdaptBlock(own, blocks=2) for own in inputs)
        self.msf = FuseBlock(inputs, width) if len(inputs) > 1 else None
        self.crp = ChainBlock(width)
        self.output_convs = AdaptBlock(width, blocks=3 if last else 1)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        adapted = [adapt(x) for adapt, x in zip(self.adapt_convs, inputs, strict=True)]
        fused = adapted[0] if self.msf is None else self.msf(adapted)
        result: Tensor = self.output_convs(self.crp(fused))
        return result


class AdaptBlock(nn.Module):
    """Residual units x + conv(elu(conv(elu(x)))), without biases."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.names = [(f"{block + 1}_1_conv", f"{block + 1}_2_conv") for block in range(blocks)]
        for name in sum(self.names, ()):
            self.add_module(name, nn.Conv2d(width, width, 3, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        for first, second in self.names:
            inner = self.get_submodule(first)(elu(x))
            x = x + self.get_submodule(second)(elu(inner))
        return x


class FuseBlock(nn.Module):
    """The sum of convolved inputs, all resized to the first."""

    def __init__(self, inputs: list[int], width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(own, width, 3, padding=1) for own in inputs)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        size = inputs[0].shape[-2:]
        parts = [
            interpolate(conv(x), size=size, mode="bilinear", align_corners=True)
            for conv, x in zip(self.convs, inputs, strict=True)
        ]
        return torch.stack(parts).sum(dim=0)


class ChainBlock(nn.Module):
    """elu(x) plus two stages of 5×5 pooling and convolution, each fed by the one before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        total = path = elu(x)
        for conv in self.convs:
            path = conv(max_pool2d(path, 5, stride=1, padding=2))
            total = total + path
        return total


def dilated(inward: int, outward: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(inward, outward, 3, padding=dilation, dilation=dilation)
