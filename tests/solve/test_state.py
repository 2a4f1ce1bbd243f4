"""The monitor: χ² from the fitting samples, whatever groups they fall into."""

import numpy as np
import pytest
import torch
from brenier.engine.circles import circle_candidates, circle_wins
from brenier.solve.check import chi_square
from brenier.solve.state import Monitor, Tally
from helpers import known_answers as problems

MASSES = np.full(40, 1 / 40)


def test_the_monitor_of_rows_is_the_unbiased_chi_square() -> None:
    counts = np.random.default_rng(0).multinomial(3000, MASSES)
    monitor = Monitor().add(Tally(counts, counts, 3000, 3000), MASSES, 3000, 3000)
    assert monitor.error(40)[0] == pytest.approx(chi_square(counts, MASSES)[0])


def test_points_of_one_circle_do_not_raise_the_monitor() -> None:
    """The same potential judged on independent rows and on circles: χ² agrees within its noise."""
    targets = problems.image_like(40, 12)
    heights = torch.zeros(40, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(60_000, 12, generator=generator)
    wins = np.bincount((noise.double() @ targets.double().T).argmax(1), minlength=40)
    circles = circle_candidates(noise[:20_000], targets, heights, margin=0.0)
    nothing = np.zeros(40, dtype=np.int64)
    tally = Tally(nothing, nothing, 0, 0).plus(*circle_wins(circles, heights), circles.circles)
    error, stderr = Monitor().add(tally, MASSES, tally.draws, tally.draws).error(40)
    assert tally.draws == 20_000
    assert error == pytest.approx(chi_square(wins, MASSES)[0], rel=0.05)
    assert 0 < stderr < 0.1 * error


def test_steps_that_do_not_judge_keep_the_figure() -> None:
    counts, nothing = np.random.default_rng(0).multinomial(500, MASSES), np.zeros(40, dtype=np.int64)
    monitor = Monitor().add(Tally(counts, counts, 500, 500), MASSES, 500, 500)
    before = monitor.error(40)[0]
    for used in (1000, 1500, 2000, 2500):
        monitor = monitor.add(Tally(nothing, nothing, 0, 0), MASSES, 500, used)
        assert monitor.error(40)[0] == before


def test_old_steps_leave_the_monitor() -> None:
    """A potential that was bad long ago is not judged by it for ever."""
    bad = np.bincount(np.zeros(500, dtype=np.int64), minlength=40)
    monitor = Monitor().add(Tally(bad, bad, 500, 500), MASSES, 500, 500)
    rng = np.random.default_rng(1)
    for step in range(2, 40):
        good = rng.multinomial(500, MASSES) if step % 4 == 1 else np.zeros(40, dtype=np.int64)
        monitor = monitor.add(Tally(good, good, 500, int(good.sum())), MASSES, 500, 500 * step)
    assert abs(monitor.error(40)[0]) < 0.1
