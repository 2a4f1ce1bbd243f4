"""Bidding and its exact finish: many problems against scipy, and the places where integers decide nothing."""

import numpy as np
import pytest
from brenier import _core
from brenier.engine.assignment import Assigned, assign_square
from helpers.assignment_families import FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

ALWAYS_BID, NEVER_BID = 2, 1 << 40
HARD = (
    "Machol-Wien costs",
    "geometric",
    "squared geometric",
    "duplicate rows",
    "constant rows",
    "blocks",
    "rank two",
)


def best_total(scores: np.ndarray) -> float:
    wide = scores.astype(np.float64)
    return float(wide[linear_sum_assignment(wide, maximize=True)].sum())


def assert_optimal(answer: Assigned, scores: np.ndarray) -> None:
    assert sorted(answer.permutation.tolist()) == list(range(len(scores)))
    assert answer.total == pytest.approx(best_total(scores), rel=1e-9, abs=answer.rounding)
    assert answer.excess <= answer.rounding
    slack = answer.row_duals[:, None] + answer.column_duals[None] - scores
    assert slack.min() >= -answer.rounding


@pytest.mark.parametrize("bid_from", [ALWAYS_BID, NEVER_BID])
def test_five_thousand_problems_up_to_64_have_scipys_permutation(bid_from: int) -> None:
    rng = np.random.default_rng(21)
    for _ in range(5000):
        n = int(rng.integers(1, 65))
        scores = rng.standard_normal((n, n)).astype(rng.choice([np.float32, np.float64]))
        expected = linear_sum_assignment(scores.astype(np.float64), maximize=True)[1]
        assert (assign_square(scores, bid_from=bid_from).permutation == expected).all()


@pytest.mark.parametrize("n", [159, 160, 161, 256, 383, 384, 385, 400, 511, 640])
def test_sizes_around_every_switch(n: int) -> None:
    rng = np.random.default_rng(n)
    for family in ("images", "normal", "uniform float32", "squared geometric"):
        scores = FAMILIES[family](n, rng)
        assert_optimal(assign_square(scores), scores)


@pytest.mark.slow
@pytest.mark.parametrize("n", [800, 1024, 1365, 2048])
@pytest.mark.parametrize("family", ["images", "normal", "uniform float32", "large integers", *HARD])
def test_large_problems_have_scipys_total(family: str, n: int) -> None:
    scores = FAMILIES[family](n, np.random.default_rng(n))
    assert_optimal(assign_square(scores), scores)


@pytest.mark.parametrize("family", HARD)
def test_hard_families_at_bidding_size(family: str) -> None:
    scores = FAMILIES[family](300, np.random.default_rng(31))
    assert_optimal(assign_square(scores, bid_from=ALWAYS_BID), scores)


def test_float64_differences_far_below_the_integers_decide() -> None:
    rng = np.random.default_rng(22)
    coarse = np.round(rng.standard_normal((200, 200)), 1)
    scores = coarse + 1e-9 * rng.standard_normal((200, 200))
    answer = assign_square(scores)
    assert (answer.permutation == linear_sum_assignment(scores, maximize=True)[1]).all()
    assert_optimal(answer, scores)


@pytest.mark.parametrize("outlier", [1e6, -1e6, 1e12, -1e12])
def test_clamped_costs_change_nothing(outlier: float) -> None:
    rng = np.random.default_rng(23)
    scores = rng.standard_normal((220, 220))
    for place in (slice(0, 1), (slice(None), 3), (rng.integers(0, 220, 500), rng.integers(0, 220, 500))):
        changed = scores.copy()
        changed[place] += outlier
        assert_optimal(assign_square(changed), changed)
        assert_optimal(assign_square(changed.T), changed.T)


def test_a_price_war_ends_on_paths_and_says_so() -> None:
    rng = np.random.default_rng(24)
    scores = rng.standard_normal((400, 400))
    scores[:, 7] += 1e6  # the price of one column has a million steps to go
    answer = assign_square(scores)
    assert answer.stalled
    assert_optimal(answer, scores)


@pytest.mark.parametrize(
    "family", ["images", "normal", "heavy tails", "squared geometric", "rank two", "duplicate rows"]
)
@pytest.mark.parametrize("gap", [0.1, 1e-2, 1e-3, 1e-5])
def test_certificates_hold_at_bidding_size(family: str, gap: float) -> None:
    scores = FAMILIES[family](250, np.random.default_rng(25))
    answer = assign_square(scores, gap=gap)
    gain = best_total(scores) - scores.mean() * len(scores)
    assert best_total(scores) - answer.total <= answer.excess + answer.rounding
    assert answer.excess <= gap * answer.gain + answer.rounding
    assert best_total(scores) - answer.total <= gap * gain * (1 + 1e-6) + answer.rounding


def test_random_totals_are_the_mean_over_permutations_clamped_or_not() -> None:
    for family in ("images", "heavy tails"):
        scores = FAMILIES[family](200, np.random.default_rng(26))
        assert assign_square(scores).random_total == pytest.approx(scores.mean() * 200, rel=1e-5, abs=1e-3)


def test_bidding_gives_the_same_bits_on_all_instruction_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(27)
    for n, family in ((200, "images"), (450, "images"), (450, "rank two"), (200, "heavy tails")):
        scores = FAMILIES[family](n, rng)
        answers = []
        for body in _core.assignment_instruction_sets():
            monkeypatch.setenv("BRENIER_CPU_BODY", body)
            answers += [assign_square(one) for one in (scores, scores.astype(np.float32))]
        for k, other in enumerate(answers):
            assert (other.permutation == answers[k % 2].permutation).all()
            assert (other.column_duals == answers[k % 2].column_duals).all()


ENTRIES = st.one_of(
    st.floats(-1e3, 1e3), st.sampled_from([0.0, 1.0, -1.0, 1e30, -1e30, 1e-30]), st.integers(-3, 3).map(float)
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.integers(1, 12).flatmap(lambda n: arrays(np.float64, (n, n), elements=ENTRIES)),
    st.booleans(),
    st.booleans(),
)
def test_the_answer_is_an_optimal_permutation_whatever_the_numbers(
    scores: np.ndarray, maximize: bool, bids: bool
) -> None:
    answer = assign_square(scores, maximize=maximize, bid_from=ALWAYS_BID if bids else NEVER_BID)
    assert sorted(answer.permutation.tolist()) == list(range(len(scores)))
    best = scores[linear_sum_assignment(scores, maximize=maximize)].sum()
    assert abs(answer.total - best) <= 1e-12 * np.abs(scores).max() * len(scores)
