"""The torchcfm-compatible sampler returns every row once."""

import numpy as np
import pytest
import torch
from brenier.errors import InputError
from brenier.pair import OTPlanSampler, pair

GENERATOR = torch.Generator().manual_seed(2)
X0, X1 = (torch.randn(33, 2, 5, generator=GENERATOR) for _ in range(2))
Y = torch.arange(33) % 4


def test_sample_plan_keeps_x1_and_returns_every_row_of_x0_once() -> None:
    for replace in (True, False):
        x0, x1 = OTPlanSampler(method="exact").sample_plan(X0, X1, replace=replace)
        assert torch.equal(x1, X1)
        assert torch.equal(x0, X0[pair(X1, X0).permutation])


def test_labels_follow_their_rows() -> None:
    x0, x1, y0, y1 = OTPlanSampler("exact").sample_plan_with_labels(X0, X1, Y, Y)
    rows = (x0[:, None] == X0[None]).all(-1).all(-1).float().argmax(1)
    assert torch.equal(y0, Y[rows])
    assert torch.equal(y1, Y)
    assert torch.equal(x1, X1)
    assert OTPlanSampler().sample_plan_with_labels(X0, X1)[2:] == (None, None)


def test_within_labels_every_class_keeps_its_noise() -> None:
    *_, y0, y1 = OTPlanSampler(within_labels=True).sample_plan_with_labels(X0, X1, Y, Y)
    assert torch.equal(y0, y1)


def test_the_plan_is_pots_and_the_map_reads_it() -> None:
    ot = pytest.importorskip("ot")
    sampler = OTPlanSampler()
    plan = sampler.get_map(X0, X1)
    cost = torch.cdist(X0.flatten(1).double(), X1.flatten(1).double()).square().numpy()
    assert np.allclose(plan, ot.emd(ot.unif(33), ot.unif(33), cost))
    i, j = sampler.sample_map(plan, 33)
    assert torch.equal(X0[i], sampler.sample_plan(X0, X1)[0])
    assert (j == np.arange(33)).all()


def test_a_trajectory_is_a_chain_of_pairs_beginning_as_given() -> None:
    X = torch.randn(12, 3, 4, generator=GENERATOR)
    path = OTPlanSampler().sample_trajectory(X)  # an array, as torchcfm's
    assert path.shape == tuple(X.shape)
    assert np.array_equal(path[:, 0], X[:, 0])
    for t in (1, 2):
        assert np.array_equal(path[:, t], X[:, t][pair(path[:, t - 1], X[:, t]).permutation])


def test_plans_that_are_not_one_to_one_are_refused() -> None:
    with pytest.raises(InputError, match="method"):
        OTPlanSampler(method="sinkhorn")
    with pytest.raises(InputError, match="batch_size"):
        OTPlanSampler().sample_map(np.eye(3), 4)
