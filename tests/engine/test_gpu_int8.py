"""The int8 filter of the GPU engines, in Triton's interpreter: its bounds on real sums, its integers, its answers."""

from typing import Any

import brenier
import pytest
import torch
from brenier.engine import filtered, halves, int8_rows
from brenier.engine.int8 import dither_factor
from brenier.engine.reference import ReferenceEngine
from brenier.engine.triton import TritonEngine, by_halves, in_bytes
from brenier.engine.triton_filter import interpreted, kernels
from brenier.engine.triton_int8 import ByteBackend
from brenier.errors import InputError
from gpu_cases import CASES, Problem, assert_same_answer, normal, scaled

pytest.importorskip("triton")
here = pytest.mark.skipif(not interpreted(), reason="a GPU is here")
BACKEND = ByteBackend((0, 0))


@pytest.fixture(autouse=True)
def small_tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 16 × 32 in place of the interpreter's large ones: every tail is met. A GPU has its own."""
    filters = kernels("filter8")

    def small(_rows: int, targets: int, _width: int, _capability: tuple[int, int]) -> Any:
        return filters.FilterConfig(False, 16, 32, 32, 0, min(3, filters.cdiv(targets, 32)), 2, 2, 4, 1)

    if request.node.get_closest_marker("gpu") is None and "configuration" not in request.node.name:
        monkeypatch.setattr(filters, "filter8_configuration", small)
    monkeypatch.setenv("BRENIER_GPU_FILTER", "int8")


def packed(x: torch.Tensor, y: int8_rows.ByteTargets) -> tuple[torch.Tensor, ...]:
    """q as float64, its scales, ‖x/s‖ and ‖x_q/s − x/s‖."""
    scale = int8_rows.row_scales(x, 16)
    q = torch.full((len(scale), y.width), 99, dtype=torch.int8)
    norm, rest = BACKEND.pack_bytes(x, scale, y, q)
    return q[: len(x)].double(), scale[: len(x)], norm[: len(x)], rest[: len(x)]


@here
@pytest.mark.parametrize("depth", [1, 31, 64, 200])
def test_rows_are_rounded_as_the_proof_says(depth: int) -> None:
    x, y, _ = normal(37, 20, depth)
    targets = int8_rows.pack_targets(y)
    q, scale, norm, rest = packed(x, targets)
    u = int8_rows.dither_of(targets.row_bits)
    exact = x.double() / scale[:, None]
    assert (q[:, depth:] == 0).all()
    assert (q.abs() <= 127).all()
    assert ((q[:, :depth] - u - exact).abs() <= 0.5 + int8_rows.ETA).all()
    assert torch.allclose(norm.double(), exact.norm(dim=1), rtol=1e-6)
    assert torch.allclose(
        rest.double(), (q[:, :depth] - u - exact).norm(dim=1), atol=int8_rows.ETA * depth**0.5
    )


@here
@pytest.mark.parametrize("exact", ["certified", "strict"])
@pytest.mark.parametrize(
    "problem",
    [normal(40, 300, 40), normal(20, 200, 500), CASES["offset of a thousand"], scaled(1e-12, 1e-12)],
)
def test_filter_scores_stay_within_half_the_slack_of_the_exact_ones(problem: Problem, exact: str) -> None:
    x, y, h = problem
    targets = int8_rows.pack_targets(y)
    q, scale, norm, rest = packed(x, targets)
    bias, pivot = int8_rows.biases(h, targets)
    unit, kappa = scale * targets.scale, dither_factor(len(x) * len(y), exact)
    bounds = int8_rows.row_bounds(norm, rest, unit, targets, pivot, kappa)
    start = (bias[: len(y)].double() / unit[:, None] - targets.shift[: len(y)].double()).ceil()
    got = q @ targets.packed[: len(y)].double().T + start
    centre = halves.centre_of(y)
    wanted = (x.double() @ (y.double() - centre).T + h - pivot * h.amax().sign()) / unit[:, None]
    error = got - wanted
    error = error - error[:, :1]  # what a row alone adds drops out of differences
    assert bounds.usable.all()
    assert (error.abs() <= bounds.slack[:, None]).all()
    assert (got >= bounds.lowest[:, None]).any(dim=1).all()
    if exact == "certified" and y.shape[1] == 500:
        strict = int8_rows.row_bounds(norm, rest, unit, targets, pivot, torch.inf)
        assert (bounds.slack < strict.slack / 2).all()


def test_the_bound_is_that_of_the_cpu() -> None:
    a, d, b, rest = (torch.tensor(value, dtype=torch.float64) for value in (1000.0, 16.0, 900.0, 15.0))
    root, kappa = 3072**0.5, dither_factor(1 << 32, "certified")
    likely = kappa * (a**2 + (b + root / 2) ** 2).sqrt()
    assert float(int8_rows.bound(a, d, b, rest, root, kappa)) == pytest.approx(float(likely), rel=3e-3)
    certain = a * rest + d * (b + rest)
    assert float(int8_rows.bound(a, d, b, rest, root, torch.inf)) == pytest.approx(float(certain), rel=1e-4)


