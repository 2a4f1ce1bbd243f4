"""launch_dry.py 80|90|100: every launch of the Triton engine on small problems, compiled as launched and not run.

Tensors are the processor's, the driver is a stand-in that names the GPU, and nothing is computed: what is found are
launches that a GPU would refuse (types, strides of 1, sizes of 1, options), and what the compiler spills. A line for
each kernel: its name, how many ways it was compiled, and the largest stack.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from typing import Any

os.environ["TRITON_INTERPRET"] = "0"

import torch
import triton
from brenier.engine import auction_products, gpu_circles, gpu_noise, triton_auction, triton_filter
from brenier.engine import triton as engine_module
from brenier.engine.auction import Factors, Problems
from brenier.engine.gpu_circles import CircleSearch
from brenier.engine.triton import Filter, TritonEngine
from brenier.engine.triton_auction import TritonBidder
from compile_filter import resources
from gpu_cases import CASES, normal
from triton.backends.compiler import GPUTarget
from triton.runtime import driver, jit

MADE: dict[str, dict[str, Any]] = defaultdict(dict)


class Absent:
    """What Triton asks of a driver before it launches."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _device: int) -> int:
        return 0


def stand_in(capability: int) -> None:
    """From here on kernels are compiled for that GPU and not launched, and new memory is zeros."""
    driver.set_active(Absent(capability))

    def compiled(self: Any, grid: Any) -> Any:
        def launch(*arguments: Any, **options: Any) -> None:
            assert all(0 < size < 1 << 31 for size in grid), grid
            made = self.run(*arguments, grid=grid, warmup=True, **options)
            MADE[self.fn.__name__][made.hash] = made

        return launch

    jit.KernelInterface.__getitem__ = compiled
    torch.empty = torch.zeros
    for module in (triton_filter, engine_module, gpu_circles, auction_products):
        module.capability = lambda _tensor: divmod(capability, 10)
    triton_auction.fuses = lambda _x: True


def assignments() -> None:
    engine = TritonEngine()
    for name in ("half", "int8", "plain"):
        os.environ["BRENIER_GPU_FILTER"] = name
        for x, y, h in [*CASES.values(), normal(70, 300, 256), normal(5, 300, 4200)]:
            prepared = engine.prepare(y)
            engine.assign(x, prepared, h)
            engine.candidates(x, prepared, h, 0.5)
            circles(engine, x[: len(x) // 2 * 2], prepared, h)
            some = Filter(x, prepared.scaled, h)
            everyone = torch.arange(len(x))
            some.fill(
                everyone, torch.zeros(len(x)), torch.ones(len(x), some.config.splits, dtype=torch.int64)
            )


def circles(engine: TritonEngine, x: torch.Tensor, prepared: Any, h: torch.Tensor) -> None:
    """Both passes, and lists that are made again."""
    engine.circle_candidates(x, prepared, h, 0.5)
    if engine.filtered(x, prepared):
        search = CircleSearch(prepared.halves, h.contiguous(), 0.5, triton_filter.capability(x))
        packed = search.pack(x)
        search.reaching(packed, torch.zeros(len(packed), 16), 512)


def auctions() -> None:
    bidder = TritonBidder(most_rounds=8)
    for n in (1, 2, 33, 300):
        for dtype in (torch.float32, torch.float64):
            bidder.solve(Problems(torch.randn(n * n).to(dtype), (n,)), 1e-3)
        x, z = torch.randn(2, 2, n, 20)
        bidder.solve_products(Factors(((x, z),), (n, n)), 1e-3)
        for rough in (True, False):
            bidder.products(x, z, rough)


def main(capability: int) -> None:
    stand_in(capability)
    assignments()
    auctions()
    for rows, depth in ((1, 1), (3, 70), (100, 64)):
        gpu_noise.by_triton(torch.empty(rows, depth), (1 << 64) - 1, 3, 1)
    for name, made in sorted(MADE.items()):
        stack = max(int(dict(word.split("=") for word in resources(one))["STACK"]) for one in made.values())
        print(name, len(made), f"STACK={stack}", flush=True)


if __name__ == "__main__":
    print(f"triton {triton.__version__}")
    main(int(sys.argv[1]))
