"""Rows of all ranks: the same everywhere, moved in place, and held once."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from brenier.engine import ranks as ranks_module
from brenier.engine.ranks import SECONDS_TO_ANSWER, Ranks, patience, together
from brenier.errors import InputError
from helpers.memory import peak

ROWS, WIDTH = 300_001, 200  # 240 MB, an odd number of rows


def row_numbers(ranks: Ranks, total: int, width: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Rows filled with their numbers where they are this rank's own, garbage elsewhere."""
    whole, (lo, hi) = torch.full((total, width), 77).to(dtype), ranks.rows(total)
    whole[lo:hi] = torch.arange(lo, hi)[:, None].to(dtype)
    return whole


def exchange(rank: int, world: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    with together() as ranks:
        for total in (0, 1, world - 1, world, world + 1, 31):
            for dtype in (torch.float32, torch.float64, torch.int64):
                ranks_module.BLOCK_BYTES = 40  # several blocks a rank
                whole = ranks.joined(row_numbers(ranks, total, 3, dtype))
                assert torch.equal(whole, torch.arange(total)[:, None].expand(-1, 3).to(dtype)), total
        mine = torch.full((2, 1), rank)
        assert ranks.gather(mine)[:, 0].tolist() == [k // 2 for k in range(2 * world)]
        assert ranks.gather(mine[:0]).shape == (0, 1)
        ranks_module.BLOCK_BYTES = 8 << 20
        whole = row_numbers(ranks, ROWS, WIDTH)
        peak()
        before = peak()
        ranks.joined(whole)
        held = peak() - before
        assert held < 40 << 20, f"{held >> 20} MiB for the exchange of {whole.nbytes >> 20} MiB"
        assert torch.equal(whole[::1000, 0], torch.arange(0, ROWS, 1000).float())
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_rows_are_exchanged_in_place_in_bounded_blocks(world: int, tmp_path: Path) -> None:
    mp.spawn(exchange, (world, str(tmp_path)), nprocs=world)


def test_a_silent_rank_is_waited_for_as_long_as_brenier_rank_timeout_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("BRENIER_RANK_TIMEOUT", raising=False)
    assert patience() is None
    assert patience(SECONDS_TO_ANSWER) == timedelta(minutes=10)
    for asked, seconds in (("7200", 7200), ("0.5", 0.5)):
        monkeypatch.setenv("BRENIER_RANK_TIMEOUT", asked)
        assert patience() == patience(SECONDS_TO_ANSWER) == timedelta(seconds=seconds)


@pytest.mark.parametrize("asked", ["0", "-1", "nan", "inf", "1e-9", "1e10", "ten", "600 s"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRENIER_RANK_TIMEOUT", asked)
    with pytest.raises(InputError, match=r"^BRENIER_RANK_TIMEOUT: expected a number of seconds"):
        patience()
