"""Couplings are functions of (seed, position): they resume exactly and keep the margins they promise."""

from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from brenier import Potential
from brenier.data import noise
from brenier.errors import InputError
from brenier.pair import PairedPool
from brenier.solve import LabelledPotential
from brenier.transport import Coupling, IndependentCoupling, PairSource, PooledCoupling
from torch import Tensor

IMAGES = torch.randn(23, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(23) % 3


class BestProduct:
    """A potential with heights 0."""

    targets = IMAGES

    def assign(self, x: Tensor) -> Tensor:
        return (x @ IMAGES.T).argmax(dim=1)


def pooled(batch: int, pool: int, labels: Tensor | None = None) -> PooledCoupling:
    return PooledCoupling(PairedPool(IMAGES, pool, batch, seed=7, labels=labels))


MAKERS = {
    "independent": lambda: IndependentCoupling(23, 5, batch=4, seed=7),
    "aot": lambda: pooled(4, 12),
    "aot by class": lambda: pooled(4, 12, LABELS),
    "semidiscrete": lambda: Coupling(BestProduct(), batch=4, seed=7),
}
kinds = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def draw(pairs: PairSource, batches: int) -> tuple[Tensor, Tensor]:
    drawn = list(islice(pairs, batches))
    return torch.cat([x for x, _ in drawn]), torch.cat([index for _, index in drawn])


@kinds
def test_batches_have_the_stated_shapes(make) -> None:
    x, index = next(iter(make()))
    assert x.shape == (4, 5)
    assert x.dtype == torch.float32
    assert index.shape == (4,)
    assert index.dtype == torch.int64


@kinds
@pytest.mark.parametrize("at", [0, 1, 2, 3, 7])
def test_a_resumed_coupling_continues_with_the_same_bits(make, at: int) -> None:
    unbroken, stopped, resumed = make(), make(), make()
    draw(unbroken, at) if at else None
    draw(stopped, at) if at else None
    resumed.load_state_dict(stopped.state_dict())
    for a, b in zip(draw(unbroken, 6), draw(resumed, 6), strict=True):
        assert torch.equal(a, b)


@kinds
def test_a_state_of_another_coupling_is_refused(make) -> None:
    pairs = make()
    for change in ({"seed": 8}, {"kind": "other"}, {"batch": 5}):
        with pytest.raises(InputError, match="state"):
            pairs.load_state_dict(pairs.state_dict() | change)
    assert pairs.position == 0


@pytest.mark.parametrize("make", [MAKERS["independent"], MAKERS["aot"]])
def test_every_image_comes_once_per_epoch_in_a_new_order(make) -> None:
    index = draw(make(), 18)[1]
    epochs = [index[lo : lo + 23] for lo in (0, 23, 46)]
    assert all(torch.equal(epoch.sort().values, torch.arange(23)) for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])


@pytest.mark.parametrize("labels", [None, LABELS])
def test_paired_pools_hand_out_the_same_noise_in_another_order(labels: Tensor | None) -> None:
    x, index = draw(pooled(4, 12, labels), 6)
    plain = torch.as_tensor(noise.normal(7, 0, 24, 5, stream=noise.Stream.POOL))
    for pool in (slice(0, 12), slice(12, 24)):
        assert torch.equal(sorted_rows(x[pool]), sorted_rows(plain[pool]))
        assert not torch.equal(x[pool], plain[pool])
    assert torch.equal(index, draw(IndependentCoupling(23, 5, batch=4, seed=7), 6)[1])


def test_no_swap_of_two_noises_lowers_the_cost_of_a_pool() -> None:
    x, index = draw(pooled(4, 12), 3)
    score = IMAGES[index] @ x.T
    kept = score.diagonal()
    swapped = score + score.T
    assert (swapped <= kept[:, None] + kept[None] + 1e-5).all()


def test_a_pool_of_one_is_the_independent_pair() -> None:
    x, _ = draw(pooled(1, 1), 3)
    assert torch.equal(x, torch.as_tensor(noise.normal(7, 0, 3, 5, stream=noise.Stream.POOL)))


