"""The half-precision filter: its bound, its lists, and what happens when memory or a list runs out."""

from typing import Any

import numpy as np
import pytest
import torch
from brenier.engine import filtered, halves
from brenier.engine.cuda import CudaEngine, Device, why_module_missing
from brenier.engine.gpu_filter import gpu_filter
from brenier.engine.reference import ReferenceEngine, scores
from brenier.errors import EngineError, InputError
from gpu_cases import CASES, Problem, assert_same_answer, normal
from test_cuda_engine import Hopper, Host

needs_module = pytest.mark.skipif(why_module_missing() is not None, reason=str(why_module_missing()))


class HopperEngine(CudaEngine):
    runner = Hopper


class AmpereEngine(CudaEngine):
    runner = Host


def listed(problem: Problem, margin: float = 0.0, room: int = 64) -> filtered.Tasks:
    x, y, h = problem
    engine = HopperEngine()
    return engine.filtered(x, engine.prepare(y), h).listed(0, len(x), margin, room)


def cut(value: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Toward zero at 24 significant bits of the largest addend, as the assumed tensor core does at worst."""
    unit = np.exp2(np.floor(np.log2(np.maximum(largest, 1e-300))) - 23)
    return np.trunc(value / unit) * unit


def tensor_core(x: np.ndarray, y: np.ndarray, start: np.ndarray, section: int) -> np.ndarray:
    """Sums of x yᵀ from `start` in steps of 16, every addend and every sum cut; sections summed apart."""
    total = start if not section else np.zeros_like(start)
    score = start
    for first in range(0, x.shape[1], 16):
        terms = x[:, None, first : first + 16] * y[None, :, first : first + 16]
        largest = np.maximum(np.abs(terms).max(axis=2), np.abs(total))
        total = cut(total, largest) + cut(terms, largest[..., None]).sum(axis=2)
        total = cut(total, np.abs(total))
        if section and ((first + 16) % section == 0 or first + 16 >= x.shape[1]):
            score, total = (score + total).astype(np.float32).astype(np.float64), np.zeros_like(start)
    return score if section else total


@pytest.mark.parametrize("section", [0, 64])
@pytest.mark.parametrize(
    "problem",
    [normal(5, 60, 40), normal(4, 50, 500), CASES["offset of a thousand"], CASES["huge"], CASES["tiny"]],
)
def test_scores_stay_within_the_bound_on_the_assumed_tensor_core(problem: Problem, section: int) -> None:
    x, y, h = problem
    targets = halves.pack_targets(y)
    bias, pivot = halves.biases(h, targets)
    weights = halves.weights(targets, pivot, 0.0, section)
    x_scale = halves.exact_power(halves.exponent_for(x.abs().amax(dim=1)))[:, None]
    exact_x = x.double() * x_scale
    half = torch.zeros(len(x), targets.width, dtype=torch.float64)
    half[:, : x.shape[1]] = exact_x.half().double()
    rest = (half[:, : x.shape[1]] - exact_x).norm(dim=1)
    slack = (
        weights.values @ torch.stack([exact_x.norm(dim=1), rest, x_scale[:, 0], torch.ones(len(x))]).float()
    )
    wanted = (scores(x, y, h) - pivot) * targets.scale * x_scale  # but for ⟨x, m⟩, the same for all of a row
    bar = wanted.amax(dim=1, keepdim=True)
    start = (bias[: len(y)].double() * x_scale - bar * (x_scale > 0)).float().double().numpy()
    got = tensor_core(half.numpy(), targets.packed[: len(y)].double().numpy(), start, section)
    error = torch.from_numpy(got) - (wanted - bar)
    error = error - error[:, :1]  # ⟨x, m⟩ drops out of differences
    allowed = slack[:, None] / 2 + weights.rho * torch.from_numpy(np.abs(got))
    assert (error.abs() <= allowed + allowed[:, :1]).all()


def test_half_precision_separates_a_twentieth_of_a_standard_deviation() -> None:
    tasks = listed(normal(8, 64, 3072))
    spread = tasks.lists.scale[:8] * float(tasks.y.scale) * tasks.y.values.double().norm(dim=1).mean()
    assert (tasks.lists.slack[:8] / spread < 0.2).all()


def test_values_that_halves_hold_are_packed_exactly() -> None:
    _, y, _ = normal(1, 50, 20)
    assert halves.pack_targets(y.half()).residual == 0
    assert halves.pack_targets(y.bfloat16()).residual == 0
    assert halves.pack_targets(y).residual > 0


def test_an_offset_is_centred_away() -> None:
    _, y, _ = normal(1, 50, 20)
    near, far = halves.pack_targets(y), halves.pack_targets(y + 1000)
    assert far.residual / far.scale < 2 * near.residual / near.scale


@needs_module
@pytest.mark.parametrize("depth", [48, 200, 600])
def test_a_list_holds_about_the_logarithm_of_the_targets(depth: int) -> None:
    tasks = listed(normal(40, 3000, depth))
    count = tasks.lists.count[:40]
    assert (count >= 1).all()
    assert (count <= tasks.lists.room).all()
    assert count.float().mean() < 24


@needs_module
@pytest.mark.parametrize("engine", [HopperEngine(), AmpereEngine()])
@pytest.mark.parametrize(("rows", "targets", "depth"), [(1, 1, 4200), (130, 257, 64), (300, 1100, 70)])
def test_sections_blocks_and_parts_give_the_answer_of_the_reference(
    engine: CudaEngine, rows: int, targets: int, depth: int
) -> None:
    assert_same_answer(engine, ReferenceEngine(), normal(rows, targets, depth))


@needs_module
def test_rows_whose_lists_overflow_are_done_again_without_the_filter() -> None:
    x, y, h = normal(20, 1, 9)
    y = y.repeat(200, 1)  # 200 equal targets: more than a list holds
    engine, asked = HopperEngine(), []

    def plain(rows: torch.Tensor) -> Any:
        asked.append(len(rows))
        return engine.plain(rows, engine.prepare(y), h.repeat(200))

    problem = engine.filtered(x, engine.prepare(y), h.repeat(200))
    winners, _ = problem.assign(plain)
    assert asked == [20]
    assert torch.equal(winners, torch.zeros(20, dtype=torch.int64))


@needs_module
def test_while_a_graph_is_captured_overflowed_rows_are_walked_on_the_device(monkeypatch: Any) -> None:
    monkeypatch.setattr(filtered, "capturing", lambda _tensor: True)
    assert_same_answer(HopperEngine(), ReferenceEngine(), CASES["integer ties"])
    assert_same_answer(HopperEngine(), ReferenceEngine(), CASES["heights that fp32 cannot hold"])


@needs_module
@pytest.mark.parametrize("margin", [None, 0.5])
def test_out_of_memory_halves_the_block_and_gives_the_same_bits(
    margin: float | None, monkeypatch: Any
) -> None:
    tried, allocate = [], halves.empty_lists

    def scarce(rows: int, *rest: Any) -> halves.Lists:
        tried.append(rows)
        if rows > 256:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return allocate(rows, *rest)

    monkeypatch.setattr(halves, "empty_lists", scarce)
    assert_same_answer(HopperEngine(), ReferenceEngine(), normal(600, 50, 8), margin)
    assert tried == [600, 512, 256, 256, 88]


@needs_module
def test_memory_for_one_block_of_rows_is_the_least(monkeypatch: Any) -> None:
    def none(*_arguments: Any) -> None:
        raise torch.cuda.OutOfMemoryError("out of memory")

    monkeypatch.setattr(halves, "empty_lists", none)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        assert_same_answer(HopperEngine(), ReferenceEngine(), normal(600, 50, 8))


@pytest.mark.parametrize(
    ("rows", "most", "blocks"), [(1, 1, 1), (256, 1, 1), (257, 1, 2), (10_000, 1 << 40, 1)]
)
def test_blocks_of_rows_are_whole_and_cover_all(rows: int, most: int, blocks: int) -> None:
    ranges = filtered.row_blocks(rows, 64, 64, most)
    assert len(ranges) == blocks
    assert [lo for lo, _ in ranges] == [0, *(hi for _, hi in ranges[:-1])]
    assert ranges[-1][1] == rows
    assert all(lo % halves.ROW_PAD == 0 for lo, _ in ranges)


def test_an_unknown_filter_is_an_error_that_names_the_choices(monkeypatch: Any) -> None:
    monkeypatch.setenv("BRENIER_GPU_FILTER", "fp8")
    with pytest.raises(EngineError, match="expected one of half, int8, plain, got 'fp8'"):
        gpu_filter()


@needs_module
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("margin", [None, 0.5])
@pytest.mark.parametrize("targets", [0, 50])
def test_noise_that_is_not_finite_is_found_on_the_way(bad: float, margin: float | None, targets: int) -> None:
    x, y, h = normal(300, targets, 8)
    x[257, 3] = bad
    with pytest.raises(InputError, match=r"x: expected finite numbers, got .* at \[257, 3\]"):
        assert_same_answer(HopperEngine(), ReferenceEngine(), (x, y, h), margin)


def test_lists_of_overflowed_rows_take_their_places() -> None:
    x, y, h = normal(9, 40, 6)
    whole = ReferenceEngine().candidates(x, y, h, 1.0)
    over = torch.tensor([0, 4, 8])
    kept_rows = torch.tensor([row not in over for row in range(9)])
    owner = torch.arange(9).repeat_interleave(whole.offsets.diff())
    some = kept_rows[owner]
    kept = filtered.gathered(owner[some], whole.indices[some], whole.scores[some], 9)
    got = filtered.replaced(kept, over, ReferenceEngine().candidates(x[over], y, h, 1.0))
    assert all(
        torch.equal(getattr(got, name), getattr(whole, name)) for name in ("offsets", "indices", "scores")
    )


@pytest.mark.gpu
@needs_module
@pytest.mark.parametrize("name", CASES)
def test_kernels_for_sm_80_have_the_answers_of_the_reference_on_newer_gpus(name: str) -> None:
    class Older(Device):
        major = 8

    engine, reference = CudaEngine(), ReferenceEngine()
    engine.runner = Older
    x, y, h = CASES[name]
    packed = engine.prepare(y.cuda())
    for mine, theirs in zip(
        engine.assign(x.cuda(), packed, h.cuda()), reference.assign(x, y, h), strict=True
    ):
        assert torch.equal(mine.cpu(), theirs)


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(4))
def test_one_step_of_the_tensor_cores_is_within_the_assumed_constant(seed: int) -> None:
    """STEP in halves.py: |error| ≤ STEP·2⁻²³·Σ|xy| for one step of 16 depths of wildly different sizes."""
    generator = torch.Generator("cuda").manual_seed(seed)
    shape = (4096, 16)
    x, y = (torch.randn(shape, device="cuda", generator=generator) for _ in range(2))
    spread = torch.randint(-8, 8, shape, device="cuda", generator=generator)
    x, y = (x * 2.0**spread).half(), y.half()
    got = torch.mm(x, y.T, out_dtype=torch.float32).double()
    exact, size = x.double() @ y.double().T, x.double().abs() @ y.double().abs().T
    worst = ((got - exact).abs() / size).max() * 2**23
    print(f"worst step: {worst:.2f} of {halves.STEP}")
    assert worst <= halves.STEP


@pytest.mark.gpu
@pytest.mark.parametrize("start", [1.0, 64.0])
@pytest.mark.parametrize("depth", [32, 256, 4096])
def test_a_chain_of_steps_is_within_its_bound_also_from_a_large_sum(depth: int, start: float) -> None:
    """|error| ≤ κ·Σ|xy| over the depth, the first step being of that size and the others adding to its sum."""
    generator = torch.Generator("cuda").manual_seed(depth)
    x, y = (torch.randn((2048, depth), device="cuda", generator=generator) for _ in range(2))
    x[:, :16] *= start
    x, y = x.half(), y.half()
    got = torch.mm(x, y.T, out_dtype=torch.float32).double()
    exact, size = x.double() @ y.double().T, x.double().abs() @ y.double().abs().T
    worst = float(((got - exact).abs() / size).max())
    print(f"depth {depth}, start {start:g}: {worst / halves.kappa(depth, 0):.3f} of the bound")
    assert worst <= halves.kappa(depth, 0)
