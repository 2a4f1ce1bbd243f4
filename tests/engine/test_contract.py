"""One contract for every engine: the reference's winners, scores and candidates, bit for bit."""

import pytest
import torch
from brenier.engine.registry import Engine
from helpers.agreement import assert_assign_agrees, assert_candidates_agree, margins
from helpers.problems import DEPTH_EDGES, HARD, TILE_EDGES, Problem, normal


def assert_agrees(engine: Engine, p: Problem) -> None:
    assert_assign_agrees(engine, p)
    for margin in margins(p):
        assert_candidates_agree(engine, p, margin)


@pytest.mark.parametrize("name", HARD)
def test_hard_problems_have_the_answer_of_the_reference(engine: Engine, name: str) -> None:
    assert_agrees(engine, HARD[name]())


@pytest.mark.parametrize("depth", DEPTH_EDGES)
def test_every_depth_agrees(engine: Engine, depth: int) -> None:
    assert_agrees(engine, normal(13, 45, depth))


@pytest.mark.parametrize("rows", TILE_EDGES)
def test_every_number_of_rows_agrees(engine: Engine, rows: int) -> None:
    assert_agrees(engine, normal(rows, 35, 9))


@pytest.mark.parametrize("targets", TILE_EDGES)
def test_every_number_of_targets_agrees(engine: Engine, targets: int) -> None:
    assert_agrees(engine, normal(14, targets, 9))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_float_type_is_scored_as_its_exact_values(engine: Engine, dtype: torch.dtype) -> None:
    p = normal(20, 80, 50).of(dtype)
    assert_agrees(engine, p)


def test_subnormal_float16_is_scored_exactly(engine: Engine) -> None:
    p = normal(20, 80, 50)
    assert_agrees(engine, Problem(p.x.half(), (p.y * 1e-7).half(), p.h * 1e-7))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_strides_are_read(engine: Engine, dtype: torch.dtype) -> None:
    p = normal(40, 160, 60).of(dtype)
    cases = [
        Problem(p.x[::2], p.y[::2], p.h[::2]),
        Problem(p.x[:, ::2], p.y[:, ::2], p.h),
        Problem(p.x[:, 5:30], p.y[:, 5:30], p.h),
        Problem(p.x.T.contiguous().T, p.y.T.contiguous().T, p.h),
        Problem(p.x[:1].expand(7, 60), p.y, p.h),
    ]
    for case in cases:
        assert_agrees(engine, case)


def test_inputs_are_not_changed(engine: Engine) -> None:
    p = normal(20, 80, 50)
    before = [t.clone() for t in (p.x, p.y, p.h)]
    assert_agrees(engine, p)
    assert all(torch.equal(a, b) for a, b in zip((p.x, p.y, p.h), before, strict=True))


def test_prepared_targets_serve_many_heights(engine: Engine) -> None:
    p = normal(20, 80, 50)
    packed = engine.prepare(p.y)
    for scale in (0.0, 1.0, -30.0):
        winners, _ = engine.assign(p.x, packed, scale * p.h)
        expected = (p.x.double() @ p.y.double().T + scale * p.h).argmax(dim=1)
        assert torch.equal(winners, expected)
