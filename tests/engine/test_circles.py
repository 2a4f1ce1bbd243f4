"""Great circles: candidates against the reference bit for bit, sums against a float64 softmax."""

import pytest
import torch
from brenier.engine import circles, threads
from brenier.engine.circles import circle_candidates, circle_counts, circle_points, circle_wins
from brenier.engine.cpu import CpuEngine
from brenier.engine.reference import ReferenceEngine
from brenier.engine.soft import SoftCounts, soft_counts
from brenier.errors import InputError
from brenier.types import CIRCLE_POINTS, COSINES, FIXED_POINT_ONE, SINES, CircleCandidates
from helpers.agreement import margins, same_bits
from helpers.problems import DEPTH_EDGES, HARD, TILE_EDGES, Problem, normal

TARGETS = 90


def in_pairs(p: Problem) -> Problem:
    """The problem with an even number of rows."""
    return Problem(p.x[: len(p.x) // 2 * 2], p.y, p.h)


def assert_circles_agree(p: Problem) -> None:
    engine, reference = CpuEngine(), ReferenceEngine()
    for margin in margins(p):
        found = engine.circle_candidates(p.x, engine.prepare(p.y), p.h, margin)
        expected = reference.circle_candidates(p.x, p.y, p.h, margin)
        assert same_bits(found.offsets, expected.offsets)
        assert same_bits(found.indices, expected.indices)
        assert same_bits(found.products, expected.products)


def found_circles(pairs: int = 150, margin: float = 4.0) -> tuple[CircleCandidates, torch.Tensor]:
    p = normal(2 * pairs, TARGETS, 20)
    return circle_candidates(p.x, p.y, p.h, margin=margin, engine="cpu"), p.h


def same(a: SoftCounts, b: SoftCounts) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("name", HARD)
def test_hard_problems_have_the_circles_of_the_reference(name: str) -> None:
    assert_circles_agree(in_pairs(HARD[name]()))


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("depth", DEPTH_EDGES)
def test_every_depth_agrees_on_circles(depth: int) -> None:
    assert_circles_agree(normal(14, 45, depth))


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("targets", TILE_EDGES)
def test_every_number_of_circles_and_targets_agrees(targets: int) -> None:
    for pairs in (0, 1, 2, 5, 6, 7, 13):
        assert_circles_agree(normal(2 * pairs, targets, 9))


def test_circles_do_not_depend_on_how_the_work_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    from brenier.engine import pieces

    p = normal(60, 300, 20)
    whole = CpuEngine().circle_candidates(p.x, CpuEngine().prepare(p.y), p.h, 2.0)
    monkeypatch.setattr(pieces, "OPERATIONS_PER_CALL", 20_000)
    cut = CpuEngine().circle_candidates(p.x, CpuEngine().prepare(p.y), p.h, 2.0)
    assert torch.equal(cut.offsets, whole.offsets)
    assert torch.equal(cut.indices, whole.indices)
    assert same_bits(cut.products, whole.products)


def test_the_points_of_a_circle_are_standard_normal() -> None:
    assert (torch.from_numpy(COSINES**2 + SINES**2) - 1).abs().max() < 1e-15
    draws = torch.randn(40_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for cosine, sine in zip(COSINES, SINES, strict=True):
        point = draws @ torch.tensor([cosine, sine], dtype=torch.float64)
        assert abs(point.mean()) < 0.02
        assert abs(point.var() - 1) < 0.03


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("epsilon", [0.02, 0.5, 1e6])
def test_counts_are_those_of_the_points_one_by_one(epsilon: float) -> None:
    found, h = found_circles()
    counts = circle_counts(found, h, epsilon)
    rows = soft_counts(circle_points(found, h), TARGETS, epsilon)
    for name in ("weight", "weight_sharp", "square"):
        assert (getattr(counts, name) - getattr(rows, name)).abs().max() <= 20 * found.circles
    assert torch.equal(counts.winners, rows.winners)
    assert (
        abs(int(counts.weight.sum()) - CIRCLE_POINTS * found.circles * FIXED_POINT_ONE) < 2000 * found.circles
    )


def test_points_have_the_scores_of_their_noise() -> None:
    p = normal(40, TARGETS, 20)
    found = circle_candidates(p.x, p.y, p.h, margin=0.0, engine="cpu")
    rows = circle_points(found, p.h)
    a, b = p.x[0::2].double(), p.x[1::2].double()
    for k, (cosine, sine) in enumerate(zip(COSINES, SINES, strict=True)):
        for sign, point in ((1, k), (-1, k + 8)):
            best = (sign * (cosine * a + sine * b) @ p.y.double().T + p.h).amax(dim=1)
            for circle in range(found.circles):
                row = CIRCLE_POINTS * circle + point
                scores = rows.scores[rows.offsets[row] : rows.offsets[row + 1]]
                assert scores.max() == pytest.approx(best[circle].item(), abs=1e-12)


@pytest.mark.usefixtures("body")
def test_wins_and_their_squares_are_counted_circle_by_circle() -> None:
    found, h = found_circles()
    other = h + 0.1 * torch.randn(TARGETS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    wins, squares = circle_wins(found, other)
    expected, expected_squares = torch.zeros(TARGETS), torch.zeros(TARGETS)
    rows = circle_points(found, other)
    for circle in range(found.circles):
        mine = torch.zeros(TARGETS)
        for row in range(CIRCLE_POINTS * circle, CIRCLE_POINTS * (circle + 1)):
            lo, hi = rows.offsets[row], rows.offsets[row + 1]
            mine[rows.indices[lo + int(rows.scores[lo:hi].argmax())]] += 1
        expected += mine
        expected_squares += mine**2
    assert torch.equal(wins.double(), expected.double())
    assert torch.equal(squares.double(), expected_squares.double())


@pytest.mark.parametrize("workers", ["1", "2", "5"])
@pytest.mark.parametrize("entries", [1, 100, 1 << 17])
def test_sums_over_circles_have_the_same_bits_however_they_are_cut(
    workers: str, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, h = found_circles()
    whole = circle_counts(found, h, 0.4)
    monkeypatch.setenv("BRENIER_NUM_THREADS", workers)
    monkeypatch.setattr(circles, "ENTRIES_PER_CALL", entries)
    assert threads.thread_count() == int(workers)
    assert same(circle_counts(found, h, 0.4), whole)


@pytest.mark.parametrize("other", ["avx512", "avx2", "portable"])
def test_sums_over_circles_have_the_same_bits_on_every_body(
    other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, h = found_circles()
    whole = circle_counts(found, h, 0.4)
    monkeypatch.setenv("BRENIER_CPU_BODY", other)
    assert same(circle_counts(found, h, 0.4), whole)


def test_circles_leave_a_third_of_the_variance() -> None:
    """Soft counts of 2C draws: the variance over repetitions, in circles against row by row."""
    y = normal(1, 200, 16).y
    h = -0.5 * (y.double() ** 2).sum(1)
    h = h - h.mean()
    rows, rounds = [], []
    for seed in range(60):
        x = normal(200, 1, 16, seed=seed).x
        engine = CpuEngine()
        one = soft_counts(engine.candidates(x, engine.prepare(y), h, 4.0), 200, 1.0)
        many = circle_counts(circle_candidates(x, y, h, margin=4.0, engine="cpu"), h, 1.0)
        rows.append(one.weight.double() / FIXED_POINT_ONE / 200)
        rounds.append(many.weight.double() / FIXED_POINT_ONE / 1600)
    assert (torch.stack(rounds).mean(0) - torch.stack(rows).mean(0)).abs().max() < 0.004
    assert torch.stack(rounds).var(0).sum() < 0.45 * torch.stack(rows).var(0).sum()


def test_no_circle_is_no_count_and_a_barred_target_never_wins() -> None:
    p = normal(6, 4, 3)
    none = circle_candidates(
        p.x, p.y, torch.full((4,), -torch.inf, dtype=torch.float64), margin=1.0, engine="cpu"
    )
    assert none.circles == 3
    assert circle_counts(none, p.h, 1.0).weight.tolist() == [0, 0, 0, 0]
    h = p.h.clone()
    h[1] = -torch.inf
    assert circle_wins(circle_candidates(p.x, p.y, h, margin=99.0, engine="cpu"), h)[0][1] == 0


def test_bad_circles_are_refused() -> None:
    p = normal(3, 4, 3)
    with pytest.raises(InputError, match="even number of rows"):
        circle_candidates(p.x, p.y, p.h, margin=1.0)
    found, h = found_circles(4)
    with pytest.raises(InputError, match="epsilon"):
        circle_counts(found, h, 0.0)
    with pytest.raises(InputError, match="in circle"):
        circle_counts(found, h[:50], 1.0)
    broken = CircleCandidates(found.offsets, found.indices[:-1], found.products)
    with pytest.raises(InputError, match="offsets"):
        circle_wins(broken, h)
