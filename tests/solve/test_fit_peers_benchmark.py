"""benchmarks/fit_peers.py: the judge, the search for a crossing, the goals, and a smoke run."""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from brenier.solve import Potential

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def peers(module):
    return importlib.import_module(f"peers.{module}")


def power_law(samples, most=math.inf):
    """χ² = 2/N: reaches 0.02 at 100 samples."""
    assert samples <= most
    return peers("judge").Verdict(samples, seconds=samples / 10, error=2 / samples, stderr=0.0)


@pytest.mark.parametrize("start", [20, 99, 100, 101, 180])
def test_the_crossing_of_a_power_law_is_found_from_either_side(start):
    found = peers("crossing").smallest_budget(power_law, 0.02, start)
    assert not found.only_bound or start == 20  # eight runs from 20 end at 53
    if start != 20:
        assert found.samples == pytest.approx(100, rel=0.02)
        assert found.seconds == pytest.approx(10, rel=0.02)


def test_a_level_beyond_the_budget_gives_a_lower_bound():
    found = peers("crossing").smallest_budget(lambda n: power_law(n, most=90), 0.02, start=80, most=90)
    assert found.only_bound
    assert found.samples == 90


def test_a_ladder_stops_at_the_first_rung_that_reaches_the_level():
    verdicts = (power_law(samples) for samples in (50, 80, 110, 10**9))
    found = peers("crossing").down_a_ladder(verdicts, 0.02)
    assert [verdict.samples for verdict in found.verdicts] == [50, 80, 110]
    assert found.samples == pytest.approx(100)


def test_the_judge_finds_no_error_where_symmetry_gives_the_heights():
    problems, judge = peers("problems"), peers("judge")
    case = problems.Case("axes", np.eye(40, dtype=np.float32), (), judged=500)
    error, stderr = judge.Judge(case).chi_square(Potential.of(case.targets, np.zeros(40)))
    assert abs(error) < 4 * stderr
    lopsided, _ = judge.Judge(case).chi_square(Potential.of(case.targets, np.eye(40)[0]))
    assert lopsided > 10 * stderr


def test_the_mixture_is_centred_scaled_and_the_same_each_time():
    targets = peers("problems").mixture_targets(500, 16)
    assert np.array_equal(targets, peers("problems").mixture_targets(500, 16))
    assert np.allclose(targets.mean(0), 0, atol=1e-5)
    assert np.square(targets.astype(np.float64)).sum(1).mean() == pytest.approx(16, rel=1e-5)


@pytest.mark.parametrize(
    ("ratio", "bound", "met"), [(4.5, True, "yes"), (3.9, True, "not decided"), (3.9, False, "NO")]
)
def test_a_bound_can_meet_a_goal_but_not_miss_it(ratio, bound, met):
    def row(solver, samples, only_bound=False):
        names = {"problem": "digits", "level": 0.02, "solver": solver}
        return names | {"samples/n": samples, "seconds": 1.0, "only a bound": only_bound}

    rows = [row("brenier", 10.0), row("brenier.fit(tol)", 12.0), row("POT defaults", 10 * ratio, bound)]
    (verdict,) = peers("goals").judge_goals(rows)
    assert verdict["met"] == met


@pytest.mark.slow
def test_the_smoke_run_measures_every_solver_and_writes_a_record(tmp_path, monkeypatch, capsys):
    pytest.importorskip("ot.semidiscrete")
    pytest.importorskip("ott.solvers.linear.semidiscrete")
    pytest.importorskip("sklearn")
    monkeypatch.setattr(sys, "argv", ["fit_peers.py"])
    importlib.import_module("fit_peers").main(["--quick", "--out", str(tmp_path / "record.json")])
    record = json.loads((tmp_path / "record.json").read_text())
    solvers = [row["solver"] for row in record["rows"]]
    assert solvers == ["brenier", "brenier.fit(tol)", "POT tuned", "OTT-JAX tuned", "POT defaults"]
    for row in record["rows"]:
        last = row["runs"][-1]
        assert row["only a bound"] or min(run["error"] for run in row["runs"]) <= row["level"]
        assert last["seconds"] > 0
        assert last["stderr"] < 0.05
    assert "time / fit" in capsys.readouterr().out