def test_the_potential_decides_the_index_and_the_noise_is_fresh() -> None:
    x, index = draw(Coupling(BestProduct(), 4, 7), 5)
    assert torch.equal(index, BestProduct().assign(x))
    assert torch.equal(x, torch.as_tensor(noise.normal(7, 0, 20, 5, stream=noise.Stream.TRAIN)))


def test_a_state_of_another_potential_is_refused() -> None:
    own, other = (Coupling(Potential.of(IMAGES, torch.arange(23.0) * k), batch=4, seed=7) for k in (0, 1))
    own.load_state_dict(own.state_dict())
    with pytest.raises(InputError, match="potential"):
        own.load_state_dict(other.state_dict())


@pytest.mark.parametrize(
    "found",
    [
        torch.zeros(3, dtype=torch.int64),
        torch.zeros(4),
        torch.zeros(4, 1, dtype=torch.int64),
        torch.zeros(4, dtype=torch.bool),
        [0, 1, 2, 0.5],
        None,
        [0, 1, 2, -1],
        [0, 1, 2, 23],
    ],
)
def test_what_is_no_index_for_every_noise_is_refused(found: Any) -> None:
    class Odd(BestProduct):
        heights = torch.zeros(23)

        def assign(self, x: Tensor) -> Any:  # noqa: ARG002
            return found

    with pytest.raises(InputError, match="potential"):
        next(Coupling(Odd(), batch=4, seed=7))


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.int64])
def test_indices_of_any_whole_type_become_int64(kind: type) -> None:
    class Narrow(BestProduct):
        def assign(self, x: Tensor) -> Any:
            return super().assign(x).numpy().astype(kind)

    index = next(Coupling(Narrow(), batch=4, seed=7))[1]
    assert index.dtype == torch.int64
    assert torch.equal(index, next(Coupling(BestProduct(), batch=4, seed=7))[1])


def test_a_potential_on_a_gpu_gets_its_noise_there() -> None:
    class Elsewhere(BestProduct):
        heights = SimpleNamespace(device=torch.device("meta"), cpu=lambda: torch.zeros(23))

        def assign(self, x: Tensor) -> Tensor:
            assert x.device.type == "meta"
            return torch.zeros(len(x), dtype=torch.int64)

    x, index = next(Coupling(Elsewhere(), batch=4, seed=7))
    assert x.device == index.device == torch.device("cpu")


def test_a_potential_without_a_winner_or_a_width_is_refused() -> None:
    class Silent:
        def assign(self, x: Tensor) -> Tensor:
            return torch.full((len(x),), -1)

    with pytest.raises(InputError, match="dim"):
        Coupling(Silent())
    with pytest.raises(InputError, match="potential"):
        next(Coupling(Silent(), dim=5))


@pytest.mark.parametrize("dim", [None, 5])
def test_a_potential_per_class_is_refused_with_the_way_to_couple_one(dim: int | None) -> None:
    members = {label: torch.nonzero(label == LABELS)[:, 0] for label in (0, 1)}
    classes = {label: Potential.of(IMAGES[rows], torch.zeros(len(rows))) for label, rows in members.items()}
    with pytest.raises(InputError, match=r"potential\.potentials\[label\]"):
        Coupling(LabelledPotential(classes, members), dim=dim)
    _, index = next(Coupling(classes[1], batch=4))  # as the message says
    assert (LABELS[members[1][index]] == 1).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: IndependentCoupling(0, 5),
        lambda: IndependentCoupling(5, 0),
        lambda: IndependentCoupling(5, 5, batch=0),
        lambda: IndependentCoupling(5, 5, seed=1.5),
        lambda: IndependentCoupling(5, 5, seed=None),
        lambda: IndependentCoupling(5, 5, seed="a"),
        lambda: pooled(4, 10),
        lambda: pooled(4, 0),
        lambda: pooled(4, 8, LABELS[:5]),
    ],
)
def test_impossible_sizes_are_refused(make) -> None:
    with pytest.raises(InputError):
        make()


def sorted_rows(x: Tensor) -> Tensor:
    return x[x[:, 0].argsort()]
