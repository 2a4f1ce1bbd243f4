"""Guesses of the winners: the answer is the same whatever they are, and good ones save work."""

import numpy as np
import pytest
import torch
from brenier.engine import assign, int8
from brenier.engine.cpu import CpuEngine
from brenier.errors import InputError
from helpers.agreement import REFERENCE, same_bits
from helpers.problems import HARD, Problem, normal

EXACT = ("certified", "strict")


def guesses_for(p: Problem) -> dict[str, torch.Tensor]:
    """Right, wrong, lowest, highest, none, and a mixture."""
    rows, targets = len(p.x), len(p.y)
    right = REFERENCE.assign(p.x, p.y, p.h)[0]
    if targets == 0:
        return {"none": torch.full((rows,), -1)}
    garbage = torch.randint(-1, targets, (rows,), generator=torch.Generator().manual_seed(3))
    worst = p.h.argmin().expand(rows).clone()
    last = torch.full((rows,), targets - 1)
    return {"right": right, "garbage": garbage, "worst height": worst, "last": last, "first": 0 * last}


def assert_same_whatever_the_guess(p: Problem, exact: str = "certified") -> None:
    expected = REFERENCE.assign(p.x, p.y, p.h)
    packed = CpuEngine().prepare(p.y)
    for name, guess in guesses_for(p).items():
        winners, scores = CpuEngine().assign(p.x, packed, p.h, exact, guess)
        assert same_bits(winners, expected[0]), name
        assert same_bits(scores, expected[1]), name


@pytest.mark.usefixtures("integers")
@pytest.mark.parametrize("exact", EXACT)
@pytest.mark.parametrize("name", HARD)
def test_integer_filters_return_the_same_whatever_the_guess(name: str, exact: str) -> None:
    assert_same_whatever_the_guess(HARD[name](), exact)


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("name", HARD)
def test_the_float32_filter_returns_the_same_whatever_the_guess(name: str) -> None:
    assert_same_whatever_the_guess(HARD[name]())


@pytest.mark.parametrize("filter_", ["fp32", "int8:portable"])
def test_a_guess_outside_the_targets_of_a_thread_does_not_win_its_ties(
    filter_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few rows: targets are dealt among threads, and each starts from the same guess."""
    monkeypatch.setenv("BRENIER_NUM_THREADS", "4")
    monkeypatch.setenv("BRENIER_CPU_FILTER", filter_)
    monkeypatch.setattr(int8, "OPERATIONS_PER_CALL", 2e4)
    p = normal(3, 40, 16)
    p = Problem(p.x, p.y.repeat(20, 1), p.h.repeat(20))
    assert_same_whatever_the_guess(p)


def test_good_guesses_leave_less_to_score(integers: str) -> None:
    p = normal(300, 4000, 64)
    packed = CpuEngine().prepare(p.y)
    first = CpuEngine().assign(p.x, packed, p.h)[0]
    cold = packed.measured[integers, "certified"]
    moved = p.h + 1e-3 * torch.randn(4000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    winners, _ = CpuEngine().assign(p.x, packed, moved, "certified", first)
    assert same_bits(winners, REFERENCE.assign(p.x, p.y, moved)[0])
    assert packed.measured[integers, "certified"] < 0.8 * cold


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("kind", [np.int64, np.int32, list, torch.int64])
def test_the_verb_takes_last_winners_of_any_whole_type(engine: str, kind: object) -> None:
    p = normal(30, 200, 40)
    expected = REFERENCE.assign(p.x, p.y, p.h)[0]
    last = (
        expected.tolist()
        if kind is list
        else expected
        if kind is torch.int64
        else expected.numpy().astype(kind)
    )
    assert torch.equal(assign(p.x, p.y, p.h, warm=last, engine=engine), expected)


@pytest.mark.parametrize(
    ("warm", "message"),
    [
        (torch.zeros(29, dtype=torch.int64), r"shape \(30,\)"),
        (torch.zeros(30, 1, dtype=torch.int64), r"shape \(30,\)"),
        (torch.zeros(30), "whole numbers"),
        (torch.full((30,), 200), r"200 at \[0\]"),
        (torch.full((30,), -2), r"-2 at \[0\]"),
        ("last", "real numbers"),
    ],
)
def test_guesses_that_are_no_targets_are_refused(warm: object, message: str) -> None:
    p = normal(30, 200, 40)
    with pytest.raises(InputError, match=message):
        assign(p.x, p.y, p.h, warm=warm)  # type: ignore[arg-type]
