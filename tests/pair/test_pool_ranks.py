"""Two processes under torch.distributed give what one process gives."""

import os
from itertools import islice
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from brenier.pair import PairedPool
from torch import Tensor

IMAGES = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(40) % 2
BATCHES = 8  # 32 rows a rank


def drawn(pool: PairedPool, batches: int) -> tuple[Tensor, Tensor]:
    made = list(islice(pool, batches))
    return torch.cat([one.noise for one in made]), torch.cat([one.index for one in made])


CONDITION = torch.nn.functional.normalize(IMAGES[:, :2], dim=1)


def wishes(by: str) -> dict[str, Tensor]:
    given = {"labels": {"labels": LABELS}, "condition": {"condition": CONDITION}}
    return given.get(by, {})


def one_rank(rank: int, folder: str, scope: str, by: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    pool = PairedPool(IMAGES, 16, 4, **wishes(by), share=0.05, scope=scope)
    torch.save(drawn(pool, BATCHES), f"{folder}/{rank}")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("scope", "by"), [("rank", "all"), ("global", "all"), ("global", "labels"), ("global", "condition")]
)
def test_two_ranks_equal_the_single_process(tmp_path: Path, scope: str, by: str) -> None:
    mp.spawn(one_rank, (str(tmp_path), scope, by), nprocs=2)
    parts = [torch.load(tmp_path / str(rank), weights_only=True) for rank in (0, 1)]
    whole = drawn(PairedPool(IMAGES, 16, 4, **wishes(by), share=0.05), 2 * BATCHES)
    share = 16 if scope == "rank" else 8  # rows of each rank in turn
    for k in (0, 1):
        assert torch.equal(interleaved([part[k] for part in parts], share), whole[k])


def interleaved(parts: list[Tensor], share: int) -> Tensor:
    """Rows of rank 0, rank 1, rank 0, ... in turns of `share`."""
    return torch.cat(
        [rows for turn in zip(*(part.split(share) for part in parts), strict=True) for rows in turn]
    )
