"""The one native call for small matrices takes what it can read exactly and leaves the rest to Python."""

import brenier
import numpy as np
import pytest
import torch
from brenier import _core
from scipy.optimize import linear_sum_assignment

SCORES = np.random.default_rng(5).integers(-100, 100, (9, 9))


@pytest.mark.parametrize("code", "?bBhHiIlqfd")
def test_every_native_type_is_solved_at_once(code: str) -> None:
    scores = np.asfortranarray(SCORES.astype(code))[::-1]
    permutation, total, before = _core.assign_small(scores, False)
    best = linear_sum_assignment(scores.astype(float))[1]
    assert sorted(permutation.tolist()) == list(range(9))
    assert total == scores.astype(float)[np.arange(9), best].sum()
    assert before == np.trace(scores.astype(float))


@pytest.mark.parametrize(
    "scores",
    [
        SCORES.astype(">f8"),
        SCORES.astype(">i4"),
        SCORES.astype(np.float16),
        SCORES.astype(complex),
        np.frombuffer(b"0" + SCORES.astype(float).tobytes(), np.uint8)[1:].view(float).reshape(9, 9),
        SCORES + 2**60,
        np.zeros((257, 257)),
        np.zeros((2, 3)),
        np.zeros(4),
        np.array(1.0),
        np.zeros((0, 0)),
        SCORES.tolist(),
        None,
    ],
)
def test_what_needs_a_second_look_is_left_alone(scores: object) -> None:
    assert _core.assign_small(scores, True) is None


def test_a_wish_that_is_neither_true_nor_false_is_left_alone() -> None:
    assert _core.assign_small(SCORES, "no") is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.float64])
def test_small_tensors_come_back_as_tensors(dtype: torch.dtype) -> None:
    pairing = brenier.solve_assignment(torch.from_numpy(SCORES).to(dtype))
    best = linear_sum_assignment(SCORES, maximize=True)[1]
    assert isinstance(pairing.permutation, torch.Tensor)
    assert pairing.cost == SCORES[np.arange(9), best].sum()