@here
@pytest.mark.parametrize("name", CASES)
def test_winners_and_scores_are_those_of_the_reference(name: str) -> None:
    assert_same_answer(TritonEngine(), ReferenceEngine(), CASES[name])


@here
def test_many_rows_and_targets_are_decided_from_their_lists() -> None:
    x, y, h = normal(40, 700, 192)
    problem = in_bytes(x, TritonEngine().prepare(y), h, "certified")
    winners, scores = problem.assign(lambda rows: pytest.fail(f"{len(rows)} rows overflowed"))
    expected = ReferenceEngine().assign(x, y, h)
    assert torch.equal(winners, expected[0])
    assert torch.equal(scores, expected[1])
    count = problem.listed(0, 40, 0.0, problem.room).lists.count[:40]
    assert count.min() >= 1
    assert count.float().mean() < 64


@here
@pytest.mark.parametrize("exact", ["certified", "strict"])
def test_the_public_verb_takes_both_ways_of_being_exact(exact: str) -> None:
    x, y, h = normal(20, 50, 24)
    found = brenier.assign(x, y, h, exact=exact, engine="triton")
    assert torch.equal(found, brenier.assign(x, y, h, engine="reference"))


@here
def test_rows_beyond_its_range_are_done_by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, h = normal(20, 50, 24)
    x[3] *= 1e-9  # its panel's scale leaves nothing of it: every target is listed
    x[17:] *= 1e30  # so is the scale of row 16, and the unit leaves float32's range
    y = y * 1e8
    asked = []

    def counted(rows: torch.Tensor, *rest: Any) -> Any:
        asked.append(len(rows))
        return by_halves(rows, *rest)

    monkeypatch.setattr("brenier.engine.triton.by_halves", counted)
    assert_same_answer(TritonEngine(), ReferenceEngine(), (x, y, h))
    assert asked == [5]


@here
def test_long_rows_are_scaled_until_their_sums_fit() -> None:
    x, y = torch.ones(3, 20_000), torch.ones(4, 20_000)
    y[1] = -1
    targets = int8_rows.pack_targets(y)
    q, *_ = packed(x, targets)
    assert float(q.norm(dim=1).max()) <= int8_rows.LONGEST
    assert float(targets.packed.double().norm(dim=1).max()) <= int8_rows.LONGEST
    assert_same_answer(TritonEngine(), ReferenceEngine(), (x, y, torch.zeros(4, dtype=torch.float64)))


@here
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_noise_that_is_not_finite_is_found_on_the_way(bad: float) -> None:
    x, y, h = normal(40, 50, 8)
    x[33, 3] = bad
    with pytest.raises(InputError, match=r"x: expected finite numbers, got .* at \[33, 3\]"):
        assert_same_answer(TritonEngine(), ReferenceEngine(), (x, y, h))


@here
def test_while_a_graph_is_captured_overflowed_rows_are_walked_on_the_device(monkeypatch: Any) -> None:
    monkeypatch.setattr(filtered, "capturing", lambda _tensor: True)
    assert_same_answer(TritonEngine(), ReferenceEngine(), CASES["heights that fp32 cannot hold"])


@pytest.mark.parametrize("capability", [(0, 0), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0), (99, 0)])
@pytest.mark.parametrize(
    ("rows", "targets", "depth"), [(1, 1, 1), (65536, 65536, 3072), (4096, 70_000, 196_608)]
)
def test_the_configuration_divides_what_it_walks_and_fits(
    rows: int, targets: int, depth: int, capability: tuple[int, int]
) -> None:
    width = halves.padded_width(depth)
    config = kernels("filter8").filter8_configuration(rows, targets, width, capability)
    assert halves.ROW_PAD % config.block_rows == 0
    assert halves.TARGET_PAD % config.block_targets == 0
    assert width % config.block_depth == 0
    assert config.block_depth >= 32  # the least that integer products take
    assert 1 <= config.splits <= -(-targets // config.block_targets)
    kilobytes = {(8, 0): 163, (9, 0): 227, (10, 0): 227}.get(capability, 99)
    assert (config.stages - 1) * (
        config.block_rows + config.block_targets
    ) * config.block_depth <= kilobytes * 1024


@pytest.mark.gpu
@pytest.mark.parametrize(("rows", "targets", "depth"), [(1, 1, 1), (300, 1100, 70), (1000, 5000, 3072)])
def test_the_device_has_the_answers_of_the_reference(rows: int, targets: int, depth: int) -> None:
    problem = tuple(t.cuda() for t in normal(rows, targets, depth))
    assert_same_answer(TritonEngine(), ReferenceEngine(), problem)  # type: ignore[arg-type]
