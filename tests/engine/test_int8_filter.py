"""The int8 filter: the reference's winners and scores bit for bit, and a bound that holds and is tight."""

import math

import numpy as np
import pytest
import torch
from brenier.engine import assign, cpu, int8
from brenier.engine.cpu import CpuEngine
from brenier.engine.filters import FILTERS, Work, choose_filter
from brenier.engine.native import INT8_BODIES, choose_body, core, int8_bodies
from brenier.engine.packed import integer_body
from brenier.errors import EngineError, InputError
from helpers.agreement import REFERENCE, same_bits
from helpers.problems import DEPTH_EDGES, HARD, TILE_EDGES, Problem, normal

EXACT = ("certified", "strict")


def assert_agrees(p: Problem, exact: str = "certified") -> CpuEngine:
    engine = CpuEngine()
    packed = engine.prepare(p.y)
    winners, scores = engine.assign(p.x, packed, p.h, exact)
    expected_winners, expected_scores = REFERENCE.assign(p.x, p.y, p.h)
    assert same_bits(winners, expected_winners)
    assert same_bits(scores, expected_scores)
    return engine


@pytest.mark.usefixtures("integers")
@pytest.mark.parametrize("exact", EXACT)
@pytest.mark.parametrize("name", HARD)
def test_hard_problems_have_the_winners_of_the_reference(name: str, exact: str) -> None:
    assert_agrees(HARD[name](), exact)


@pytest.mark.usefixtures("integers")
@pytest.mark.parametrize("depth", [*DEPTH_EDGES, 63, 64, 65, 4095, 4097, 8300])
def test_every_depth_agrees(depth: int) -> None:
    assert_agrees(normal(13, 45, depth))


@pytest.mark.usefixtures("integers")
@pytest.mark.parametrize("rows", [*TILE_EDGES, 193])
def test_every_number_of_rows_agrees(rows: int) -> None:
    assert_agrees(normal(rows, 35, 9))


@pytest.mark.usefixtures("integers")
@pytest.mark.parametrize("targets", [*TILE_EDGES, 127, 257])
def test_every_number_of_targets_agrees(targets: int) -> None:
    assert_agrees(normal(14, targets, 9))


@pytest.mark.usefixtures("integers")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_float_type_and_any_strides_agree(dtype: torch.dtype) -> None:
    p = normal(20, 80, 50).of(dtype)
    assert_agrees(p)
    assert_agrees(Problem(p.x[::2, 5:30], p.y[:, 5:30], p.h))
    assert_agrees(Problem(p.x[:, ::2], p.y[:, ::2], p.h))


@pytest.mark.usefixtures("integers")
@pytest.mark.parametrize("operations", [1.0, 2e4])
@pytest.mark.parametrize("threads", ["1", "3"])
def test_answers_do_not_depend_on_threads_or_on_how_the_work_is_cut(
    threads: str, operations: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", threads)
    monkeypatch.setattr(int8, "OPERATIONS_PER_CALL", operations)
    monkeypatch.setattr(int8, "BYTES_PER_PACK", 64)
    assert_agrees(normal(200, 150, 24))
    assert_agrees(normal(10, 300, 24))


def test_prepared_targets_serve_many_heights(integers: str) -> None:
    p = normal(20, 80, 50)
    packed = CpuEngine().prepare(p.y)
    panels = packed.integers(integers)
    for scale in (0.0, 1.0, -30.0, 1e9):
        winners, scores = CpuEngine().assign(p.x, packed, scale * p.h)
        expected = REFERENCE.assign(p.x, p.y, scale * p.h)
        assert same_bits(winners, expected[0])
        assert same_bits(scores, expected[1])
    assert packed.integers(integers) is panels


@pytest.mark.usefixtures("integers")
def test_int8_really_decides_when_it_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "assign_floats", lambda *_: pytest.fail("float32 was asked"))
    assert_agrees(normal(100, 800, 40))


def test_useless_bounds_are_given_up_and_float32_decides(integers: str) -> None:
    p = normal(40, 1, 30)
    p = Problem(p.x, p.y.expand(3000, 30), torch.zeros(3000, dtype=torch.float64))
    engine = CpuEngine()
    packed = engine.prepare(p.y)
    winners, _ = engine.assign(p.x, packed, p.h)
    assert (winners == 0).all()
    assert packed.measured[integers, "certified"] == 1.0


def test_most_pairs_never_reach_float64(integers: str) -> None:
    p = normal(200, 3000, 64)
    engine = CpuEngine()
    packed = engine.prepare(p.y)
    engine.assign(p.x, packed, p.h)
    assert packed.measured[integers, "certified"] < 0.01


