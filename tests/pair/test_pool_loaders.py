"""Pools over loaders: rows by the pool's seed, and the caller's random numbers as without a pool."""

import time
from itertools import islice
from typing import Any

import pytest
import torch
from brenier.engine.ranks import Ranks
from brenier.pair import PairedPool
from brenier.pair import pool as module
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

ROWS = torch.arange(150.0).view(50, 3)


def pool(**options: Any) -> PairedPool:
    loader = DataLoader(TensorDataset(ROWS), batch_size=10, shuffle=options.pop("shuffle", True))
    return PairedPool(loader, **{"pool": 20, "batch": 10, **options})


def run(pairs: PairedPool, batches: int = 12, pause: float = 0) -> tuple[list[Tensor], list[float]]:
    """The rows handed out, and what the caller draws between."""
    rows, drawn = [], []
    for k, batch in enumerate(islice(pairs, batches)):
        time.sleep(pause * (k % 3))
        drawn.append(torch.rand(()).item())
        rows.append(batch.data[:, 0])
    return rows, drawn


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("background", "pause"), [(False, 0), (True, 0), (True, 0.004)])
def test_rows_depend_on_the_seed_alone_and_the_callers_numbers_on_no_pool(
    shuffle: bool, background: bool, pause: float
) -> None:
    torch.manual_seed(1)
    expected = [torch.rand(()).item() for _ in range(12)]
    rows = run(pool(shuffle=shuffle))[0]
    torch.manual_seed(1)
    again, drawn = run(pool(shuffle=shuffle, background=background), pause=pause)
    assert drawn == expected
    assert all(map(torch.equal, rows, again))


def test_every_epoch_of_a_shuffled_loader_has_an_order_of_its_own() -> None:
    epochs = torch.cat(run(pool(), 15)[0]).view(3, 50)
    assert torch.equal(epochs.sort().values, ROWS[:, 0].expand(3, 50))
    assert not torch.equal(epochs[0], epochs[1])


def test_seeds_and_ranks_shuffle_a_loader_in_orders_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = run(pool())[0], run(pool(seed=1))[0]
    monkeypatch.setattr(module, "this_rank", lambda *_, **__: Ranks(1, 2))
    second = run(pool())[0]
    assert not torch.equal(torch.cat(first), torch.cat(other))
    assert not torch.equal(torch.cat(first), torch.cat(second))


@pytest.mark.parametrize("at", [1, 2, 7])
def test_a_shuffled_loader_is_resumed_with_the_same_rows(at: int) -> None:
    unbroken, stopped, resumed = pool(), pool(), pool()
    run(unbroken, at)
    run(stopped, at)
    torch.manual_seed(at)
    resumed.load_state_dict(stopped.state_dict())
    assert all(map(torch.equal, run(unbroken)[0], run(resumed)[0]))


class Flaky:
    """Fails once, at its third batch."""

    failed = False

    def __iter__(self) -> Any:
        for k, part in enumerate(ROWS.split(10)):
            if k == 2 and not self.failed:
                self.failed = True
                raise OSError("disk")
            yield part


@pytest.mark.parametrize("background", [False, True])
def test_a_loader_that_fails_is_begun_again_and_no_row_is_lost(background: bool) -> None:
    pairs, rows = PairedPool(Flaky(), 20, 10, background=background), []
    rows += [next(pairs).data, next(pairs).data]  # of the pool before: whole
    with pytest.raises(OSError, match="disk"):
        next(pairs)
    rows += [next(pairs).data for _ in range(3)]
    assert torch.equal(torch.cat(rows), ROWS)
