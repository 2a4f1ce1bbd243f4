"""benchmarks/fit_large.py and fit_scale.py: their data, the pages that they write, what they extrapolate."""

import argparse
import importlib
from pathlib import Path
from types import ModuleType

import brenier
import numpy as np
import pytest
from brenier.errors import NotConvergedWarning
from helpers.stopping import Stop

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_an_image_depends_on_its_number_alone(tmp_path: Path) -> None:
    images = module("large_images")
    images.generate(tmp_path / "few.npy", (5, 3, 16, 16))
    images.generate(tmp_path / "many.npy", (37, 3, 16, 16))
    few, many = np.load(tmp_path / "few.npy"), np.load(tmp_path / "many.npy")
    assert few.dtype == np.uint8
    assert np.array_equal(few, many[:5])
    assert len(np.unique(many.reshape(37, -1), axis=0)) == 37
    inside = np.abs(np.diff(many.astype(int), axis=3)).mean()
    across = np.abs(many[0].astype(int) - many[1].astype(int)).mean()
    assert inside < across / 2  # smooth within, different between


def test_a_marked_part_is_replaced_and_the_rest_is_kept(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- x: begin -->\nold\n<!-- x: end -->\nafter\n")
    for text in ("one", "two"):
        module("marked_pages").replace_part(page, "x", text)
        assert page.read_text() == f"before\n<!-- x: begin -->\n\n{text}\n\n<!-- x: end -->\nafter\n"


def test_a_peer_above_the_level_is_extrapolated_from_its_best_curve_and_one_below_is_not() -> None:
    scale = module("fit_scale")
    ours = {"χ² ≤": 0.05, "n": 1000, "d": 8, "seconds": 2.0, "of which steps": 1.0}
    run = {"solver": "POT", "χ²": 0.4, "samples/n": 0.5, "samples/s": 100.0}
    samples, where = scale.best_samples("POT", 0.05)
    assert where == "mixture to 0.05"
    found = scale.extrapolated(run, ours)
    assert found["seconds"] == pytest.approx(samples * 1000 / 100)
    assert found["time / its steps"] == pytest.approx(found["seconds"])
    assert found["source"].startswith("extrapolated")
    below = scale.extrapolated(run | {"χ²": 0.04}, ours)  # it may have got there long before its end
    assert below["source"] == "at most: its run ended at χ² = 0.04"
    assert (below["seconds"], below["at most"]) == (pytest.approx(5.0), True)
    part = {"machine": {"processor": "P", "cores": "2"}, "settings": {"command": "c"}, "date": "2026-01-01"}
    text = scale.part_text(part | {"brenier": [ours], "peer": [found, below]}, scale.TABLES["POT"])
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[:5]]
    shown = {name: [row[table[0].index(name)] for row in table[2:]] for name in table[0]}
    assert shown["seconds"][::2] == ["2", "≤ 5"]
    assert shown["time / brenier.fit"][2] == "≤ 2.5"
    assert shown["time / its steps"][2] == "≤ 5"
    assert shown["samples/n"][2] == "≤ 0.5"
    assert "≤" not in "".join(shown["seconds"][:2])


def test_runs_are_compared_with_a_saved_digest_of_the_same_settings_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = module("fit_large")
    saved = tmp_path / "fit_large.json"
    monkeypatch.setattr(large, "RESULTS", saved)
    settings = {"shape": [8, 3, 64, 64], "sigma": 0.3, "tol": 0.05}
    assert large.earlier(settings) == {}
    large.write_record(saved, {"settings": settings, "heights": "abc", "rows": []})
    assert large.earlier(settings)["heights"] == "abc"
    assert large.earlier(settings | {"tol": 0.1}) == {}


def test_the_row_of_a_killed_fit_says_how_far_its_checkpoint_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, state = module("fit_large"), tmp_path / "broken.state"
    assert large.left_in(state) == {}
    with pytest.warns(NotConvergedWarning):
        fit = brenier.fit(
            np.random.default_rng(0).normal(size=(90, 7)),
            tol=1e-3,
            checkpoint=state,
            callback=Stop(2000),
            progress=False,
        )
    assert fit.samples >= 2000
    left = {"steps at the kill": len(fit.history), "draws at the kill": fit.samples}
    assert large.left_in(state) == left
    state.rename(tmp_path / "broken.state.previous")
    assert large.left_in(state) == left
    ended = large.Ended(-9, 60.0, 1 << 30, "")
    monkeypatch.setattr(large, "run", lambda *_: ended)
    given = argparse.Namespace(folder=tmp_path, sigma=0.3, tol=0.01, max_memory="1GiB")
    rows = large.killed_and_resumed(tmp_path / "x.npy", given, 30.0)
    settings = {"command": "fit_large", "shape": [8, 3, 64, 64], "sigma": 0.3, "tol": 0.05, "bytes": 98304}
    settings |= {"max_memory": "1GiB", "load": 0.0}
    record = large.new_record("fit_large", settings) | {"rows": rows, "same bits": True}
    (row,) = (line for line in large.page(record).splitlines() if line.startswith("| killed"))
    assert row.rstrip("| ").endswith(f"{fit.samples:,}")


def test_a_process_is_killed_only_once_it_has_a_checkpoint(tmp_path: Path) -> None:
    large = module("fit_large")
    state = tmp_path / "run.state"
    script = f"import time, pathlib; time.sleep(0.3); pathlib.Path({str(state)!r}).touch(); time.sleep(60)"
    ended = large.run([large.sys.executable, "-c", script], tmp_path / "run.log", kill_after=0.0)
    assert state.exists()
    assert ended.code == -9
    done = large.run([large.sys.executable, "-c", "print('{}')"], tmp_path / "done.log", kill_after=0.0)
    assert (done.code, done.said.strip()) == (0, "{}")
