"""SIGTERM and Ctrl-C at the end of brenier fit: what is finished is written, and what is said is true."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brenier
import numpy as np
import pytest
from brenier.cli.main import cli
from brenier.report import fitting
from brenier.solve import checking, solver
from click.testing import CliRunner, Result

TARGETS = np.random.default_rng(0).standard_normal((60, 5), dtype=np.float32)
SIGNALS = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]


def with_signal(number: signal.Signals, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, told to end as it begins."""

    def told(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), number)
        return function(*arguments, **options)

    return told


def fit(folder: Path, *more: str) -> Result:
    np.save(folder / "x.npy", TARGETS)
    line = ["fit", str(folder / "x.npy"), "--out", str(folder / "p.safetensors"), "--tol", "0.1", "--quiet"]
    return CliRunner().invoke(cli, [*line, *more])


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("where", ["potential", "record", "checkpoint", "result"])
def test_a_finished_potential_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, number: signal.Signals, code: int
) -> None:
    home, name = {
        "potential": (brenier.Potential, "save"),
        "record": (fitting, "write_record"),
        "checkpoint": (solver.checkpoint, "write"),
        "result": (checking, "final_error"),
    }[where]
    monkeypatch.setattr(home, name, with_signal(number, getattr(home, name)))
    options = ["--checkpoint", str(tmp_path / "state")] if where == "checkpoint" else []
    done = fit(tmp_path, *options)
    monkeypatch.undo()
    assert done.exit_code == code, done.output
    potential = brenier.Potential.load(tmp_path / "p.safetensors")
    record = json.loads((tmp_path / "p.json").read_text())
    if where == "checkpoint":  # the first one, before a check: it is written again at the end
        assert "the potential so far is written; the state is in" in done.stderr
        assert not record["converged"]
        return
    assert f"{number.name} came when the fit had ended; its potential is written whole" in done.stderr
    assert record["converged"]
    alone = brenier.fit(TARGETS, tol=0.1, progress=False)
    assert np.array_equal(potential.heights.numpy(), alone.potential.heights.numpy())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.json", "p.safetensors", "x.npy"]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_fit_that_is_ended_before_its_first_step_writes_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    monkeypatch.setattr(fitting, "read_or_stream", with_signal(number, fitting.read_or_stream))
    done = fit(tmp_path, "--checkpoint", str(tmp_path / "state"))
    assert done.exit_code == code, done.output
    assert f"interrupted by {number.name}; no potential is written; no checkpoint yet" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]