def quantized(packed: int8.Int8Targets) -> np.ndarray:
    """Integers of the targets (n, d) back out of their panels [panel][step][target][values of a word]."""
    count, depth = packed.source.shape
    kind = np.uint8 if packed.body.bits == 8 else np.int16
    steps, width = packed.body.steps(depth), packed.body.targets
    words = packed.panels.view(kind).reshape(-1, steps, width, 32 // packed.body.bits).astype(np.float64)
    rows = words.transpose(0, 2, 1, 3).reshape(-1, steps * 32 // packed.body.bits)[:count, :depth]
    return rows - (128 if packed.body.bits == 8 else 0)


@pytest.mark.parametrize("depth", [1, 3, 64, 500])
def test_the_dithered_error_is_uniform_whatever_the_data(integers: str, depth: int) -> None:
    """x_q - x lies in s(-1/2, 1/2) with the variance s²/12, also where x sits on a grid; the norms are above."""
    targets = max(40, 20_000 // depth)
    y = torch.randn(targets, depth, generator=torch.Generator().manual_seed(0)).mul(4).round() / 4
    body = choose_body()
    rows = integer_body(body, integers)
    assert rows is not None
    fraction = 16 if integers == "int8" else 12
    errors = []
    for _ in range(8):
        packed = int8.pack_targets(y, rows, body)
        assert packed is not None
        v = ((packed.dither.targets >> (16 - fraction)) + 0.5) / 2.0**fraction - 0.5
        panel = np.arange(targets) // rows.targets
        scaled = (y.double().numpy() - packed.centre) / packed.scales.astype(np.float64)[panel, None]
        error = quantized(packed) - v - scaled
        assert (np.linalg.norm(error, axis=1) <= packed.residuals[panel]).all()
        assert (np.linalg.norm(scaled, axis=1) <= packed.norms[panel]).all()
        errors.append(error)
    every = np.concatenate(errors).ravel()
    draws = 8 * depth  # the dither is shared by all targets: only so many are independent
    assert abs(every).max() <= 0.5 + 2.0 ** (1 - fraction)
    assert abs(every.mean()) < 5 / math.sqrt(12 * draws)
    assert abs(every.var() - 1 / 12) < 5 * 0.0745 / math.sqrt(draws)


def test_the_dither_is_drawn_anew_for_every_set_of_targets() -> None:
    y, body = normal(1, 50, 64).y, choose_body()
    one, two = (int8.pack_targets(y, int8_bodies(body.name)[-1], body) for _ in range(2))
    assert (one.dither.targets != two.dither.targets).any()
    assert (one.dither.noise != one.dither.targets).any()


def test_strict_has_no_dithered_bound() -> None:
    assert int8.dither_factor(10, "strict") == math.inf
    expected = math.sqrt(2 * math.log(2e9 / 1e-12) / 12)
    assert int8.dither_factor(10**9, "certified") == pytest.approx(expected, rel=1e-5)


def test_every_entry_of_the_table_is_found_by_its_name_only() -> None:
    for index, (name, runs_here, bits, *_) in enumerate(core().int8_bodies()):
        found = [row for body in INT8_BODIES for row in int8_bodies(body, bits) if row.name == name]
        assert all(row.index == index for row in found)
        assert bool(found) == runs_here


def test_a_masked_float32_body_masks_faster_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_CPU_BODY", "portable")
    assert [row.name for row in int8_bodies("portable")] == ["portable"]
    assert CpuEngine().prepare(torch.ones(40, 16)).choose(100, "certified").name == "fp32"


@pytest.mark.parametrize("mask", ["fp64", "int8:sse", "fp32:avx2"])
def test_an_unknown_filter_is_an_error(mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_CPU_FILTER", mask)
    with pytest.raises(EngineError, match="BRENIER_CPU_FILTER"):
        CpuEngine().assign(torch.ones(2, 8), CpuEngine().prepare(torch.ones(9, 8)), torch.zeros(9).double())


def test_the_cost_model_says_what_it_chose_and_why() -> None:
    large = choose_filter(Work(4096, 50_000, 3072))
    assert large.name == "int8"
    assert [each.name for each in large.estimates] == list(FILTERS)
    assert "int8: estimated" in str(large)
    assert choose_filter(Work(4096, 50_000, 3072), forced="fp32").name == "fp32"


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (Work(4096, 50_000, 3072, exact="strict"), "int8"),
        (Work(1024, 20_000, 12_288, exact="strict"), "int16"),
        (Work(50_000, 50_000, 64, exact="strict"), "int8"),
        (Work(4096, 50_000, 3072, integers=()), "fp32"),
        (Work(4096, 50_000, 3072, measured=(("int8", 0.5),)), "int16"),
        (Work(4096, 50_000, 3072, measured=(("int8", 0.5), ("int16", 0.5))), "fp32"),
        (Work(4096, 50_000, 3072, measured=(("int8", 0.05),)), "int16"),
        (Work(1, 50_000, 3072, packed=("fp32",)), "fp32"),
    ],
)
def test_the_cost_model_goes_by_sizes_and_by_what_was_measured(work: Work, expected: str) -> None:
    assert choose_filter(work).name == expected


@pytest.mark.parametrize("engine", ["cpu", "reference"])
def test_the_verb_takes_both_ways_of_being_exact(engine: str) -> None:
    p = normal(30, 200, 40)
    expected = REFERENCE.assign(p.x, p.y, p.h)[0]
    for exact in EXACT:
        assert torch.equal(assign(p.x, p.y, p.h, exact=exact, engine=engine), expected)
    with pytest.raises(InputError, match="'certified' or 'strict'"):
        assign(p.x, p.y, p.h, exact="roughly", engine=engine)


def test_targets_are_packed_for_the_filter_that_a_call_needs_and_for_no_other() -> None:
    packed = CpuEngine().prepare(normal(1, 900, 64).y)
    assert packed.work(10, "certified").packed == ()
    name = packed.ahead(100_000)
    assert packed.work(10, "certified").packed == (name,)
