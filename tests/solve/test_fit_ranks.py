"""A fit shared by ranks of torch.distributed has the bits of one process, and ends where a rank is lost."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import brenier
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from brenier.data import ArraySource
from brenier.data.latents import RowRange
from brenier.engine.ranks import Ranks
from brenier.errors import InputError, NotConvergedWarning, RankLostError
from brenier.solve import fitting, memory, solver, streamed
from brenier.solve.placement import Placement
from brenier.solve.problem import build_problem
from brenier.solve.result import Record, Status
from brenier.solve.shares import rows_of
from helpers import known_answers as problems
from helpers.memory import peak

CLOUD = torch.randn(1201, 24, generator=torch.Generator().manual_seed(5))
IMAGES = problems.image_like(203, 700)
LINE = torch.linspace(-1, 1, 150)[:, None] ** 3


def over_a_source(**options: object) -> brenier.FitResult:
    """Streamed in several tiles, several subspaces a pass."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "must_stream", lambda *_: True)
        patch.setattr(streamed, "TILE_VALUES", 700 * 64)
        return brenier.fit(ArraySource(IMAGES), tol=0.1, progress=False, **options)


FITS: dict[str, Callable[[], brenier.FitResult]] = {
    "full dimension, weights": lambda: brenier.fit(
        CLOUD, weights=torch.arange(1.0, 1202.0), tol=0.3, progress=False
    ),
    "subspaces": lambda: brenier.fit(problems.image_like(700, 3000), tol=0.3, progress=False),
    "streamed": over_a_source,
    "crowded": lambda: brenier.fit(LINE, tol=0.05, progress=False),
    "fewer targets than ranks": lambda: brenier.fit(CLOUD[:2], tol=0.2, progress=False),
}


def answers(result: brenier.FitResult) -> tuple[object, ...]:
    return result.potential.heights, result.samples, [vars(check) for check in result.checks], result.sampling


