"""The digits are as scikit-learn ships them, and the split depends on the seed alone."""

import pytest
import torch
from brenier.data import load_digits
from brenier.errors import InputError


def test_digits_have_their_known_shape_range_and_classes() -> None:
    digits = load_digits()
    assert digits.images.shape == (1797, 64)
    assert digits.images.dtype == torch.float32
    assert (digits.images.min(), digits.images.max()) == (-1, 1)
    assert digits.labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_split_is_a_partition_fixed_by_the_seed() -> None:
    digits = load_digits()
    train, held_out = digits.split(400, seed=3)
    assert (len(train), len(held_out)) == (1397, 400)
    together = torch.cat([train.labels, held_out.labels])
    assert torch.equal(together.bincount(), digits.labels.bincount())
    assert torch.equal(digits.split(400, seed=3)[1].images, held_out.images)
    assert not torch.equal(digits.split(400, seed=4)[1].images, held_out.images)


@pytest.mark.parametrize("held_out", [0, 1797, -1])
def test_a_split_with_an_empty_side_is_refused(held_out: int) -> None:
    with pytest.raises(InputError, match="held_out"):
        load_digits().split(held_out)
