"""Soft counts against float64 softmax, and their bits against any way of cutting the work."""

import pytest
import torch
from brenier.engine import soft
from brenier.engine.cpu import CpuEngine
from brenier.engine.soft import SoftCounts, soft_counts
from brenier.errors import InputError
from brenier.types import FIXED_POINT_ONE, Candidates
from helpers.problems import normal

TARGETS = 90


def lists(rows: int = 300) -> Candidates:
    p = normal(rows, TARGETS, 20)
    return CpuEngine().candidates(p.x, CpuEngine().prepare(p.y), p.h, 4.0)


def change() -> torch.Tensor:
    return 0.3 * torch.randn(TARGETS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def expected(cands: Candidates, epsilon: float, shift: torch.Tensor) -> list[torch.Tensor]:
    """Sums of p at ε, p at ε/√2, p² and wins by torch's softmax."""
    sums = [torch.zeros(TARGETS, dtype=torch.float64) for _ in range(4)]
    for lo, hi in zip(cands.offsets[:-1], cands.offsets[1:], strict=True):
        targets = cands.indices[lo:hi]
        s = cands.scores[lo:hi] + shift[targets]
        p, sharp = torch.softmax(s / epsilon, 0), torch.softmax(s / (epsilon / 2**0.5), 0)
        for total, part in zip(sums, (p, sharp, p * p), strict=False):
            total.index_add_(0, targets, part)
        sums[3][targets[int((s == s.max()).nonzero()[0])]] += 1
    return sums


def same(a: SoftCounts, b: SoftCounts) -> bool:
    return all(torch.equal(getattr(a, f), getattr(b, f)) for f in a.__dataclass_fields__)


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("epsilon", [1e-3, 0.3, 5.0, 1e6])
def test_sums_are_those_of_a_float64_softmax(epsilon: float) -> None:
    found = soft_counts(lists(), TARGETS, epsilon, change())
    weight, sharp, square, winners = expected(lists(), epsilon, change())
    for counts, sums in zip(
        (found.weight, found.weight_sharp, found.square), (weight, sharp, square), strict=True
    ):
        assert (counts.double() / FIXED_POINT_ONE - sums).abs().max() < 300 * 2.0**-40
    assert torch.equal(found.winners.double(), winners)


def test_each_row_adds_one_in_all() -> None:
    found = soft_counts(lists(), TARGETS, 0.5)
    assert abs(int(found.weight.sum()) - 300 * FIXED_POINT_ONE) < 300 * TARGETS
    assert int(found.winners.sum()) == 300


@pytest.mark.parametrize("threads", ["1", "2", "5"])
@pytest.mark.parametrize("entries", [1, 100, 1 << 21])
def test_bits_do_not_depend_on_threads_or_pieces(
    threads: str, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = soft_counts(lists(), TARGETS, 0.3, change())
    monkeypatch.setenv("BRENIER_NUM_THREADS", threads)
    monkeypatch.setattr(soft, "ENTRIES_PER_CALL", entries)
    assert same(soft_counts(lists(), TARGETS, 0.3, change()), whole)


def test_bits_do_not_depend_on_the_instruction_set(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = soft_counts(lists(), TARGETS, 0.3, change())
    monkeypatch.setenv("BRENIER_CPU_BODY", "portable")
    assert same(found, soft_counts(lists(), TARGETS, 0.3, change())), body


@pytest.mark.usefixtures("body")
def test_a_row_longer_than_a_batch_is_one_row() -> None:
    n = 5000
    row = Candidates(torch.tensor([0, n]), torch.arange(n), torch.zeros(n, dtype=torch.float64))
    found = soft_counts(row, n, 1.0)
    assert (found.weight == round(FIXED_POINT_ONE / n)).all()
    assert found.winners.tolist() == [1] + [0] * (n - 1)


def test_rows_without_a_finite_score_add_nothing() -> None:
    scores = torch.tensor([-torch.inf, 1.0, -torch.inf], dtype=torch.float64)
    rows = Candidates(torch.tensor([0, 0, 1, 3]), torch.tensor([2, 0, 1]), scores)
    found = soft_counts(rows, 3, 1.0)
    assert found.weight.tolist() == [FIXED_POINT_ONE, 0, 0]
    assert found.winners.tolist() == [1, 0, 0]


def test_no_rows_and_no_targets_are_zeros() -> None:
    none = Candidates(torch.zeros(1, dtype=torch.int64), torch.empty(0, dtype=torch.int64), torch.empty(0))
    assert soft_counts(none, 0, 1.0).weight.shape == (0,)
    assert soft_counts(none, 4, 1.0).winners.tolist() == [0] * 4


@pytest.mark.parametrize("epsilon", [0, -1.0, float("nan"), float("inf"), None])
def test_epsilon_must_be_positive_and_finite(epsilon: float) -> None:
    with pytest.raises(InputError, match="epsilon: expected a finite number > 0"):
        soft_counts(lists(), TARGETS, epsilon)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_inf_do_not_pass(value: float) -> None:
    cands = lists()
    cands.scores[17] = value
    with pytest.raises(InputError, match="in row"):
        soft_counts(cands, TARGETS, 1.0)


def test_indices_out_of_bounds_do_not_pass() -> None:
    with pytest.raises(InputError, match=r"indices in \[0, 50\)"):
        soft_counts(lists(), 50, 1.0)


def test_a_change_of_the_wrong_length_does_not_pass() -> None:
    with pytest.raises(InputError, match="heights_change"):
        soft_counts(lists(), TARGETS, 1.0, change()[:-1])
