"""The error bound of the fp32 filter, against sums made as wrong as fp32 allows."""

import math

import numpy as np
import pytest
import torch
from brenier.engine import certified
from brenier.engine.reference import scores
from gpu_cases import CASES, normal

FLUSH = 2.0**-126


def flushed(value: np.ndarray) -> np.ndarray:
    return np.where(np.abs(value) < FLUSH, np.float32(0), value).astype(np.float32)


def fp32_scores(x: np.ndarray, y: np.ndarray, bias: np.ndarray, order: np.ndarray) -> np.ndarray:
    """One product after the other in any order, each rounded, subnormal numbers flushed everywhere."""
    total = np.zeros((len(x), len(y)), dtype=np.float32)
    for k in order:
        total = flushed(total + flushed(flushed(x[:, k, None]) * flushed(y[None, :, k])))
    return flushed(total + flushed(bias))


def limits_of(x: torch.Tensor, y: torch.Tensor) -> tuple[certified.Bound, float, float]:
    x_norms, y_norm = certified.row_norms(x), float(certified.row_norms(y).max())
    x_scale, y_scale = certified.power_of_two(float(x_norms.max())), certified.power_of_two(y_norm)
    depth = x.shape[1]
    bound = certified.bound(x_norms * x_scale, y_norm * y_scale, (x_scale, y_scale), depth, depth + 2)
    return bound, x_scale, y_scale


@pytest.mark.parametrize(
    "name", [name for name in CASES if "cannot hold" not in name and "minus infinity" not in name]
)
def test_fp32_scores_stay_within_the_bound(name: str) -> None:
    x, y, h = (t.float() if t.dtype != torch.float64 else t for t in CASES[name])
    bound, x_scale, y_scale = limits_of(x, y)
    order = np.random.default_rng(0).permutation(x.shape[1])
    with np.errstate(over="ignore", under="ignore"):
        bias = (h * (x_scale * y_scale)).float().numpy()
        rounded = fp32_scores((x * x_scale).numpy(), (y * y_scale).numpy(), bias, order)
    exact = scores(x, y, h) * (x_scale * y_scale)
    error = (torch.from_numpy(rounded).double() - exact).abs()
    allowed = bound.absolute[:, None] + certified.RELATIVE * torch.from_numpy(np.abs(rounded)).double()
    assert (error <= allowed).all()


def test_the_bound_is_not_vacuous() -> None:
    """At d = 3072 the filter still separates scores a hundredth of a standard deviation apart."""
    bound, _, _ = limits_of(*normal(4, 50, 3072)[:2])
    assert (bound.absolute < 0.01).all()


@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_whatever_is_within_the_margin_reaches_the_threshold(margin: float) -> None:
    generator = torch.Generator().manual_seed(0)
    exact = torch.randn(200, 50, generator=generator, dtype=torch.float64) * 10
    limits = certified.Bound(torch.rand(200, generator=generator, dtype=torch.float64))
    shown = [shift(exact, limits, sign) for sign in torch.randint(0, 2, (3, 200, 50), generator=generator)]
    sure, roomy = certified.thresholds(shown[0].amax(dim=1).float(), limits, margin)
    within = exact >= exact.amax(dim=1, keepdim=True) - margin
    filled = shown[1] >= sure[:, None]
    assert filled[within].all()
    assert (shown[2] >= roomy[:, None])[filled].all()


def shift(exact: torch.Tensor, limits: certified.Bound, sign: torch.Tensor) -> torch.Tensor:
    """Scores moved by the largest error that the bound allows, up or down."""
    error = limits.absolute[:, None] + certified.RELATIVE * exact.abs() / (1 + certified.RELATIVE)
    return exact + torch.where(sign > 0, error, -error) * (1 - 1e-6)


def test_every_target_survives_where_the_bound_is_not_finite() -> None:
    best = torch.tensor([1.0, torch.inf, -torch.inf, 1.0])
    limits = certified.Bound(torch.tensor([0.0, 0.0, 0.0, torch.inf], dtype=torch.float64))
    sure, roomy = certified.thresholds(best, limits, 0.0)
    assert (sure == -torch.inf).tolist() == [False, True, True, True]
    assert (roomy == -torch.inf).tolist() == [False, True, True, True]


def test_too_many_roundings_for_a_bound_make_it_infinite() -> None:
    assert certified.bound(torch.ones(2).double(), 1.0, (1.0, 1.0), 1 << 24, 1 << 23).absolute.isinf().all()


@pytest.mark.parametrize("norm", [0.0, 1e-45, 1e-30, 0.5, 1.0, 3.0, 1e30, 3e38, 1e40])
def test_scales_are_powers_of_two_that_bring_norms_near_one(norm: float) -> None:
    scale = certified.power_of_two(norm)
    assert math.frexp(scale)[0] == 0.5
    assert float(np.float32(scale)) == scale
    assert norm * scale <= 512
    assert norm * scale >= 0.5 or norm < 1e-37


def test_parts_are_folded_with_the_lowest_index_first() -> None:
    best = torch.tensor([[1.0, 2.0, 2.0], [-torch.inf, -torch.inf, -torch.inf], [0.0, -torch.inf, 0.0]])
    winner = torch.tensor([[0, 9, 5], [-1, -1, -1], [3, -1, 8]])
    assert certified.fold_parts(best, winner)[1].tolist() == [5, -1, 3]


def test_pairs_are_folded_with_the_lowest_index_first() -> None:
    owner, index = torch.tensor([0, 0, 0, 2, 2]), torch.tensor([7, 3, 5, -1, 4])
    score = torch.tensor([2.0, 2.0, 1.0, -torch.inf, -torch.inf], dtype=torch.float64)
    winner, best = certified.fold_pairs(owner, index, score, 3)
    assert winner.tolist() == [3, -1, -1]
    assert best.tolist() == [2.0, -torch.inf, -torch.inf]


@pytest.mark.parametrize("totals", [[], [0], [5], [3, 3, 3], [1, 9, 1, 1], [0, 0, 4, 0, 1, 12, 0]])
def test_groups_cover_all_rows_once_and_stay_small(totals: list[int]) -> None:
    ranges = list(certified.groups(torch.tensor(totals, dtype=torch.int64), 4))
    assert [row for lo, hi in ranges for row in range(lo, hi)] == list(range(len(totals)))
    assert all(sum(totals[lo:hi]) <= 4 or hi - lo == 1 for lo, hi in ranges)
