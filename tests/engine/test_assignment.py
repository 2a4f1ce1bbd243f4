"""The compiled solver against scipy and against its own proof."""

import numpy as np
import pytest
from brenier import _core
from brenier.engine.assignment import Assigned, assign_batch, assign_square
from brenier.errors import EngineError, InputError
from helpers.assignment_families import FAMILIES
from scipy.optimize import linear_sum_assignment

ALWAYS_BID = 2
NEVER_BID = 1 << 40
SIZES = (1, 2, 3, 7, 8, 9, 16, 31, 33, 64, 65)


def optimum(scores: np.ndarray, maximize: bool = True) -> tuple[np.ndarray, float]:
    columns = linear_sum_assignment(scores.astype(np.float64), maximize=maximize)[1]
    return columns, total(scores, columns)


def total(scores: np.ndarray, permutation: np.ndarray) -> float:
    return float(scores.astype(np.float64)[np.arange(len(scores)), permutation].sum())


def assert_as_good(answer: Assigned, scores: np.ndarray, best: float, case: object) -> None:
    n = len(scores)
    assert sorted(answer.permutation.tolist()) == list(range(n)), case
    finite = np.abs(scores[np.isfinite(scores)].astype(np.float64))
    assert total(scores, answer.permutation) == pytest.approx(best, rel=1e-9, abs=1e-13 * n * finite.max()), (
        case
    )
    assert answer.excess <= answer.rounding, case


@pytest.mark.parametrize("bid_from", [-1, ALWAYS_BID])
@pytest.mark.parametrize("family", FAMILIES)
def test_totals_equal_scipys_on_every_family(family: str, bid_from: int) -> None:
    rng = np.random.default_rng(11)
    for n in SIZES:
        scores = FAMILIES[family](n, rng)
        for maximize in (True, False) if family != "forbidden pairs" else (True,):
            answer = assign_square(scores, maximize=maximize, bid_from=bid_from)
            assert_as_good(answer, scores, optimum(scores, maximize)[1], (family, n, maximize))


@pytest.mark.parametrize("bid_from", [ALWAYS_BID, NEVER_BID])
def test_thousands_of_small_problems_have_scipys_permutation(bid_from: int) -> None:
    rng = np.random.default_rng(12)
    for _ in range(3000):
        n = int(rng.integers(1, 24))
        scores = rng.standard_normal((n, n))  # the optimum is unique with probability one
        assert (assign_square(scores, bid_from=bid_from).permutation == optimum(scores)[0]).all()


@pytest.mark.parametrize("bid_from", [ALWAYS_BID, NEVER_BID])
def test_thousands_of_small_tied_problems_have_scipys_total(bid_from: int) -> None:
    rng = np.random.default_rng(13)
    for _ in range(3000):
        n, kinds = int(rng.integers(1, 24)), int(rng.integers(1, 6))
        scores = rng.integers(0, kinds, (n, n)).astype(np.float64)
        answer = assign_square(scores, bid_from=bid_from)
        assert answer.total == optimum(scores)[1]  # integers: equal, not close
        assert answer.excess == 0


@pytest.mark.parametrize("n", [127, 128, 129, 383, 384, 640, 701])
def test_larger_problems_on_both_sides_of_each_switch(n: int) -> None:
    rng = np.random.default_rng(n)
    for family in ("images", "small integers", "geometric", "rank two", "duplicate rows", "forbidden pairs"):
        scores = FAMILIES[family](n, rng)
        assert_as_good(assign_square(scores), scores, optimum(scores)[1], (family, n))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_totals_equal_scipys_at_training_size(family: str) -> None:
    scores = FAMILIES[family](1500, np.random.default_rng(5))
    assert_as_good(assign_square(scores), scores, optimum(scores)[1], family)


@pytest.mark.parametrize("family", FAMILIES)
def test_duals_bound_every_score_and_their_sum_is_the_bound(family: str) -> None:
    scores = FAMILIES[family](48, np.random.default_rng(3)).astype(np.float64)
    for bid_from in (ALWAYS_BID, NEVER_BID):
        answer = assign_square(scores, bid_from=bid_from)
        slack = answer.row_duals[:, None] + answer.column_duals[None] - scores
        assert slack.min() >= -answer.rounding
        assert answer.row_duals.sum() + answer.column_duals.sum() == pytest.approx(
            answer.total, rel=1e-9, abs=100 * answer.rounding
        )


