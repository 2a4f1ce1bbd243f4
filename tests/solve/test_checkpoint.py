"""A fit that is stopped and resumed ends with the bits of an unbroken one."""

from pathlib import Path

import brenier
import pytest
import torch
from brenier.errors import FileError, InputError
from brenier.solve import checkpoint, problem
from brenier.solve.fingerprint import fingerprint
from helpers import known_answers as problems
from helpers.stopping import Stop

SPREAD = problems.image_like(200, 16)
IN_SUBSPACES = problems.image_like(800, 3000)
CROWDED = torch.from_numpy(problems.line(60)[0])


def interrupted(targets: torch.Tensor, path: Path, samples: int) -> None:
    with pytest.warns(UserWarning, match="interrupted"):
        brenier.fit(targets, tol=0.02, checkpoint=path, callback=Stop(samples), progress=False)


@pytest.mark.parametrize("targets", [SPREAD, CROWDED], ids=["spread", "crowded"])
@pytest.mark.parametrize("samples", [1, 1500])
def test_a_resumed_fit_ends_with_the_same_bits(targets: torch.Tensor, samples: int, tmp_path: Path) -> None:
    unbroken = brenier.fit(targets, tol=0.02, progress=False)
    path = tmp_path / "fit.checkpoint"
    interrupted(targets, path, samples)
    resumed = brenier.fit(targets, tol=0.02, checkpoint=path, resume=True, progress=False)
    assert torch.equal(resumed.potential.heights, unbroken.potential.heights)
    assert (resumed.samples, resumed.checks) == (unbroken.samples, unbroken.checks)
    assert [r.error for r in resumed.history][1:] == [r.error for r in unbroken.history][1:]
    assert resumed.seconds > resumed.history[-1].seconds - 1e-3


def test_a_fit_in_subspaces_resumes_amid_a_pass_with_its_slopes(tmp_path: Path) -> None:
    path = tmp_path / "fit.checkpoint"
    unbroken = brenier.fit(IN_SUBSPACES, tol=0.1, progress=False)
    assert unbroken.sampling.startswith("subspace")
    with pytest.warns(UserWarning, match="interrupted"):
        brenier.fit(IN_SUBSPACES, tol=0.1, checkpoint=path, callback=Stop(2000), progress=False)
    _, saved = checkpoint.read(path)
    assert 0 < saved["state"]["step"] < unbroken.samples / 768
    assert any(saved["state"]["control"]["along"])
    resumed = brenier.fit(IN_SUBSPACES, tol=0.1, checkpoint=path, resume=True, progress=False)
    assert torch.equal(resumed.potential.heights, unbroken.potential.heights)
    assert (resumed.samples, resumed.checks) == (unbroken.samples, unbroken.checks)


def test_resuming_without_a_file_starts_afresh(tmp_path: Path) -> None:
    fresh = brenier.fit(SPREAD, checkpoint=tmp_path / "new", resume=True, progress=False)
    assert fresh.converged
    assert (tmp_path / "new").exists()


def test_a_damaged_checkpoint_falls_back_to_the_previous_one(tmp_path: Path) -> None:
    path = tmp_path / "fit.checkpoint"
    interrupted(SPREAD, path, 1500)
    interrupted(SPREAD, path, 2500)
    path.write_bytes(path.read_bytes()[:-9])
    resumed = brenier.fit(SPREAD, tol=0.02, checkpoint=path, resume=True, progress=False)
    assert torch.equal(
        resumed.potential.heights, brenier.fit(SPREAD, tol=0.02, progress=False).potential.heights
    )


def test_changed_metadata_is_damage_and_never_replaces_a_good_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "fit.checkpoint"
    interrupted(SPREAD, path, 1500)
    interrupted(SPREAD, path, 2500)
    path.write_bytes(path.read_bytes().replace(b"step", b"stop", 1))
    good = checkpoint.previous(path).read_bytes()
    with pytest.warns(UserWarning, match="interrupted"):
        brenier.fit(SPREAD, tol=0.02, checkpoint=path, resume=True, callback=Stop(1), progress=False)
    assert checkpoint.previous(path).read_bytes() == good
    assert checkpoint.undamaged(path)


def test_only_damaged_checkpoints_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "fit.checkpoint"
    path.write_bytes(b"nonsense")
    with pytest.raises(FileError, match=r"fit\.checkpoint"):
        brenier.fit(SPREAD, checkpoint=path, resume=True, progress=False)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"targets": SPREAD + 1}, "targets = [0-9a-f]{32}.*got [0-9a-f]{32}"),
        ({"seed": 1}, "seed"),
        ({"tol": 0.1}, "tol"),
    ],
)
def test_a_checkpoint_of_another_fit_is_refused(changed: dict, message: str, tmp_path: Path) -> None:
    path = tmp_path / "fit.checkpoint"
    interrupted(SPREAD, path, 1500)
    options = {"targets": SPREAD, "tol": 0.02, **changed}
    with pytest.raises(InputError, match=message):
        brenier.fit(options.pop("targets"), checkpoint=path, resume=True, progress=False, **options)


def test_resume_needs_a_checkpoint_and_an_unwritable_one_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="checkpoint"):
        brenier.fit(SPREAD, resume=True, progress=False)
    with pytest.raises(FileError):
        brenier.fit(SPREAD, checkpoint=tmp_path / "absent" / "file", progress=False)


def test_all_checkpoints_of_a_fit_read_the_targets_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, written, write = [], [], checkpoint.write

    def noted(targets: torch.Tensor) -> str:
        read.append(len(targets))
        return fingerprint(targets)

    monkeypatch.setattr(problem, "fingerprint", noted)
    monkeypatch.setattr(checkpoint, "write", lambda *given: (written.append(1), write(*given)))
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)  # at every step
    brenier.fit(SPREAD, checkpoint=tmp_path / "state", progress=False)
    assert len(written) > 3
    assert read == [200]


def test_a_write_that_fails_keeps_a_loadable_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fit.checkpoint"
    interrupted(SPREAD, path, 1500)

    def fails(*_: object) -> None:
        raise FileError("disk", expected="room", got="none")

    monkeypatch.setattr(checkpoint, "write_bytes", fails)
    with pytest.raises(FileError, match="disk"):
        brenier.fit(SPREAD, tol=0.02, checkpoint=path, progress=False, resume=True)
    monkeypatch.undo()
    assert brenier.fit(SPREAD, tol=0.02, checkpoint=path, progress=False, resume=True).converged
