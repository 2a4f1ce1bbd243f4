"""Small problems that filters and tiles get wrong first, shared by the tests of the GPU engines."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

Problem = tuple[Tensor, Tensor, Tensor]


def normal(rows: int, targets: int, depth: int, seed: int = 0) -> Problem:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, depth, generator=generator)
    y = torch.randn(targets, depth, generator=generator)
    return x, y, torch.randn(targets, generator=generator).double()


def integers(rows: int, targets: int, depth: int) -> Problem:
    """Coordinates in {-1, 0, 1}: exact ties everywhere, within tiles and across parts."""
    x, y, h = normal(rows, targets, depth, seed=1)
    return x.round().clamp(-1, 1), y.round().clamp(-1, 1), torch.zeros_like(h)


def duplicates() -> Problem:
    """The same targets three times over, with equal heights: the first copy must win."""
    x, y, h = normal(9, 34, 20, seed=2)
    return x, y.repeat(3, 1), h.repeat(3)


def one_ulp_apart() -> Problem:
    """Targets that differ by one unit in the last place of one coordinate: fp32 cannot tell them apart."""
    x, y, _ = normal(9, 1, 70, seed=3)
    y = y.repeat(75, 1)
    for i in range(75):
        y[i, i % 70] = torch.nextafter(y[i, i % 70], torch.tensor(torch.inf if i % 2 else -torch.inf))
    return x, y, torch.zeros(75, dtype=torch.float64)


def heights(*values: float) -> Problem:
    """Forty targets, the first of which have these heights."""
    x, y, h = normal(5, 40, 12, seed=4)
    h[: len(values)] = torch.tensor(values, dtype=torch.float64)
    return x, y, h


def with_heights(*values: float) -> Problem:
    """As many targets as heights."""
    x, y, _ = normal(3, len(values), 4)
    return x, y, torch.tensor(values, dtype=torch.float64)


def only_minus_infinity() -> Problem:
    x, y, h = normal(5, 40, 12, seed=5)
    return x, y, torch.full_like(h, -torch.inf)


def scaled(x_scale: float, y_scale: float, offset: float = 0.0) -> Problem:
    x, y, h = normal(6, 41, 30, seed=6)
    return x * x_scale, (y + offset) * y_scale, h * x_scale * y_scale


def one_row_far_smaller() -> Problem:
    x, y, h = normal(6, 41, 30, seed=7)
    x[2] *= 1e-38
    x[3] = 0.0
    return x, y, h * 0.0


def strided() -> Problem:
    """Transposed noise, every other target of a wider half-precision matrix."""
    x, y, h = normal(13, 74, 44, seed=8)
    return x.T.contiguous().T[:, :22], y.half()[::2, ::2], h[::2].contiguous()


def strided_noise() -> Problem:
    _, y, h = strided()
    return normal(13, 1, 44, seed=9)[0].bfloat16()[:, 1::2], y, h


def hopeless_no_more() -> Problem:
    """Every second height lies below what a bias of the filters holds, and noise of that size could reach it."""
    x, y, h = normal(17, 97, 61)
    return x * 2.0**123, y * 2.0**-113, torch.where(torch.arange(len(h)) % 2 == 0, -(2.0**20), 0.0).double()


CASES = {
    "one of each": normal(1, 1, 1),
    "tiles less one": normal(15, 31, 15),
    "whole tiles": normal(16, 32, 16),
    "tiles and one": normal(17, 33, 17),
    "primes over three parts": normal(7, 97, 61),
    "depth over several sections": normal(3, 35, 200),
    "one row": normal(1, 67, 33),
    "one target": normal(18, 1, 31),
    "integer ties": integers(17, 97, 5),
    "duplicates": duplicates(),
    "targets one ulp apart": one_ulp_apart(),
    "some heights minus infinity": heights(-torch.inf, -torch.inf, 3.0),
    "all heights minus infinity": only_minus_infinity(),
    "one target at minus infinity": with_heights(-torch.inf),
    "heights far below": heights(-1e9, -1e30, -1e38, -1e300),
    "heights that fp32 cannot hold": heights(1e300, 1e300, -1e300, 1e39),
    "only heights that fp32 cannot hold": with_heights(-1e300, -1e299),
    "one height that fp32 cannot hold": with_heights(-1e300),
    "heights that round together": heights(1e6, 1e6 + 1e-6, 1e6 + 2e-6),
    "offset of a thousand": scaled(1.0, 1.0, offset=1000.0),
    "huge": scaled(1e30, 1e30),
    "tiny": scaled(1e-25, 1e-25),
    "subnormal": scaled(1e-41, 1.0),
    "huge against tiny": scaled(1e35, 1e-42),
    "heights far below within reach of huge noise": hopeless_no_more(),
    "one row far smaller": one_row_far_smaller(),
    "transposed and sliced": strided(),
    "sliced bfloat16 against half": strided_noise(),
}
"""name -> (x, y, h); heights as tensors of float64, as engines get them."""
for _name, (_x, _y, _h) in CASES.items():
    assert torch.cat([_x.flatten(), _y.flatten()]).isfinite().all(), _name


def assert_same_answer(engine, reference, problem: Problem, margin: float | None = None) -> None:
    """Bit-equal winners and scores, or bit-equal candidates where a margin is given."""
    x, y, h = problem
    if margin is None:
        got, expected = engine.assign(x, engine.prepare(y), h), reference.assign(x, y, h)
    else:
        lists = engine.candidates(x, engine.prepare(y), h, margin), reference.candidates(x, y, h, margin)
        got, expected = ((c.offsets, c.indices, c.scores) for c in lists)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.dtype == theirs.dtype
        assert torch.equal(mine, theirs), f"{mine} is not {theirs}"


def scarce(monkeypatch: pytest.MonkeyPatch, owner: type, most: int) -> list[int]:
    """Makes owner(x, ...) run out of memory for more rows than that; returns how many rows were tried."""
    tried: list[int] = []
    made = owner.__init__

    def limited(self: Any, x: Tensor, *rest: Any) -> None:
        tried.append(len(x))
        if len(x) > most:
            raise torch.cuda.OutOfMemoryError("out of memory")
        made(self, x, *rest)

    monkeypatch.setattr(owner, "__init__", limited)
    return tried
