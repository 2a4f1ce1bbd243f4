"""Classes of pools may be anything that pair takes: strings give the pairs of numbers."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from brenier.errors import InputError
from brenier.pair import PairedPool
from brenier.pair.ranks import exchangeable
from torch import Tensor
from torch.utils.data import DataLoader

ROWS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
NUMBERS = torch.arange(40) % 3
NAMES = ["ant", "bee", "cow"]
STRINGS = [NAMES[k] for k in NUMBERS]
ITEMS = list(zip(ROWS, STRINGS, strict=True))


def noises(source: Any, labels: Any) -> Tensor:
    return torch.cat([one.noise for one in islice(PairedPool(source, 20, 10, labels=labels), 4)])


@pytest.mark.parametrize("labels", [STRINGS, np.array(STRINGS), np.array(STRINGS, dtype=object)])
def test_strings_given_to_the_pool_pair_as_numbers_do(labels: Any) -> None:
    assert torch.equal(noises(ROWS, labels), noises(ROWS, NUMBERS))
    batch = next(PairedPool(ROWS, 20, 10, labels=labels))
    assert batch.labels == [STRINGS[k] for k in batch.index]


def test_strings_of_the_source_pair_as_numbers_do() -> None:
    assert torch.equal(noises(ITEMS, True), noises(ROWS, NUMBERS))
    batch = next(PairedPool(ITEMS, 20, 10, labels=True))
    assert batch.labels == [STRINGS[k] for k in batch.index]


def test_strings_of_a_loader_pair_as_numbers_do() -> None:
    numbers = list(zip(ROWS, NUMBERS, strict=True))
    assert torch.equal(noises(DataLoader(ITEMS, 7), True), noises(DataLoader(numbers, 7), True))


def test_ranks_tell_strings_apart_by_numbers_of_their_own() -> None:
    numbers = exchangeable(STRINGS)
    assert len(torch.unique(numbers)) == 3
    assert torch.equal(numbers[:3], exchangeable(STRINGS[3:6]))
    assert exchangeable(NUMBERS) is NUMBERS


@pytest.mark.parametrize("labels", [STRINGS[:5], [[1], [2, 3]] * 20, [["a"], ["b"]] * 20, "a"])
def test_labels_that_are_no_classes_are_refused(labels: Any) -> None:
    with pytest.raises(InputError, match="labels"):
        next(PairedPool(ROWS, 20, 10, labels=labels))


@pytest.mark.parametrize("condition", [STRINGS, True])
def test_conditions_are_numbers(condition: Any) -> None:
    with pytest.raises(InputError, match="condition"):
        next(PairedPool(ITEMS, 20, 10, condition=condition))
