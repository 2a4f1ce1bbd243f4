"""Memorisation tells copies from new samples of the same distribution."""

import math

import pytest
import torch
from brenier.errors import InputError
from brenier.metrics import memorisation


def draw(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


TRAIN, HELD_OUT = draw(300, 0), draw(200, 1)


def test_copies_of_the_training_set_are_found_out() -> None:
    result = memorisation(TRAIN[:50], TRAIN, HELD_OUT, targets=TRAIN[:50])
    assert result.sample_median == 0
    assert result.ratio == 0
    assert result.share_closer == 1
    assert result.target_median == 0
    assert (result.samples, result.held_out) == (50, 200)
    assert "100% of 50 samples" in result.summary()


def test_new_samples_of_the_same_distribution_look_like_the_held_out_ones() -> None:
    result = memorisation(draw(2000, 2), TRAIN, HELD_OUT, quantile=0.25)
    assert result.ratio == pytest.approx(1, abs=0.1)
    assert result.share_closer == pytest.approx(0.25, abs=0.06)
    assert result.target_median is None


def test_the_distances_are_those_by_hand() -> None:
    train, held_out = torch.tensor([[0.0], [10.0]]), torch.tensor([[1.0], [6.0], [12.0]])
    result = memorisation(torch.tensor([[0.5], [9.0], [5.0]]), train, held_out, targets=torch.zeros(3, 1))
    assert result.sample_median == 1.0
    assert result.held_out_median == 2.0
    assert result.ratio == 0.5
    assert result.target_median == 5.0
    # held-out distances 1, 2, 4: their 5% quantile is 1.1, and 0.5 and 1 lie below
    assert result.share_closer == pytest.approx(2 / 3)


def test_unusable_sets_are_refused() -> None:
    with pytest.raises(InputError, match="held_out"):
        memorisation(TRAIN, TRAIN, TRAIN)
    with pytest.raises(InputError, match="samples and train"):
        memorisation(TRAIN[:, :2], TRAIN, HELD_OUT)
    with pytest.raises(InputError, match="targets"):
        memorisation(TRAIN[:5], TRAIN, HELD_OUT, targets=TRAIN[:4])
    with pytest.raises(InputError, match="held_out"):
        memorisation(TRAIN, TRAIN, HELD_OUT[:0])
    with pytest.raises(InputError, match="finite"):
        memorisation(TRAIN * math.nan, TRAIN, HELD_OUT)
    with pytest.raises(InputError, match="quantile"):
        memorisation(TRAIN, TRAIN, HELD_OUT, quantile=1.0)