def join(rank: int, world: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    os.environ["BRENIER_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet{world}", rank=rank, world_size=world)


def fit_all(rank: int, world: int, folder: str) -> None:
    join(rank, world, folder)
    torch.save({name: answers(one()) for name, one in FITS.items()}, f"{folder}/{world}.{rank}")
    if rank == world - 1:
        alone = brenier.fit(CLOUD[:30], tol=0.3, progress=False, ranks=False)  # the others do not come
        torch.save(alone.samples, f"{folder}/alone")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_any_number_of_ranks_gives_the_bits_of_one_process(world: int, tmp_path: Path) -> None:
    mp.spawn(fit_all, (world, str(tmp_path)), nprocs=world)
    one = {name: answers(fit()) for name, fit in FITS.items()}
    for rank in range(world):
        found = torch.load(tmp_path / f"{world}.{rank}", weights_only=True)
        for name, expected in one.items():
            assert torch.equal(found[name][0], expected[0]), name
            assert found[name][1:] == expected[1:], name


class Leave:
    """A rank that is killed, or falls silent, in the middle of a fit."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __call__(self, record: Record) -> None:
        if record.samples < 3000:
            return
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "fails":
            raise ZeroDivisionError
        time.sleep(8)


def lose_a_rank(rank: int, folder: str, how: str, lost: int) -> None:
    join(rank, 2, folder)
    os.environ["BRENIER_RANK_TIMEOUT"] = "4"
    leave = Leave(how) if rank == lost else None
    try:
        brenier.fit(CLOUD, tol=0.02, checkpoint=f"{folder}/state", callback=leave, progress=False)
    except (RankLostError, ZeroDivisionError) as error:
        Path(f"{folder}/said{rank}").write_text(f"{type(error).__name__} {error}")
    os._exit(0)


@pytest.mark.parametrize(("how", "lost"), [("killed", 1), ("killed", 0), ("silent", 1), ("fails", 1)])
def test_a_lost_rank_ends_the_fit_with_a_checkpoint(how: str, lost: int, tmp_path: Path) -> None:
    context = mp.get_context("spawn")
    ranks = [context.Process(target=lose_a_rank, args=(rank, str(tmp_path), how, lost)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
    assert not any(process.is_alive() for process in ranks)
    said = (tmp_path / f"said{1 - lost}").read_text()
    assert said.startswith("RankLostError")
    assert "set BRENIER_RANK_TIMEOUT to more seconds" in said
    assert (tmp_path / "state").exists()
    if how == "killed" and lost == 1:
        resumed = brenier.fit(CLOUD, tol=0.02, checkpoint=tmp_path / "state", resume=True, progress=False)
        assert resumed.history[0].samples < 3000 < resumed.samples
        assert torch.equal(
            resumed.potential.heights, brenier.fit(CLOUD, tol=0.02, progress=False).potential.heights
        )


@pytest.mark.parametrize("rank", [0, 1])
def test_every_rank_that_is_interrupted_writes_its_state_for_rank_0_may_be_dead(
    rank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = solver.Settings(0.1, 10**6, 0, Placement(), False, None, tmp_path / "state")
    run = solver.begin(build_problem(CLOUD[:40]), settings, Ranks(rank, 2))
    monkeypatch.setattr(solver, "warm_up", lambda _: None)
    monkeypatch.setattr(solver, "loop", lambda *_: Status.CONVERGED)
    assert solver.solve(run) is Status.CONVERGED
    assert (tmp_path / "state").exists() is (rank == 0)  # all are alive, and in the same state
    (tmp_path / "state").unlink(missing_ok=True)
    monkeypatch.setattr(solver, "loop", lambda *_: signal.raise_signal(signal.SIGINT))
    assert solver.solve(run) is Status.INTERRUPTED
    assert (tmp_path / "state").exists()


def disagree(rank: int, folder: str) -> None:
    join(rank, 2, folder)
    try:
        brenier.fit(CLOUD[:40] + rank, tol=0.1, progress=False)
        brenier.fit(CLOUD[:40], tol=0.1, seed=rank, progress=False)
    except InputError as error:
        Path(f"{folder}/said{rank}").write_text(str(error))
    dist.destroy_process_group()


def test_ranks_with_other_settings_are_refused(tmp_path: Path) -> None:
    mp.spawn(disagree, (str(tmp_path),), nprocs=2)
    for rank in (0, 1):
        assert "same on every rank" in (tmp_path / f"said{rank}").read_text()


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("total", [0, 1, 2, 6, 7, 8, 769])
@pytest.mark.parametrize("granule", [1, 16])
def test_shares_cover_everything_once_in_order(world: int, total: int, granule: int) -> None:
    for cut in ("share", "rows"):
        ranges = [
            getattr(Ranks(rank, world), cut)(total, *([granule] if cut == "share" else []))
            for rank in range(world)
        ]
        items = [item for lo, hi in ranges for item in range(lo, hi)]
        assert items == list(range(total))
    assert ranges[0][1] >= min(1, total)


def test_a_range_of_rows_is_the_source_of_those_rows() -> None:
    part = RowRange(ArraySource(IMAGES), 50, 120)
    assert len(part) == 70
    assert torch.equal(part.read(3, 9), IMAGES[53:59])
    with pytest.raises(InputError, match="range"):
        part.read(0, 71)
    assert rows_of(IMAGES, 0, len(IMAGES)) is IMAGES


def fit_and_measure(rank: int, world: int, folder: str) -> None:
    join(rank, world, folder)
    fitting.must_stream = lambda *_: True
    targets = ArraySource(torch.randn(20_000, 128, generator=torch.Generator().manual_seed(0)))
    peak()
    before = peak()
    with pytest.warns(NotConvergedWarning):
        brenier.fit(targets, tol=0.05, max_samples=3000, max_memory=3 << 30, progress=False)
    Path(f"{folder}/held{world}.{rank}").write_text(str(peak() - before))
    dist.destroy_process_group()


@pytest.mark.slow  # coordinates of 5,000 directions, so that they lead
def test_a_rank_of_a_streamed_fit_holds_what_its_plan_says_as_one_process_does(tmp_path: Path) -> None:
    plan = memory.require_stream_memory((20_000, 128), 3 << 30)
    for world in (1, 2):
        mp.spawn(fit_and_measure, (world, str(tmp_path)), nprocs=world)
    alone, *ranks = (int((tmp_path / name).read_text()) for name in ("held1.0", "held2.0", "held2.1"))
    assert plan.coordinates / 3 < alone < plan.total
    for held in ranks:
        assert held < alone + (96 << 20)
