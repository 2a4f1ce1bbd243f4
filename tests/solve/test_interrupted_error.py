"""What an interrupted fit says of its error is what is known, and where it comes from."""

import json
import math
from pathlib import Path

import brenier
import pytest
import torch
from brenier.data import ArraySource
from brenier.errors import NotConvergedWarning
from brenier.report.fitting import fit_numbers
from brenier.solve import fitting, solver
from brenier.solve.streamed_potential import StreamedPotential
from helpers import known_answers as problems
from helpers.stopping import Stop

IMAGES = problems.image_like(203, 700)
CLOUD = problems.image_like(300, 12)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "must_stream", lambda *_: True)


@pytest.mark.usefixtures("streams")
def test_before_the_first_check_in_subspaces_nothing_is_claimed(tmp_path: Path) -> None:
    with pytest.warns(NotConvergedWarning, match="χ² not measured, for no check was made") as warned:
        result = brenier.fit(ArraySource(IMAGES), tol=0.1, callback=Stop(1), progress=False)
    assert "nan" not in str(warned[0].message)
    assert math.isnan(result.error)
    assert result.error_stderr == math.inf
    assert "not measured" in result.summary()
    assert "nan" not in result.summary()
    assert not math.isnan(result.history[-1].error)  # the monitor, which errs upwards here
    json.dumps(fit_numbers(result), allow_nan=False)
    result.potential.save(tmp_path / "p.safetensors")
    loaded = StreamedPotential.load(tmp_path / "p.safetensors", ArraySource(IMAGES))
    assert loaded.info["error"] is None
    assert "not measured" in loaded.info["error_source"]


@pytest.mark.usefixtures("streams")
def test_after_a_check_in_subspaces_that_check_is_reported_with_its_samples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = brenier.fit(ArraySource(IMAGES), tol=0.1, progress=False).checks[0]
    monkeypatch.setattr(solver, "converged", lambda *_: False)
    stop = Stop(first.at_samples + 1)
    with pytest.warns(NotConvergedWarning, match=f"by the check after {first.at_samples:,} fitting samples"):
        result = brenier.fit(ArraySource(IMAGES), tol=0.1, callback=stop, progress=False)
    assert result.samples > first.at_samples
    assert (result.error, result.error_stderr) == (first.error, first.error_stderr)
    assert f"{first.at_samples:,} fitting samples, so cell masses" in result.summary()


def test_in_full_dimension_the_monitor_is_reported_as_such() -> None:
    with pytest.warns(NotConvergedWarning, match="by the fitting samples, not by an independent check"):
        result = brenier.fit(CLOUD, tol=0.001, callback=Stop(4000), progress=False)
    assert result.error == result.history[-1].error
    assert 0 < result.error < 1


def test_a_check_of_the_final_state_needs_no_explanation() -> None:
    assert brenier.fit(CLOUD, tol=0.2, progress=False).error_source == ""
    with pytest.warns(NotConvergedWarning, match="Raise max_samples"):
        result = brenier.fit(CLOUD, tol=0.001, max_samples=3000, progress=False)
    assert (result.error, result.error_source) == (result.checks[-1].error, "")


def test_a_converged_fit_that_is_resumed_is_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "state"
    done = brenier.fit(CLOUD, tol=0.1, checkpoint=path, progress=False)
    again = brenier.fit(CLOUD, tol=0.1, checkpoint=path, resume=True, progress=False)
    assert torch.equal(again.potential.heights, done.potential.heights)
    assert (again.samples, again.checks, again.status) == (done.samples, done.checks, done.status)
