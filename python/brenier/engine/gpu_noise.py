"""Normal noise made on a CUDA device: the numbers of the CPU's generator, without a copy from the host."""

from __future__ import annotations

import torch
from torch import Tensor

from brenier.engine.cuda import Device, why_module_missing
from brenier.engine.cuda_filter import module
from brenier.engine.triton_filter import kernels, launch

LOW = 0xFFFFFFFF


def normals(seed: int, first: int, rows: int, depth: int, stream: int, device: torch.device) -> Tensor:
    """Noise number first + r of (seed, stream) in row r, float32 (rows, depth) on a CUDA device.

    By the CUDA module where it was built, else by Triton; both make the same words as the CPU.
    """
    out = torch.empty(rows, depth, dtype=torch.float32, device=device)
    if out.numel() == 0:
        return out
    if out.is_cuda and why_module_missing() is None:
        request = module().Normals(seed, first, stream, out.data_ptr(), rows, depth)
        Device(out.device).run("normals", request)
    else:
        by_triton(out, seed, first, stream)
    return out


def signed(word: int) -> int:
    """32 bits as Triton passes them: every word has the same type, whatever its value."""
    return word - (1 << 32) if word >= 1 << 31 else word


def by_triton(out: Tensor, seed: int, first: int, stream: int) -> None:
    """Fills out (rows, depth) by kernels/noise.py, on its device or in Triton's interpreter."""
    noise = kernels("noise")
    rows, depth = out.shape
    quarters = -(-depth // 4)
    words = [signed(half) for word in (seed, first) for half in (word & LOW, word >> 32)]
    launch(
        noise.normals, (-(-rows * quarters // noise.BLOCK),),
        out, *words, stream, rows, depth, quarters,
        BLOCK=noise.BLOCK, num_warps=4, enable_fp_fusion=False,
    )  # fmt: skip