def test_all_instruction_sets_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    for family in FAMILIES:
        scores = FAMILIES[family](130, rng)
        for bid_from in (ALWAYS_BID, NEVER_BID):
            answers = []
            for body in _core.assignment_instruction_sets():
                monkeypatch.setenv("BRENIER_CPU_BODY", body)
                answers.append(assign_square(scores, bid_from=bid_from))
            for other in answers[1:]:
                assert (other.permutation == answers[0].permutation).all()
                assert (other.column_duals == answers[0].column_duals).all()


def test_an_unknown_instruction_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_CPU_BODY", "mmx")
    with pytest.raises(EngineError, match="portable"):
        assign_square(np.zeros((3, 3)))


@pytest.mark.parametrize("family", ["images", "geometric", "normal", "heavy tails", "duplicate rows"])
def test_gap_certificates_are_never_violated(family: str) -> None:
    rng = np.random.default_rng(6)
    for gap in (0.3, 0.03, 1e-3):
        scores = FAMILIES[family](150, rng)
        best = optimum(scores)[1]
        answer = assign_square(scores, gap=gap, bid_from=ALWAYS_BID)
        assert best <= answer.total + answer.excess + answer.rounding
        assert answer.excess <= gap * answer.gain * (1 + 1e-9) + answer.rounding


def test_a_coarse_gap_is_used_to_stop_early() -> None:
    scores = FAMILIES["images"](800, np.random.default_rng(7))
    assert assign_square(scores, gap=0.05).excess > 0


def test_any_strides_are_read_and_nothing_is_written() -> None:
    rng = np.random.default_rng(8)
    large = rng.standard_normal((90, 90))
    kept = large.copy()
    for view in (large[::3, ::3], large[::-3, 1::3], large[:30, :30].T, np.asfortranarray(large)[:30, 30:60]):
        assert (assign_square(view).permutation == optimum(view)[0]).all()
    assert (large == kept).all()


def test_batches_solve_each_matrix_alone() -> None:
    rng = np.random.default_rng(9)
    matrices = [rng.standard_normal((n, n)) for n in (1, 5, 200, 0, 33)]
    for one, answer in zip(matrices, assign_batch(matrices), strict=True):
        assert (answer.permutation == assign_square(one).permutation).all()


@pytest.mark.parametrize(
    ("maximize", "bad"), [(True, np.nan), (False, np.nan), (True, np.inf), (False, -np.inf)]
)
@pytest.mark.parametrize("n", [1, 9, 200])
def test_nan_and_infinite_gain_are_input_errors_that_say_where(n: int, maximize: bool, bad: float) -> None:
    scores = np.zeros((n, n))
    scores[n // 2, n - 1] = bad
    with pytest.raises(InputError, match=rf"\[{n // 2}, {n - 1}\]"):
        assign_square(scores, maximize=maximize)


@pytest.mark.parametrize("n", [1, 2, 30, 400])
def test_infeasible_problems_are_input_errors(n: int) -> None:
    whole_column, one_column_for_two = np.zeros((n, n)), np.zeros((n, n))
    whole_column[:, n // 2] = -np.inf
    one_column_for_two[: max(1, n // 2 + 1), max(0, n // 2) :] = -np.inf
    for scores in (whole_column, one_column_for_two):
        with pytest.raises(InputError, match="forbidden"):
            assign_square(scores)


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (3,), (2, 2, 2)])
def test_rectangular_scores_are_an_input_error_with_a_remedy(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="pad a rectangular problem"):
        assign_square(np.zeros(shape))


def test_integers_beyond_float64_are_an_input_error() -> None:
    scores = np.array([[1 << 60, 0], [1, 2]])
    with pytest.raises(InputError, match="2\\^53"):
        assign_square(scores)
    assert assign_square(scores >> 10).permutation.tolist() == [0, 1]
