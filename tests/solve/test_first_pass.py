"""The mean of streamed targets: one order of sums for any tiles and ranks, and NaN found by whoever reads it."""

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
from brenier.solve import centring, mean, streamed
from brenier.solve.first_pass import streamed_problem
from brenier.solve.mean import mean_of, segment_rows
from brenier.solve.problem import build_problem
from brenier.solve.streamed import StreamedTargets

ROWS = torch.randn(331, 9, generator=torch.Generator().manual_seed(2)) + 5
MASSES = np.linspace(1, 2, 331) / np.linspace(1, 2, 331).sum()

FAR = ROWS.clone()  # finite, its mean too, but row 300 is beyond float32 once that is taken away
FAR[:, 4] = -3e38
FAR[300, 4] = 3e38


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def shrink(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(centring, "BLOCK_VALUES", 9 * 4)  # blocks of 4 rows, segments of 8, tiles of 12
    patch.setattr(streamed, "TILE_VALUES", 9 * 13)


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 255, 256, 257, 331])
def test_the_mean_is_the_weighted_mean(rows: int) -> None:
    targets = StreamedTargets(ArraySource(ROWS[:rows]), centring.block_rows(9), 32)
    masses = MASSES[:rows] / MASSES[:rows].sum()
    expected = (ROWS[:rows].double().numpy() * masses[:, None]).sum(0)
    assert np.allclose(mean_of(targets, masses, Ranks()), expected, rtol=1e-12)


def test_targets_that_centring_takes_out_of_float32_are_refused_as_those_in_memory_are() -> None:
    messages = []
    for problem in (lambda: streamed_problem(ArraySource(FAR), None, 32), lambda: build_problem(FAR)):
        with pytest.raises(InputError, match=r"targets after centring, in float32.*\[300, 4\]") as caught:
            problem()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_there_are_at_most_so_many_segments_of_whole_blocks() -> None:
    for rows in (1, 4, 255, 256, 257, 331, 10_000):
        length = segment_rows(rows, 9)
        assert length % centring.block_rows(9) == 0
        assert -(-rows // length) <= mean.SEGMENTS


def share(rank: int, world: int, folder: str) -> None:
    shrink(pytest.MonkeyPatch())
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    with together() as ranks:
        for rows in (1, 5, 331):
            found = streamed_problem(ArraySource(ROWS[:rows]), None, 32, ranks)
            alone = streamed_problem(ArraySource(ROWS[:rows]), None, 32)
            assert np.array_equal(found.centre, alone.centre)
            assert np.array_equal(found.norms, alone.norms)
            assert found.fingerprint == alone.fingerprint
        bad = ROWS.clone()
        bad[2, 3] = torch.nan  # which rank 0 reads
        with pytest.raises(InputError, match=r"\[2, 3\]" if rank == 0 else "read by another rank"):
            streamed_problem(ArraySource(bad), None, 32, ranks)
        with pytest.raises(InputError, match=r"after centring.*\[300, 4\]"):  # which the last rank reads
            streamed_problem(ArraySource(FAR), None, 32, ranks)
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_ranks_find_the_mean_and_norms_of_one_process_and_all_hear_of_a_nan(
    world: int, tmp_path: Path
) -> None:
    mp.spawn(share, (world, str(tmp_path)), nprocs=world)
