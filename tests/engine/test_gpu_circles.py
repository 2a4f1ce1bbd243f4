"""Great circles by Triton's kernels, in its interpreter: the reference's lists bit for bit, and their bound."""

import pytest
import torch
from brenier.engine import gpu_circles, halves
from brenier.engine.gpu_circles import CircleSearch
from brenier.engine.reference import ReferenceEngine, on_circle, scores
from brenier.engine.triton import TritonEngine
from brenier.engine.triton_filter import interpreted
from brenier.errors import InputError
from helpers.agreement import margins, same_bits
from helpers.problems import HARD, Problem, normal
from test_circles import in_pairs

pytestmark = pytest.mark.skipif(not interpreted(), reason="for Triton's interpreter; gpu tests are elsewhere")


def assert_circles_agree(p: Problem, *wanted: float) -> None:
    engine, reference = TritonEngine(), ReferenceEngine()
    for margin in wanted or margins(p)[1:2]:
        found = engine.circle_candidates(p.x, engine.prepare(p.y), p.h, margin)
        expected = reference.circle_candidates(p.x, p.y, p.h, margin)
        assert same_bits(found.offsets, expected.offsets)
        assert same_bits(found.indices, expected.indices)
        assert same_bits(found.products, expected.products)


@pytest.mark.parametrize("name", HARD)
def test_hard_problems_have_the_circles_of_the_reference(name: str) -> None:
    assert_circles_agree(in_pairs(HARD[name]()))


@pytest.mark.parametrize("targets", [1, 127, 128, 129, 257])
def test_every_number_of_circles_and_targets_agrees(targets: int) -> None:
    for pairs in (1, 64, 65):
        assert_circles_agree(normal(2 * pairs, targets, 9), 0.5)


@pytest.mark.parametrize("depth", [1, 63, 64, 65, 257, 4161])
def test_every_depth_agrees_on_circles(depth: int) -> None:
    assert_circles_agree(normal(6, 150, depth), 0.1 * depth**0.5)


def test_no_rows_have_no_circles() -> None:
    p = normal(0, 20, 5)
    assert TritonEngine().circle_candidates(p.x, TritonEngine().prepare(p.y), p.h, 1.0).circles == 0


def test_lists_longer_than_their_room_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_circles, "ROOM", 4)
    monkeypatch.setattr(gpu_circles, "SCRATCH_BYTES", 4 * 300)  # one circle at a time
    assert_circles_agree(normal(20, 300, 20), 1.0)


def test_lists_are_decided_in_groups_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_circles, "PAIRS_AT_ONCE", 7)
    assert_circles_agree(normal(20, 90, 20), 1.0)


def test_rows_in_other_layouts_agree() -> None:
    p = normal(12, 90, 20)
    assert_circles_agree(Problem(p.x.T.contiguous().T, p.y.half()[:, ::1], p.h), 0.5)
    assert_circles_agree(Problem(p.x.bfloat16(), p.y[::2], p.h[::2].contiguous()), 0.5)


def test_noise_that_is_not_finite_is_refused() -> None:
    p = normal(4, 30, 5)
    p.x[3, 2] = torch.nan
    with pytest.raises(InputError, match="x"):
        TritonEngine().circle_candidates(p.x, TritonEngine().prepare(p.y), p.h, 1.0)


@pytest.mark.parametrize("p", [normal(20, 300, 40), normal(8, 200, 500), in_pairs(HARD["mixed scales"]())])
def test_the_best_estimates_stay_within_the_bound(p: Problem) -> None:
    """Bests differ from float64's, centred likewise, by at most E: half of a window without a margin."""
    targets = halves.pack_targets(p.y)
    search = CircleSearch(targets, p.h, 0.0, (0, 0))
    circles = search.pack(p.x)
    exact = scores(p.x, p.y, torch.zeros_like(p.h)).unflatten(0, (-1, 2)).transpose(1, 2)
    points = on_circle(exact, p.h - search.pivot).amax(dim=1)
    centre = halves.centre_of(p.y)
    along = (p.x.double() @ centre).unflatten(0, (-1, 2))
    shift = on_circle(along[:, None, :], torch.zeros(1, dtype=torch.float64))[:, 0]
    wanted = (points - shift) * (circles.scale.double() * targets.scale)[:, None]
    usable = circles.window < gpu_circles.MOST_WINDOW
    error = (search.best(circles).double() - wanted).abs()[usable]
    assert (error <= circles.window[usable, None] / 2).all()
    assert (error > 0).any()


def test_the_window_is_a_small_part_of_a_fits_margin() -> None:
    """A direction of 64 and 32 normal coordinates beside it: the errors stay below a tenth of a score's deviation."""
    p = normal(40, 300, 96)
    p.x[:, 32:] /= p.x[:, 32:].norm(dim=1, keepdim=True)
    p.y[:, 32:] *= 8
    search = CircleSearch(halves.pack_targets(p.y), p.h, 0.0, (0, 0))
    circles = search.pack(p.x)
    unit = circles.scale.double() * search.y.scale
    deviation = scores(p.x, p.y, torch.zeros_like(p.h)).std()
    assert (circles.window / unit < 0.1 * deviation).all()
