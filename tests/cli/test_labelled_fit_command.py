"""brenier fit --labels: a potential per class, in a folder."""

import json
import os
import signal
from pathlib import Path

import brenier
import numpy as np
import pytest
import torch
from brenier.data import FlippedSource, open_source
from brenier.report import fitting
from brenier.solve import LabelledPotential, solver
from helpers.commands import ok, quietly

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 2 * 7


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", RNG.standard_normal((60, 5), dtype=np.float32))
    np.save(tmp_path / "images.npy", RNG.standard_normal((60, 1, 2, 3), dtype=np.float32))
    np.save(tmp_path / "labels.npy", LABELS)
    return tmp_path


def line(folder: Path, *more: object) -> tuple[object, ...]:
    options = ("--labels", folder / "labels.npy", "--out", folder / "out", "--tol", 0.2)
    return ("fit", folder / "x.npy", *options, *more)


def test_a_file_and_its_labels_become_a_folder_of_potentials_and_a_record(folder: Path) -> None:
    record = ok(*line(folder))
    direct = brenier.fit(folder / "x.npy", labels=LABELS, tol=0.2, progress=False)
    loaded = LabelledPotential.load(folder / "out")
    for label in (0, 7):
        assert torch.equal(loaded.potentials[label].heights, direct.potential.potentials[label].heights)
        assert torch.equal(loaded.members[label], torch.from_numpy(np.flatnonzero(label == LABELS)))
    written = json.loads((folder / "out.json").read_text())
    assert written == record
    assert record["converged"] is True
    assert record["unfitted"] == []
    assert record["error"] == direct.error
    assert record["classes"]["7"]["samples"] == direct.results[7].samples
    assert record["settings"]["labels"] == str(folder / "labels.npy")


def test_mirror_images_are_of_the_class_of_their_image(folder: Path) -> None:
    ok("fit", folder / "images.npy", *line(folder, "--flips")[2:])
    loaded = LabelledPotential.load(folder / "out")
    both = FlippedSource(open_source(folder / "images.npy"))
    for label, rows in loaded.members.items():
        assert (LABELS[rows // 2] == label).all()
        assert torch.equal(loaded.potentials[label].targets, both.read(0, 120)[rows])


def test_a_source_that_is_streamed_is_fitted_class_by_class(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "must_stream", lambda *_: True)
    monkeypatch.setattr("brenier.solve.fitting.must_stream", lambda shape, *_: shape[0] > 30)
    ok(*line(folder))
    loaded = LabelledPotential.load(folder / "out", folder / "x.npy")
    assert loaded.assign(np.ones((3, 5)), np.array([7, 0, 7])).tolist()[1] % 2 == 0
    assert not list((folder / "out").glob(".*"))


def test_classes_that_did_not_converge_are_written_with_exit_code_3(folder: Path) -> None:
    done = quietly(*line(folder)[:-1], 0.001, "--max-samples", 800, "--json")
    assert done.exit_code == 3
    record = json.loads(done.stdout)
    assert record["status"].startswith("Not converged: max_samples")
    assert sorted(LabelledPotential.load(folder / "out").potentials) == [0, 7]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_writes_the_classes_there_are_and_names_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    monkeypatch.setattr(solver, "advance", lambda *_: os.kill(os.getpid(), number))
    options = "--checkpoint", folder / "state"
    done = quietly(*line(folder, *options))
    assert done.exit_code == code, done.output
    said = f"interrupted by {number.name}; the potential so far is written; the state is in"
    assert said in done.stderr
    record = json.loads((folder / "out.json").read_text())
    assert record["status"].startswith("Not converged: interrupted")
    assert record["unfitted"] == [7]
    assert list(LabelledPotential.load(folder / "out").potentials) == [0]
    monkeypatch.undo()
    assert ok(*line(folder, *options, "--resume"))["converged"]


@pytest.mark.parametrize(
    ("labels", "out", "message"),
    [
        (LABELS[:-1], "out", "labels: expected integers of shape"),
        (LABELS.astype(float), "out", "labels: expected integers of shape"),
        (LABELS, "p.safetensors", "name of a folder"),
        (LABELS, "x.npy", "name of a folder"),
        (LABELS, "absent/out", "to be writable"),
    ],
)
def test_what_cannot_be_is_refused_before_the_fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch, labels: np.ndarray, out: str, message: str
) -> None:
    np.save(folder / "labels.npy", labels)
    before = sorted(path.name for path in folder.iterdir())
    monkeypatch.setattr("brenier.solve.fitting.fit_classes", lambda *_, **__: pytest.fail("a fit began"))
    done = quietly("fit", folder / "x.npy", "--labels", folder / "labels.npy", "--out", folder / out)
    assert done.exit_code == 2
    assert message in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == before
