"""Ranks that centre and measure their own rows of the targets have the problem of one process, bit for bit."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from brenier.data import ArraySource
from brenier.engine.ranks import Ranks, together
from brenier.errors import InputError
from brenier.solve import centring, fixed_order
from brenier.solve.first_pass import streamed_problem
from brenier.solve.problem import Problem, build_problem
from brenier.solve.shares import rows_of
from brenier.solve.streamed import Targets, resident, tiles_of

CLOUD = torch.randn(331, 9, generator=torch.Generator().manual_seed(2)) + 50
WEIGHTS = torch.arange(331.0)  # the first has no mass
CASES: dict[str, tuple[torch.Tensor, torch.Tensor | None]] = {
    "one": (CLOUD[:1], None),
    "two, fewer than ranks": (CLOUD[:2], None),
    "five": (CLOUD[:5], None),
    "all, weights": (CLOUD, WEIGHTS),
    "double": (CLOUD.double() / 3, None),
    "half": (CLOUD.half(), None),
    "columns of a wider matrix": (CLOUD[:, ::2], None),
    "constant": (CLOUD[:1].repeat(7, 1), None),
    "pairs on different ranks": (CLOUD[:50].repeat(2, 1), WEIGHTS[1:101]),
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def shrink(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(centring, "BLOCK_VALUES", 9 * 4)  # blocks of 4 rows, segments of 8
    patch.setattr(fixed_order, "VALUES_AT_ONCE", 9 * 3)


def seen(problem: Problem) -> list[torch.Tensor]:
    arrays = problem.centre, problem.norms, problem.masses, problem.members
    return [resident(problem.targets), *(torch.from_numpy(array) for array in arrays)]


def join(rank: int, world: int, folder: str) -> None:
    shrink(pytest.MonkeyPatch())
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)


def share(rank: int, world: int, folder: str) -> None:
    join(rank, world, folder)
    with together() as ranks:
        for name, (rows, weights) in CASES.items():
            problem, alone = build_problem(rows, weights, ranks), build_problem(rows, weights)
            require_same_rows(problem.targets, resident(alone.targets), ranks)
            assert problem.fingerprint == alone.fingerprint
            for found, expected in zip(seen(problem), seen(alone), strict=True):
                assert torch.equal(found, expected), name
    dist.destroy_process_group()


def require_same_rows(targets: Targets, whole: torch.Tensor, ranks: Ranks) -> None:
    """However rows are asked for, before all are made and after."""
    n = len(whole)
    for _ in range(2):
        for lo, hi in (ranks.rows(n), (0, n), (n // 3, n), (n, n)):
            part = rows_of(targets, lo, hi)
            assert isinstance(part, torch.Tensor)
            assert torch.equal(part, whole[lo:hi])
        index = torch.arange(n - 1, -1, -2)
        assert torch.equal(targets[index], whole[index])
        ((_, _, tile),) = tiles_of(targets)
        assert torch.equal(tile, whole)


@pytest.mark.parametrize("world", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_a_shared_problem_has_the_bits_of_one_process(world: int, tmp_path: Path) -> None:
    mp.spawn(share, (world, str(tmp_path)), nprocs=world)


class Noting:
    """Targets as given that note how many rows are copied at a time."""

    def __init__(self, rows: torch.Tensor) -> None:
        self.rows, self.shape, self.copied = rows, rows.shape, list[int]()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        self.copied.append(len(rows))
        return self.rows[rows]


def test_rows_that_a_rank_centres_for_itself_are_copied_in_blocks() -> None:
    rows, index = CLOUD.double(), torch.arange(330, -1, -3)
    shared = centring.SharedTargets(rows, np.ones(9), Ranks(), np.empty(331))
    shared.given = noting = Noting(rows)  # type: ignore[assignment]
    assert torch.equal(shared[index], (rows[index] - 1).float())
    assert max(noting.copied) == 4
    assert sum(noting.copied) == len(index)
    assert shared[index[:0]].shape == (0, 9)


def refuse(rank: int, world: int, folder: str) -> None:
    join(rank, world, folder)
    beyond = torch.zeros(7, 3, dtype=torch.float64)
    beyond[1, 2] = 4e38  # which rank 0 centres, less a seventh of it
    last = CLOUD.clone()
    last[330, 8] += rank
    others = {
        "another value": (last, None),
        "another size": (CLOUD[rank:], None),
        "another width": (CLOUD[:, rank:], None),
        "another type": (CLOUD.double() if rank else CLOUD, None),
        "another weight": (CLOUD, WEIGHTS + rank),
        "another zero": (CLOUD, WEIGHTS.roll(rank)),
    }
    with together() as ranks:
        with pytest.raises(InputError, match=r"after centring.*at \[1, 2\]"):
            build_problem(beyond, None, ranks)
        for place, value in itertools.product([(0, 8), (200, 3), (330, 0)], [torch.nan, torch.inf]):
            bad = CLOUD.clone()
            bad[place] = value  # the first has no mass under the weights
            for weights in (None, WEIGHTS):
                with pytest.raises(InputError, match=rf"{value} at \[{place[0]}, {place[1]}\]"):
                    build_problem(bad, weights, ranks)
        for rows, weights in others.values():
            with pytest.raises(InputError, match="same on every rank"):
                build_problem(rows, weights, ranks)
        with pytest.raises(InputError, match="same on every rank"):
            streamed_problem(ArraySource(CLOUD[rank:]), None, 32, ranks)
    dist.destroy_process_group()


def test_every_rank_refuses_what_one_does(tmp_path: Path) -> None:
    mp.spawn(refuse, (2, str(tmp_path)), nprocs=2)


def test_centring_rounds_the_exact_difference_once_whatever_the_cuts() -> None:
    centre = CLOUD.double().mean(0).numpy()
    expected = (CLOUD.double() - torch.from_numpy(centre)).float()
    centred, norms = centring.subtract(CLOUD, centre)
    assert torch.equal(centred, expected)
    assert np.allclose(norms, expected.double().norm(dim=1), rtol=1e-15)
    assert np.array_equal(norms, centring.row_norms(expected))
    assert np.array_equal(norms[100:101], centring.row_norms(expected[100:101]))


@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 9, 127, 128, 129, 1025, 8191, 8192, 8193, 20_000])
def test_squares_of_a_row_do_not_depend_on_the_rows_beside(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = torch.randn(301 if width < 200 else 7, width + 1, generator=torch.Generator().manual_seed(1))[
        :, 1:
    ]
    each = [fixed_order.squares(row[None]).item() for row in rows]
    for beside in (1, 2, 3, 1000):
        monkeypatch.setattr(fixed_order, "VALUES_AT_ONCE", beside * width)
        assert fixed_order.squares(rows).tolist() == each
        assert fixed_order.squares(rows[:0]).tolist() == []
    assert np.allclose(each, rows.double().square().sum(1), rtol=1e-13)
