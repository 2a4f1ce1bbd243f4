"""Rows of float32 from what is stored: values of bytes, scale, noise and centre in one walk through memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brenier.data.noise import Stream, pieces_of_rows
from brenier.data.ranges import to_range
from brenier.engine import threads
from brenier.engine.native import address, choose_body, core

VALUES_PER_CALL = 1 << 22


@dataclass(frozen=True)
class Grain:
    """Noise number first + r of (seed, stream), times sigma, on row r."""

    seed: int
    first: int
    sigma: float
    stream: Stream = Stream.LATENT


STILL = Grain(0, 0, 0.0)


def byte_values(value_range: str | None) -> Tensor:
    """What each byte stands for, (256,) float32; see to_range."""
    return to_range(torch.arange(256, dtype=torch.uint8)[:, None], value_range, "bytes")[0].flatten()


def mix(
    rows: Tensor,
    out: Tensor,
    *,
    values: Tensor | None = None,
    scale: float = 1.0,
    grain: Grain = STILL,
    centre: Tensor | None = None,
) -> Tensor:
    """out = (scale · y + sigma · ε) − centre, every step rounded to float32, in torch's order.

    rows : (n, d) uint8 with y = values[row], or float32 with y = row; CPU, read as contiguous
    out : float32 (n, d) contiguous, and returned; the same bits for any number of threads
    """
    clean, (count, depth) = rows.contiguous().numpy(), rows.shape
    table = None if values is None else (values * scale).numpy()
    target, shift, body = out.numpy(), None if centre is None else centre.contiguous().numpy(), choose_body()

    def work(piece: tuple[int, int]) -> None:
        lo, hi = piece
        stored = (
            (address(clean[lo:]), address(table), 0) if table is not None else (0, 0, address(clean[lo:]))
        )
        number = (grain.first + lo) % (1 << 64)
        noise = (grain.seed, number, int(grain.stream), grain.sigma)
        less = 0 if shift is None else address(shift)
        core().mix(body.index, *stored, scale, *noise, hi - lo, depth, less, address(target[lo:]))

    if target.size > 0:
        threads.run(work, pieces_of_rows(count, max(1, VALUES_PER_CALL // depth)))
    return out
