"""What is the CPU engine's own: bodies, cutting the work, threads, memory, fork."""

import itertools
import multiprocessing
import os

import pytest
import torch
from brenier.engine import assign, candidates, engines, packed, pieces
from brenier.engine.cpu import CpuEngine
from brenier.engine.native import choose_body, core
from brenier.errors import EngineError
from helpers.agreement import (
    REFERENCE,
    assert_assign_agrees,
    assert_candidates_agree,
    assert_same_candidates,
    same_bits,
)
from helpers.problems import HARD, Problem, normal
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("name", ["small integers", "growing", "near ties", "some heights -inf"])
@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("operations", [1.0, 2e4])
def test_answers_do_not_depend_on_threads_or_on_how_the_work_is_cut(
    name: str, threads: str, operations: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", threads)
    monkeypatch.setattr(pieces, "OPERATIONS_PER_CALL", operations)
    monkeypatch.setattr(packed, "ELEMENTS_PER_PACK", 64)
    p = HARD[name]()
    assert_assign_agrees(CpuEngine(), p)
    assert_candidates_agree(CpuEngine(), p, 0.5)


def test_few_rows_share_the_targets_among_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", "4")
    p = normal(1, 900, 50)
    blocks = pieces.cut(1, CpuEngine().prepare(p.y).floats())
    assert [len(block) for block in blocks] == [4]
    covered = [edges for piece in blocks[0] for edges in piece.ranges]
    assert covered[0][0] == 0
    assert covered[-1][1] == 900
    assert all(a[1] == b[0] for a, b in itertools.pairwise(covered))
    assert_assign_agrees(CpuEngine(), p)
    assert_candidates_agree(CpuEngine(), p, 3.0)


def test_a_native_call_is_short_even_for_one_huge_row() -> None:
    y = torch.zeros(1).expand(200_000, 1)
    for piece in pieces.cut(1, CpuEngine().prepare(y).floats())[0]:
        for lo, hi in piece.ranges:
            assert 2 * (hi - lo) <= pieces.OPERATIONS_PER_CALL


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.data())
def test_any_small_problem_agrees_with_the_reference(data: st.DataObject) -> None:
    rows, targets, depth = (data.draw(st.integers(0, most)) for most in (15, 70, 40))
    value = st.one_of(st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, 3e38, 1e-38]), st.floats(width=32))
    number = value.filter(lambda v: abs(v) < 3.4e38)
    few = data.draw(st.lists(number, min_size=1, max_size=6))
    pick = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))

    def drawn(*shape: int) -> torch.Tensor:
        return torch.tensor(few)[torch.randint(0, len(few), shape, generator=pick)]

    low = [*few, -float("inf")]
    h = torch.tensor(low, dtype=torch.float64)[torch.randint(0, len(low), (targets,), generator=pick)]
    p = Problem(drawn(rows, depth), drawn(targets, depth), h)
    assert_assign_agrees(CpuEngine(), p)
    assert_candidates_agree(CpuEngine(), p, abs(data.draw(number)))


@pytest.mark.usefixtures("body")
def test_long_candidate_lists_are_cut_into_fewer_rows_and_stay_exact() -> None:
    """Every target within the margin: more survivors than may wait, so fewer rows are done at a time."""
    p = normal(150, 45_000, 1)
    found = CpuEngine().candidates(p.x, CpuEngine().prepare(p.y), p.h, 1e6)
    assert len(found.indices) == 150 * 45_000
    assert torch.equal(found.indices.view(150, -1)[-1], torch.arange(45_000))
    row = found.scores.view(150, -1)[77]
    assert same_bits(row, p.x[77].double() * p.y[:, 0].double() + p.h)


def test_the_table_of_bodies_ends_with_one_that_runs_anywhere() -> None:
    name, runs_here, *_ = core().bodies()[-1]
    assert (name, runs_here) == ("portable", True)


def test_the_fastest_body_is_chosen_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRENIER_CPU_BODY", raising=False)
    fastest = next(row[0] for row in core().bodies() if row[1])
    assert choose_body().name == fastest
    assert fastest in CpuEngine().detail()


def test_a_masked_body_is_used_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_CPU_BODY", "portable")
    assert "portable (BRENIER_CPU_BODY)" in CpuEngine().detail()


def test_an_unknown_body_is_an_error_and_never_another_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_CPU_BODY", "avx1024")
    with pytest.raises(EngineError, match="'avx1024'; unset it"):
        assign(torch.ones(1, 2), torch.ones(3, 2))
    row = next(row for row in engines() if row.name == "cpu")
    assert not row.available
    assert "avx1024" in row.reason


def test_prepared_targets_keep_the_body_they_were_packed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    p = normal(20, 80, 50)
    monkeypatch.setenv("BRENIER_CPU_BODY", "portable")
    packed = CpuEngine().prepare(p.y)
    monkeypatch.delenv("BRENIER_CPU_BODY")
    assert same_bits(CpuEngine().assign(p.x, packed, p.h)[1], REFERENCE.assign(p.x, p.y, p.h)[1])


def test_float32_rows_are_not_copied_beside_the_panels() -> None:
    y = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    assert CpuEngine().prepare(y[:, 3:30]).source.data_ptr() == y[:, 3:].data_ptr()
    assert CpuEngine().prepare(y.bfloat16()).source.dtype == torch.bfloat16


def test_the_verbs_reach_the_cpu_engine() -> None:
    p = normal(20, 80, 50)
    counts = torch.zeros(80, dtype=torch.int64)
    winners, scores = assign(p.x.numpy(), p.y.numpy(), p.h.numpy(), return_scores=True, counts=counts)
    expected = REFERENCE.assign(p.x, p.y, p.h)
    assert (winners == expected[0].numpy()).all()
    assert (scores == expected[1].numpy()).all()
    assert int(counts.sum()) == 20
    assert_same_candidates(
        candidates(p.x, p.y, p.h, margin=1.0, engine="cpu"), REFERENCE.candidates(p.x, p.y, p.h, 1.0)
    )


def _child(p: Problem, queue: "multiprocessing.Queue[float]") -> None:
    queue.put(float(CpuEngine().assign(p.x, CpuEngine().prepare(p.y), p.h)[1].sum()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_makes_its_own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", "2")
    p = normal(2000, 80, 8)
    here = float(CpuEngine().assign(p.x, CpuEngine().prepare(p.y), p.h)[1].sum())
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[float] = context.Queue()
    child = context.Process(target=_child, args=(p, queue))
    child.start()
    assert queue.get(timeout=60) == here
    child.join(timeout=60)
    assert child.exitcode == 0
