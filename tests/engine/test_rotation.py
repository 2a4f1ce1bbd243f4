"""The rotation of spiky targets: orthogonal, within its rounding, chosen where it helps, and no answer changes."""

import math

import numpy as np
import pytest
import torch
from brenier.engine import filters
from brenier.engine.cpu import CpuEngine
from brenier.engine.native import choose_body, int8_bodies
from brenier.engine.rotation import rotation, spikiness
from helpers.agreement import REFERENCE, same_bits
from helpers.problems import HARD, Problem, normal

DEPTHS = (1, 2, 3, 5, 31, 32, 33, 64, 100, 257, 1000)


def one_hot_like(rows: int, targets: int, depth: int) -> Problem:
    """Targets with a few large coordinates among small ones."""
    p = normal(rows, targets, depth)
    generator = torch.Generator().manual_seed(1)
    spikes = torch.zeros(targets, depth)
    spikes.scatter_(1, torch.randint(0, depth, (targets, 3), generator=generator), 100.0)
    y = spikes + 0.3 * p.y
    return Problem(p.x, y, -3.0 * y.double().norm(dim=1))


@pytest.mark.parametrize("depth", DEPTHS)
def test_rotated_noise_and_targets_have_the_same_inner_products(depth: int) -> None:
    body = choose_body()
    integers = int8_bodies(body.name)[-1]
    turn = rotation(depth, body)
    one = torch.eye(depth)
    noise, targets = (turn.apply(one, None, signs, integers).double() for signs in (turn.noise, turn.targets))
    assert torch.equal(noise @ targets.T, one.double())


@pytest.mark.parametrize("body_name", [row.name for row in int8_bodies(choose_body().name)])
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_rounding_of_a_rotation_is_within_its_slack(depth: int, body_name: str) -> None:
    body = choose_body()
    integers = next(row for row in int8_bodies(body.name) if row.name == body_name)
    turn, rows = rotation(depth, body), normal(50, 1, depth).x
    exact = rows.double() @ turn.apply(torch.eye(depth), None, turn.noise, integers).double()
    error = (turn.apply(rows, None, turn.noise, integers).double() - exact).norm(dim=1)
    assert (error <= turn.slack * exact.norm(dim=1)).all()


def test_one_spike_is_spread_over_the_coordinates() -> None:
    body = choose_body()
    turn = rotation(3072, body)
    spread = turn.apply(torch.eye(3072)[::97], None, turn.targets, int8_bodies(body.name)[-1])
    assert float((spread.abs().amax(dim=1) / spread.norm(dim=1)).max()) < 6 / math.sqrt(2048)


@pytest.mark.usefixtures("integers")
@pytest.mark.parametrize("exact", ["certified", "strict"])
@pytest.mark.parametrize("name", HARD)
def test_hard_problems_agree_when_everything_is_rotated(
    name: str, exact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "SPIKY", -1.0)
    p = HARD[name]()
    winners, scores = CpuEngine().assign(p.x, CpuEngine().prepare(p.y), p.h, exact)
    expected = REFERENCE.assign(p.x, p.y, p.h)
    assert same_bits(winners, expected[0])
    assert same_bits(scores, expected[1])


@pytest.mark.parametrize("exact", ["certified", "strict"])
def test_spiky_targets_leave_far_fewer_survivors_rotated(exact: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_CPU_FILTER", "int8")
    p = one_hot_like(60, 3000, 1500)
    expected = REFERENCE.assign(p.x, p.y, p.h)[0]
    shares = {}
    for rotated in (True, False):
        monkeypatch.setattr(filters, "SPIKY", 0.012 if rotated else math.inf)
        packed = CpuEngine().prepare(p.y)
        assert same_bits(CpuEngine().assign(p.x, packed, p.h, exact)[0], expected)
        panels = packed.integers("int8")
        assert panels is not None
        assert bool(panels.rotation) == rotated
        shares[rotated] = packed.measured["int8", exact]
    assert shares[True] < shares[False] / 3


def test_the_cost_model_rotates_spiky_targets_only_and_says_so() -> None:
    if not any(row.fast for row in int8_bodies(choose_body().name)):
        pytest.skip("this processor has no integer dot products")
    spiky = CpuEngine().prepare(one_hot_like(1, 3000, 512).y).choose(10_000, "certified")
    assert "rotated first" in str(spiky)
    assert "rotated" not in str(CpuEngine().prepare(normal(1, 3000, 512).y).choose(10_000, "certified"))


@pytest.mark.parametrize("depth", [1, 64, 3072])
def test_spikiness_is_small_for_normal_and_large_for_one_hot_targets(depth: int) -> None:
    y = normal(1, 100, depth).y
    assert spikiness(y, np.zeros(depth, dtype=np.float32), 32) < 0.05
    spikes = torch.eye(3072)[:100]
    assert spikiness(spikes, np.zeros(3072, dtype=np.float32), 32) == pytest.approx(math.sqrt(256) / 127)


def test_spikiness_of_nothing_and_of_zeros_is_none() -> None:
    assert spikiness(torch.zeros(0, 8), np.zeros(8, dtype=np.float32), 32) == 0.0
    assert spikiness(torch.zeros(9, 8), np.zeros(8, dtype=np.float32), 32) == 0.0
