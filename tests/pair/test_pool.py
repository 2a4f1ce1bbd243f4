"""Pools hand out each pair once, in an order that depends on (seed, pool number) alone."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import brenier
import numpy as np
import pytest
import torch
from brenier.data import noise
from brenier.errors import InputError
from brenier.pair import PairedPool
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

IMAGES = torch.randn(50, 2, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(50) % 3


def gathered(pool: PairedPool, batches: int) -> list[Tensor]:
    """Data, noise, index and labels of some micro-batches."""
    drawn = list(islice(pool, batches))
    return [torch.cat([getattr(one, name) for one in drawn]) for name in ("data", "noise", "index")]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(a, b, strict=True))


def sorted_rows(rows: Tensor) -> Tensor:
    return rows[np.lexsort(rows.numpy().T)]


def test_a_batch_holds_data_noise_index_and_labels_in_the_datas_shape() -> None:
    batch = next(PairedPool(TensorDataset(IMAGES, LABELS), pool=8, batch=4))
    data, drawn, index, labels, more = batch
    assert data.shape == drawn.shape == (4, 2, 3)
    assert drawn.dtype == torch.float32
    assert torch.equal(data, IMAGES[index])
    assert torch.equal(labels, LABELS[index])
    assert more == ()


def test_the_noise_of_each_pool_is_the_seeds_noise_in_the_optimal_order() -> None:
    data, drawn, _ = gathered(PairedPool(IMAGES, pool=20, batch=5, seed=3), 8)
    for number in range(2):
        rows = slice(20 * number, 20 * number + 20)
        plain = noise.normal(3, 20 * number, 20, 6, stream=noise.Stream.POOL)
        assert torch.equal(sorted_rows(drawn[rows].flatten(1)), sorted_rows(plain))
        best = brenier.pair(data[rows].flatten(1), plain).permutation
        assert torch.equal(drawn[rows].flatten(1), plain[best])


@pytest.mark.parametrize("labels", [LABELS, LABELS.numpy(), True])
def test_classes_exchange_noise_only_among_themselves(labels: Any) -> None:
    source = TensorDataset(IMAGES, LABELS)
    _, drawn, index = gathered(PairedPool(source, pool=20, batch=5, labels=labels), 4)
    plain = noise.normal(0, 0, 20, 6, stream=noise.Stream.POOL)
    for kind in range(3):
        mine = LABELS[index] == kind
        assert torch.equal(sorted_rows(drawn[mine].flatten(1)), sorted_rows(plain[mine]))


def test_every_row_comes_once_per_epoch_over_pools_that_straddle_epochs() -> None:
    index = gathered(PairedPool(IMAGES, pool=16, batch=4), 25)[2]
    for epoch in (index[:50], index[50:]):
        assert torch.equal(epoch.sort().values, torch.arange(50))


def test_workers_and_the_background_change_nothing() -> None:
    source = TensorDataset(IMAGES, LABELS)
    plain = gathered(PairedPool(source, pool=8, batch=4, background=False), 6)
    for workers in (0, 1, 3):
        assert same(plain, gathered(PairedPool(source, pool=8, batch=4, workers=workers), 6))


@pytest.mark.parametrize("at", [0, 1, 2, 5])
@pytest.mark.parametrize("kind", ["tensor", "loader"])
def test_a_resumed_pool_continues_with_the_same_bits(kind: str, at: int) -> None:
    def make() -> PairedPool:
        return PairedPool(IMAGES if kind == "tensor" else DataLoader(IMAGES, batch_size=7), pool=8, batch=4)

    unbroken, stopped, resumed = make(), make(), make()
    for pool in (unbroken, stopped):
        list(islice(pool, at))
    list(islice(resumed, 3))  # it may have run before
    resumed.load_state_dict(stopped.state_dict())
    assert same(gathered(unbroken, 6), gathered(resumed, 6))


def test_a_state_of_another_pool_is_refused() -> None:
    pool = PairedPool(IMAGES, pool=8, batch=4)
    for change in ({"seed": 8}, {"pool": 4}, {"world": 2}, {"kind": "aot"}):
        with pytest.raises(InputError, match="state"):
            pool.load_state_dict(pool.state_dict() | change)


CHANGED = IMAGES.clone()
CHANGED[17] += 1


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (IMAGES[:49], {}),
        (CHANGED, {}),
        (DataLoader(IMAGES), {}),
        (IMAGES, {"gap": 0.1}),
        (IMAGES, {"labels": LABELS}),
        (IMAGES, {"labels": [str(k) for k in LABELS.tolist()]}),
        (IMAGES, {"condition": IMAGES}),
        (TensorDataset(IMAGES, LABELS), {"labels": True}),
    ],
)
def test_a_state_of_other_data_or_wishes_is_refused(source: Any, options: dict[str, Any]) -> None:
    own, other = PairedPool(IMAGES, 8, 4), PairedPool(source, 8, 4, **options)
    with pytest.raises(InputError, match="state"):
        own.load_state_dict(other.state_dict())
    other.load_state_dict(json.loads(json.dumps(other.state_dict())))


@pytest.mark.parametrize("state", [None, {}, 3, {"position": 4}])
def test_what_is_no_state_is_refused(state: Any) -> None:
    with pytest.raises(InputError, match="state"):
        PairedPool(IMAGES, 8, 4).load_state_dict(state)
    pool = PairedPool(IMAGES, 8, 4)
    for position in (None, -4, "4", 4.0):
        with pytest.raises(InputError, match="position"):
            pool.load_state_dict(pool.state_dict() | {"position": position})


@pytest.mark.parametrize("size", [3, 8, 50])
def test_a_loaders_rows_keep_their_order_whatever_its_batches(size: int) -> None:
    loader = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=size)
    batches = list(islice(PairedPool(loader, pool=20, batch=4, labels=True), 25))
    assert torch.equal(torch.cat([one.data for one in batches]), torch.cat([IMAGES, IMAGES]))
    assert torch.equal(torch.cat([one.labels for one in batches]), torch.cat([LABELS, LABELS]))
    assert torch.equal(torch.cat([one.index for one in batches]), torch.arange(100))


@pytest.mark.parametrize("kind", ["tensor", "loader"])
def test_a_counted_run_ends_and_drop_last_drops_only_the_last_short_batch(kind: str) -> None:
    source = IMAGES if kind == "tensor" else DataLoader(IMAGES, batch_size=7)
    sizes = [len(one.index) for one in PairedPool(source, pool=16, batch=8, epochs=1, drop_last=False)]
    assert sizes == [8] * 6 + [2]
    sizes = [len(one.index) for one in PairedPool(source, pool=16, batch=8, epochs=1)]
    assert sizes == [8] * 6


def test_accumulated_gradients_see_the_same_pairs_as_large_batches() -> None:
    small = gathered(PairedPool(IMAGES, pool=16, batch=4), 8)
    assert same(small, gathered(PairedPool(IMAGES, pool=16, batch=16), 2))


def test_strings_and_further_fields_are_handed_on() -> None:
    class Captioned:
        def __len__(self) -> int:
            return 50

        def __getitem__(self, i: int) -> tuple[Tensor, int, str, float]:
            return IMAGES[i], i % 3, f"image {i}", i / 2

    batch = next(PairedPool(Captioned(), pool=8, batch=4, labels=True))
    assert batch.more[0] == [f"image {i}" for i in batch.index.tolist()]
    assert torch.equal(batch.more[1], batch.index / 2)


def test_a_condition_keeps_noise_with_similar_rows() -> None:
    angle = torch.linspace(0, 6.28, 50)
    condition = torch.stack([angle.cos(), angle.sin()], dim=1)
    plain = noise.normal(0, 0, 48, 6, stream=noise.Stream.POOL)

    def agreement(pool: PairedPool) -> float:
        _, drawn, index = gathered(pool, 1)
        order = (drawn.flatten(1)[:, None] == plain[None]).all(-1).float().argmax(1)
        return float((condition[index] * condition[index[order]]).sum(1).mean())

    assert agreement(PairedPool(IMAGES, 48, 48, condition=condition, share=0.01)) > 0.8
    assert agreement(PairedPool(IMAGES, 48, 48)) < 0.5


def test_errors_of_the_source_reach_the_caller_and_the_pool_can_go_on() -> None:
    class Flaky:
        broken = True

        def __len__(self) -> int:
            return 50

        def __getitem__(self, i: int) -> Tensor:
            if self.broken:
                raise OSError("disk")
            return IMAGES[i]

    source = Flaky()
    pool = PairedPool(source, pool=8, batch=4)
    with pytest.raises(OSError, match="disk"):
        next(pool)
    source.broken = False
    assert same(gathered(pool, 4), gathered(PairedPool(IMAGES, pool=8, batch=4), 4))


def test_the_trainer_takes_a_pool() -> None:
    from brenier.diffusion.train import train_edm

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor, _: Tensor) -> Tensor:
            return self.scale * x

    options: dict[str, Any] = {"steps": 3, "progress": False}
    by_name = train_edm(Plain(), IMAGES, coupling="aot", pool=16, batch=8, **options)
    by_pool = train_edm(Plain(), IMAGES, coupling=PairedPool(IMAGES, 16, 8), **options)
    assert torch.equal(by_name.losses, by_pool.losses)


def numbers() -> Iterator[Tensor]:
    yield IMAGES


@pytest.mark.parametrize(
    ("source", "options", "match"),
    [
        (IMAGES, {"pool": 10}, "multiple of batch"),
        (IMAGES, {"pool": 0}, "pool: expected an integer"),
        (IMAGES, {"batch": 0}, "batch"),
        (IMAGES, {"batch": True}, "batch"),
        *[(IMAGES, {"seed": seed}, "seed") for seed in (1.5, -1, 1 << 64, None, "a", True)],
        (IMAGES, {"labels": LABELS[:5]}, "labels"),
        (IMAGES, {"scope": "world"}, "scope"),
        (IMAGES, {"epochs": 0}, "epochs"),
        (IMAGES, {"workers": -1}, "workers"),
        (IMAGES[:0], {}, "images"),
        (DataLoader(IMAGES), {"labels": LABELS}, "loader"),
        (numbers(), {}, "source"),
        (7, {}, "source"),
    ],
)
def test_impossible_pools_are_refused(source: Any, options: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        PairedPool(source, **({"pool": 8, "batch": 4} | options))


def test_numbers_of_numpy_serve_as_those_of_python() -> None:
    given = PairedPool(IMAGES, pool=np.int64(8), batch=np.uint8(4), seed=np.int64(3))  # type: ignore[arg-type]
    assert same(gathered(given, 4), gathered(PairedPool(IMAGES, 8, 4, seed=3), 4))
    assert given.state_dict() == PairedPool(IMAGES, 8, 4, seed=3).state_dict() | {"position": 16}


@pytest.mark.parametrize("wish", ["labels", "condition"])
def test_a_source_without_the_second_field_is_refused_where_it_is_needed(wish: str) -> None:
    with pytest.raises(InputError, match="second field"):
        next(PairedPool(IMAGES, 8, 4, **{wish: True}))
    with pytest.raises(InputError, match="at least one batch"):
        next(PairedPool(DataLoader(IMAGES[:0]), 8, 4))


def test_the_background_thread_of_a_pool_starts_no_threads_and_changes_no_other_threads_number() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        pool = PairedPool(torch.randn(8, 2), pool=4, batch=2)
        next(pool)
        assert pool._thread is not None
        assert pool._thread.submit(torch.get_num_threads).result() == 1
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)
