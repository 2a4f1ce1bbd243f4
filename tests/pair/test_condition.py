"""Continuous conditions: noise stays near rows of like condition, by a weight found from the share asked for."""

from typing import Any

import brenier
import numpy as np
import pytest
import torch
from brenier.errors import InputError
from brenier.pair.condition import as_condition, find_weight
from scipy.optimize import linear_sum_assignment
from torch import Tensor

GENERATOR = torch.Generator().manual_seed(3)
DATA, NOISE = (torch.randn(120, 9, generator=GENERATOR) for _ in range(2))
CONDITION = torch.nn.functional.normalize(DATA[:, :3] + 0.3 * torch.randn(120, 3, generator=GENERATOR), dim=1)


def agreement(permutation: Tensor) -> float:
    return float((CONDITION * CONDITION[permutation]).sum(1).mean())


def test_the_permutation_minimises_the_weighted_cost() -> None:
    found = brenier.pair(DATA.double(), NOISE.double(), condition=CONDITION, share=0.05)
    cost = torch.cdist(DATA.double(), NOISE.double()).square()
    cost += found.weight * torch.cdist(CONDITION, CONDITION).double().square()
    best = linear_sum_assignment(cost.numpy())[1]
    assert float(cost[range(120), found.permutation].sum()) == pytest.approx(
        float(cost[range(120), best].sum())
    )
    assert found.cost == pytest.approx(
        float((DATA - NOISE[found.permutation]).square().sum(1).mean()), rel=1e-5
    )


def test_a_smaller_share_keeps_noise_nearer_and_costs_more() -> None:
    found = [brenier.pair(DATA, NOISE, condition=CONDITION, share=share) for share in (0.3, 0.1, 0.01, 1e-4)]
    weights = [one.weight for one in found]
    costs = [one.cost for one in found]
    assert weights == sorted(weights)
    assert costs == sorted(costs)
    assert agreement(found[-1].permutation) > 0.98
    assert agreement(brenier.pair(DATA, NOISE).permutation) < 0.5


@pytest.mark.parametrize("share", [0.2, 0.05, 0.01])
def test_the_share_of_pairs_worth_exchanging_is_the_one_asked_for(share: float) -> None:
    c, _ = as_condition(CONDITION, 120)
    weight = find_weight(DATA, NOISE, c, share)
    gain = (DATA - DATA.mean(0)) @ NOISE.T
    gain = gain - gain.diagonal()[:, None]
    worth = gain > weight / 2 * torch.cdist(c, c).square()
    worth.fill_diagonal_(False)
    assert float(worth.sum()) / (120 * 119) == pytest.approx(share, abs=2e-4)


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e-16, 1e15, 3e19, 3e37, 1e100])
def test_conditions_of_any_scale_give_the_same_pairs_and_a_weight_that_undoes_it(scale: float) -> None:
    plain = brenier.pair(DATA, NOISE, condition=CONDITION)
    scaled = CONDITION.double() * scale
    found = brenier.pair(DATA, NOISE, condition=scaled)
    same = (found.permutation == plain.permutation).float().mean()
    assert same > 0.97  # float32 rounds other scales otherwise
    assert found.weight * scale * scale == pytest.approx(plain.weight, rel=0.05)
    if 1e-30 <= scale <= 1e38:
        assert torch.equal(brenier.pair(DATA, NOISE, condition=scaled.float()).permutation, found.permutation)


@pytest.mark.parametrize("kind", [torch.int64, torch.uint8, torch.bool, torch.float16, torch.bfloat16])
def test_conditions_may_be_numbers_of_any_type(kind: torch.dtype) -> None:
    whole = (CONDITION * 4).round().abs().to(kind)
    found = brenier.pair(DATA, NOISE, condition=whole)
    assert torch.equal(found.permutation, brenier.pair(DATA, NOISE, condition=whole.double()).permutation)
    assert found.weight > 0


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_conditions_that_only_float64_holds_are_no_error(scale: float) -> None:
    found = brenier.pair(DATA, NOISE, condition=CONDITION.double() * scale)
    assert agreement(found.permutation) > 0.9


def test_conditions_scaled_by_a_power_of_two_give_the_same_bits() -> None:
    plain = brenier.pair(DATA, NOISE, condition=CONDITION)
    found = brenier.pair(DATA, NOISE, condition=CONDITION * 2.0**90)
    assert torch.equal(found.permutation, plain.permutation)
    assert found.weight == plain.weight * 2.0**-180


def test_equal_conditions_change_nothing() -> None:
    plain = brenier.pair(DATA, NOISE)
    found = brenier.pair(DATA, NOISE, condition=torch.ones(120))
    assert found.weight == 0
    assert torch.equal(found.permutation, plain.permutation)


def test_conditions_work_within_classes_and_for_no_rows() -> None:
    labels = torch.arange(120) % 3
    found = brenier.pair(DATA, NOISE, labels=labels, condition=CONDITION)
    assert torch.equal(labels[found.permutation], labels)
    assert len(brenier.pair(DATA[:0], NOISE[:0], condition=CONDITION[:0]).permutation) == 0
    assert brenier.pair(DATA[:1], NOISE[:1], condition=CONDITION[:1]).permutation.tolist() == [0]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"condition": CONDITION[:5]}, "condition"),
        ({"condition": torch.tensor(1.0)}, "condition"),
        ({"condition": torch.full((120,), float("nan"))}, "condition"),
        ({"condition": CONDITION, "share": 0}, "share"),
        ({"condition": CONDITION, "share": np.inf}, "share"),
    ],
)
def test_bad_conditions_are_input_errors(options: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        brenier.pair(DATA, NOISE, **options)
