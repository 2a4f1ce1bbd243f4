"""gpu_case.py triton|cuda: every kernel of one engine once, on small problems with ragged edges and ties.

Meant for compute-sanitizer. Exits with 1 where an answer differs from the reference, 2 without a GPU.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import torch

CASES = [  # rows, targets, depth: resident at 64, 128 and 256; streamed; in sections; more than one unit and part
    (67, 131, 60),
    (131, 300, 77),
    (67, 131, 200),
    (67, 300, 330),
    (5, 131, 4200),
]
LISTED = (CASES[0], CASES[3])
"""Cases whose candidates are asked for too: in Triton each takes another compilation."""

OLDER = "older"
"""The name of CUDA's kernels for sm_80, which run on what is newer too."""


def problem(rows: int, targets: int, depth: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, depth, generator=generator).round()
    y = torch.randn(
        targets, depth, generator=generator
    ).round()  # integers: exact ties, so that lists are filled
    y[-20:] = y[:20]
    return x, y


def answers(engine: Any, x: torch.Tensor, y: torch.Tensor, listed: bool) -> list[torch.Tensor]:
    packed, h = engine.prepare(y), torch.zeros(len(y), dtype=torch.float64, device=y.device)
    found = [*engine.assign(x, packed, h)]
    if listed:
        lists = engine.candidates(x, packed, h, 2.0)
        found += [lists.offsets, lists.indices, lists.scores]
        circles = engine.circle_candidates(x[: len(x) // 2 * 2], packed, h, 2.0)
        found += [circles.offsets, circles.indices, circles.products]
    return [t.cpu() for t in found]


def older() -> Any:
    """The CUDA engine as a GPU before Hopper has it."""
    from brenier.engine.cuda import CudaEngine, Device

    class Ampere(Device):
        major = 8

    engine = CudaEngine()
    engine.runner = Ampere
    return engine


def wrong_case(name: str, which: str, case: tuple[int, int, int]) -> bool:
    """Whether an engine with that filter answers otherwise than the reference."""
    from brenier.engine.registry import load

    engine = older() if which == OLDER else load(name)
    os.environ["BRENIER_GPU_FILTER"] = "half" if which == OLDER else which
    x, y = problem(*case)
    listed = case in LISTED and which != "int8"  # int8 leaves candidates to half
    pairs = zip(
        answers(engine, x.cuda(), y.cuda(), listed), answers(load("reference"), x, y, listed), strict=True
    )
    return not all(torch.equal(mine, theirs) for mine, theirs in pairs)


def noise(engine: str) -> bool:
    from brenier.data import Stream, normal
    from brenier.engine import gpu_noise

    expected = normal(7, 3, 33, 70, stream=Stream.FIT)
    if engine == "cuda":
        got = normal(7, 3, 33, 70, stream=Stream.FIT, device="cuda")
    else:
        got = torch.empty(33, 70, device="cuda")
        gpu_noise.by_triton(got, 7, 3, int(Stream.FIT))
    return torch.allclose(got.cpu(), torch.as_tensor(expected), rtol=1e-6, atol=1e-7)


def auction(engine: str) -> bool:
    """A few rounds of every way to share out an assignment; the numbers of the CPU's host check, or a proof."""
    from brenier.engine.auction import Factors, Problems, certify, certify_costs
    from brenier.engine.registry import load

    scores = torch.randn(67 * 67 + 130 * 130, generator=torch.Generator().manual_seed(0), device="cpu").cuda()
    given, bidder = Problems(scores, (67, 130)), load(engine).bidder(scores.device)
    bidders = [bidder] if engine == "triton" else [forced(bidder, *team) for team in TEAMS]
    answers = [one.solve(given, 2e-2) for one in bidders]
    same = all(torch.equal(one.permutation, answers[0].permutation) for one in answers)
    proofs = [proof for one in answers for proof in certify(given, one)]
    x, z = torch.randn(2, 3, 67, 70, generator=torch.Generator().manual_seed(1)).cuda()
    factors = Factors(((x, z),), (67, 67, 67))
    bids = bidder.solve_products(factors, 2e-2)
    proofs += certify_costs(factors, bids) if bids is not None else []
    return same and all(proof.within(2e-2) for proof in proofs)


TEAMS = [("block", 1), ("cluster", 2), ("grid", 3)]


def forced(bidder: object, team: str, blocks: int) -> object:
    """The bidder with problems shared out in that way, whatever their size."""
    from brenier.engine.cuda_auction import CudaBidder
    from brenier.engine.cuda_filter import module

    class Forced(CudaBidder):
        def configuration(self, problems: object) -> object:  # noqa: ARG002
            return module().AuctionConfig(getattr(module().Team, team), blocks, 128)

    return Forced(bidder.runner)


def main(engine: str) -> int:
    if not torch.cuda.is_available():
        print("no CUDA device: torch.cuda.is_available() is False", file=sys.stderr)
        return 2
    wrong = [name for name, check in (("noise", noise), ("auction", auction)) if not check(engine)]
    for which in ("half", "plain", "int8" if engine == "triton" else OLDER):
        for case in CASES[:1] if which == "plain" else CASES:
            differs = wrong_case(engine, which, case)
            wrong += [f"{which} {case}"] if differs else []
            print(f"{engine} {which} {case}: {'DIFFERS' if differs else 'equal'}", flush=True)
    print(
        f"{engine}: {'DIFFERS from the reference: ' + ', '.join(wrong) if wrong else 'equal to the reference'}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
