"""benchmarks/cost_model.py: its terms by hand, its error on what was measured, the exponents that docs state."""

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
import torch
from brenier.errors import InputError
from brenier.solve.check import full_check_samples
from brenier.solve.level_memory import level_plan
from brenier.solve.parts import part_count

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PLENTY = 1 << 50


@pytest.fixture(autouse=True)
def benchmarks_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_terms_in_full_dimension_are_those_counted_by_hand() -> None:
    cost = module("cost_terms").fit_cost(10_000, 64, 0.05, PLENTY)
    steps = 44  # of 1,500 draws: 0.23 · 10,000/(0.7 · 0.05) = 65,715
    assert (cost.draws, cost.passes, cost.projecting, cost.values) == (steps * 1500, 0, 0.0, 0.0)
    assert cost.scoring == 2 * steps * 1500 * (10_000 * (64 + 14) + 400_000)
    assert cost.checking == 2 * full_check_samples(10_000, 0.05) * 10_000 * 64
    assert cost.memory == 4 * 10_000 * 64 + module("cost_terms").memory.memory_plan(10_000, 64).total


def test_a_streamed_fit_reads_in_passes_and_holds_nothing_of_the_size_of_the_data() -> None:
    terms = module("cost_terms")
    cost = terms.fit_cost(70_000, 196_608, 0.05, 6 << 30)
    assert cost.how.startswith("streamed, subspace")
    assert cost.values == cost.passes * 70_000 * 196_608
    assert 4 <= cost.passes <= 10
    assert cost.memory <= 6 << 30 < 4 * 70_000 * 196_608
    few = terms.fit_cost(70_000, 196_608, 0.05, 3 << 30)
    assert few.passes > cost.passes
    assert few.scoring == cost.scoring


def test_a_streamed_fit_has_as_many_directions_a_pass_as_the_solver_would_take() -> None:
    terms, (n, d, limit) = module("cost_terms"), (10**7, 3072, 64 << 30)
    memory, cost = terms.memory, terms.fit_cost(n, d, 0.05, limit)
    plan = memory.require_stream_memory((n, d), limit)
    assert (cost.memory, plan.columns < terms.WIDEST) == (plan.total, True)
    few = terms.fit_cost(n, d, 0.05, memory.stream_plan(n, d, 32).total)
    assert few.how.startswith("streamed, subspace of 32, structured")
    assert few.passes > cost.passes
    refused = terms.fit_cost(n, d, 0.05, 1 << 30)
    assert refused == few
    with pytest.raises(InputError):
        memory.require_stream_memory((n, d), 1 << 30)


def test_a_fit_of_two_levels_holds_what_its_own_plan_says() -> None:
    targets, terms = torch.empty(3001, 70), module("cost_terms")
    plan = level_plan(targets, part_count(None, 3001), 55, found=True)  # ⌈3001/55⌉ a part
    assert terms.hierarchical_cost(3001, 70, 0.05).memory == 4 * 3001 * 70 + plan.total
    assert terms.hierarchical_cost(10**9, 196_608, 0.05).memory > 14 * 10**9 * 196_608


def test_a_record_s_plan_is_read_back() -> None:
    plan_of = module("cost_terms").plan_of
    plan = plan_of("subspace of 64, structured + 16 principal directions")
    assert (plan.subspace, plan.principal, plan.structured) == (64, 16, True)
    assert (plan_of("subspace of 32").principal, plan_of("full dimension").full) == (0, True)


def test_every_measured_fit_is_foreseen_within_a_factor_of_2_5_in_time_and_in_draws() -> None:
    model, points = module("cost_model"), module("cost_points")
    measured = points.all_points()
    rates = model.rates_of(measured, points.read_rate())
    assert {"fit_large", "fit_ranks", "fit_hierarchical"} <= {p.source for p in measured}
    for p in measured:
        assert 0.4 < rates.seconds(p.cost) / p.seconds < 2.5, p
        assert 0.4 < p.free.draws / (p.draws * p.n) < 2.5, p


def test_points_of_fit_scale_are_taken_once_where_its_file_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = module("cost_points")
    for file in (BENCHMARKS / "results").glob("fit_*.json"):
        shutil.copy(file, tmp_path)
    row = {"solver": "brenier.fit", "n": 1000, "d": 64, "χ² ≤": 0.1, "processor seconds": 4.0}
    row |= {"samples/n": 3.0, "sampling": "full dimension"}
    record = {"parts": {"POT": {"brenier": [row]}, "OTT-JAX": {"brenier": [row]}}}
    (tmp_path / "fit_scale.json").write_text(json.dumps(record))
    monkeypatch.setattr(points, "RESULTS", tmp_path)
    (found,) = points.scale_points()
    assert (found.n, found.seconds, found.cost.draws) == (1000, 4.0, 4 * 768)
    (tmp_path / "fit_scale.json").unlink()
    assert list(points.scale_points()) == []


def test_exponents_are_two_in_n_one_in_d_and_in_1_over_tol_where_scoring_leads() -> None:
    model, terms = module("cost_model"), module("cost_terms")

    def operations(n: float = 1e6, d: float = 64, tol: float = 0.05) -> float:
        return terms.fit_cost(round(n), round(d), tol, PLENTY).operations

    assert model.exponent(lambda n: operations(n=n), 1e6) == pytest.approx(2, abs=0.1)
    assert model.exponent(lambda d: operations(d=d), 64) == pytest.approx(64 / (64 + 14), abs=0.1)
    assert -model.exponent(lambda tol: operations(tol=tol), 0.05) == pytest.approx(1, abs=0.1)
    both = [terms.hierarchical_cost(n, 3072, 0.05).operations for n in (10**6, 10**8)]
    assert both[1] / both[0] == pytest.approx(1000, rel=0.2)  # n^1.5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "< 1 s"), (90, "90 s"), (600, "10 min"), (1e5, "28 h"), (1e6, "12 days"), (1e12, "32,000 years")],
)
def test_times_are_written_for_people(seconds: float, text: str) -> None:
    assert module("cost_model").time_text(seconds) == text
