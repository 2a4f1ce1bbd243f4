"""Labels give one potential per class, and a map that is told the class."""

import math
from dataclasses import replace
from pathlib import Path

import brenier
import numpy as np
import pytest
import torch
from brenier.data.noise import Stream, normal
from brenier.errors import InputError
from brenier.solve import class_memory, fitting, memory
from brenier.solve.labelled import members_of
from brenier.solve.result import Status
from brenier.solve.streamed_potential import StreamedPotential
from helpers import known_answers as problems
from helpers.stopping import Stop

TARGETS = problems.image_like(120, 12)
LABELS = torch.arange(120) % 3 * 5 - 5  # -5, 0, 5
NOISE = normal(3, 0, 90, 12, stream=Stream.SAMPLE)


def fitted(**options: object) -> brenier.solve.LabelledFitResult:
    return brenier.fit(TARGETS, labels=LABELS, tol=0.1, progress=False, **options)


def test_every_class_gets_the_potential_of_its_targets_alone() -> None:
    result = fitted()
    assert result.converged
    assert list(result.results) == [-5, 0, 5]
    for label, part in result.results.items():
        alone = brenier.fit(TARGETS[label == LABELS], tol=0.1, progress=False)
        assert torch.equal(part.potential.heights, alone.potential.heights)
    assert result.error == max(part.error for part in result.results.values())
    assert result.summary().count("label") == 3


def test_noise_goes_to_targets_of_its_own_label_only() -> None:
    potential = fitted().potential
    asked = torch.tensor([5, -5, 0]).repeat(30)
    winners = potential.assign(NOISE, asked)
    assert torch.equal(LABELS[winners], asked)
    assert torch.equal(potential.transport(NOISE, asked), TARGETS[winners])
    for label in (-5, 0, 5):
        rows = asked == label
        local = potential.potentials[label].assign(NOISE[rows])
        assert torch.equal(winners[rows], torch.nonzero(label == LABELS)[:, 0][local])
    as_arrays = potential.assign(NOISE.numpy(), asked.numpy())
    assert isinstance(as_arrays, np.ndarray)
    assert (as_arrays == winners.numpy()).all()
    assert potential.assign(NOISE[:0], asked[:0]).shape == (0,)


def test_weights_are_normalised_inside_each_class() -> None:
    weights = torch.linspace(1, 3, 120)
    result = fitted(weights=weights)
    for label, part in result.results.items():
        own = weights[label == LABELS].double()
        assert torch.allclose(part.potential.masses, own / own.sum())


def test_ctrl_c_ends_all_classes_and_resuming_gives_the_same_bits(tmp_path: Path) -> None:
    file = tmp_path / "fit"
    with pytest.warns(UserWarning, match="2 of 3 labels have no potential, 0 is the first"):
        broken = fitted(checkpoint=file, callback=Stop())
    assert broken.unfitted == (0, 5)
    assert not broken.converged
    assert [path.name for path in tmp_path.iterdir()] == ["fit.label-5"]
    resumed, whole = fitted(checkpoint=file, resume=True), fitted()
    for label in (-5, 0, 5):
        assert torch.equal(
            resumed.potential.potentials[label].heights, whole.potential.potentials[label].heights
        )


class StopIn:
    """Ctrl-C in the fit of one class, which begins where samples fall."""

    def __init__(self, number: int) -> None:
        self.number, self.begun, self.before = number, 0, math.inf

    def __call__(self, record: brenier.solve.Record) -> None:
        self.begun += record.samples <= self.before
        self.before = record.samples
        if self.begun == self.number:
            raise KeyboardInterrupt


def test_ctrl_c_keeps_the_classes_that_are_done_and_the_one_under_way() -> None:
    whole = fitted()
    with pytest.warns(UserWarning, match="1 of 3 labels have no potential, 5 is the first") as caught:
        broken = fitted(callback=StopIn(2))
    assert {Path(one.filename).name for one in caught if "labels have" in str(one.message)} == {
        "test_labels.py"
    }
    assert list(broken.results) == [-5, 0]
    assert [result.status for result in broken.results.values()] == [Status.CONVERGED, Status.INTERRUPTED]
    assert not broken.converged
    assert "label 5: not fitted" in broken.summary()
    ours, theirs = broken.potential.potentials, whole.potential.potentials
    assert torch.equal(ours[-5].heights, theirs[-5].heights)
    some = torch.tensor([-5, 0]).repeat(45)
    assert torch.equal(LABELS[broken.potential.assign(NOISE, some)], some)
    with pytest.raises(InputError, match="got 5"):
        broken.potential.assign(NOISE, torch.full((90,), 5))


def test_the_error_is_unknown_where_one_class_has_none_whatever_their_order() -> None:
    known = brenier.fit(TARGETS, tol=0.1, progress=False)
    unknown = replace(known, error=math.nan)
    for parts in ([known, unknown], [unknown, known]):
        result = brenier.solve.LabelledFitResult(
            dict(enumerate(parts)), brenier.solve.LabelledPotential({}, {})
        )
        assert math.isnan(result.error)


def test_a_last_class_interrupted_leaves_none_unfitted() -> None:
    with pytest.warns(UserWarning, match="interrupted"):
        broken = fitted(callback=StopIn(3))
    assert broken.unfitted == ()
    assert not broken.converged


def test_ctrl_c_between_classes_keeps_what_is_done_and_before_the_first_one_raises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build, calls = fitting.build_problem, []

    def interrupted(*given: object) -> object:
        calls.append(1)
        if len(calls) == limit:
            raise KeyboardInterrupt
        return build(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(fitting, "build_problem", interrupted)
    limit = 3
    with pytest.warns(UserWarning, match="labels have no potential"):
        assert list(fitted().results) == [-5, 0]
    limit, calls[:] = 1, []
    with pytest.raises(KeyboardInterrupt):
        fitted()


def test_bad_labels_are_refused() -> None:
    for labels in (LABELS[:-1], LABELS.float(), LABELS[:, None], LABELS > 0):
        with pytest.raises(InputError, match="labels"):
            brenier.fit(TARGETS, labels=labels, progress=False)
    potential = fitted().potential
    with pytest.raises(InputError, match="got 7"):
        potential.assign(NOISE, torch.full((90,), 7))
    with pytest.raises(InputError, match="labels"):
        potential.transport(NOISE, LABELS)
    with pytest.raises(InputError, match="weights"):
        fitted(weights=torch.ones(3))


def test_the_plan_counts_the_copies_of_all_classes_before_work_begins(
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = (torch.arange(120) < 70).long()
    copies, largest = 120 * 12 * 4, memory.memory_plan(70, 12).total
    need = copies + largest + 64 * 120 + 20 * 12 * 2
    with pytest.raises(InputError, match=f"at least {need:,} bytes: .*for all classes together"):
        brenier.fit(TARGETS, labels=labels, max_memory=need - 1)
    assert "fit:" not in capsys.readouterr().err
    assert brenier.fit(TARGETS, labels=labels, max_memory=need, tol=0.1).converged
    assert capsys.readouterr().err.startswith(
        f"memory: at most {memory.mib(need)} beyond the targets, for all"
    )


def test_the_plan_of_classes_counts_the_copy_of_targets_that_may_not_be_written() -> None:
    array = TARGETS.numpy().copy()
    array.flags.writeable = False
    need = 2 * array.nbytes + memory.memory_plan(120, 12).total + 64 * 120 + 20 * 12
    with pytest.raises(InputError, match=f"at least {need:,} bytes"):
        brenier.fit(array, labels=torch.zeros(120).long(), max_memory=1, progress=False)


def test_the_plan_of_classes_counts_those_with_mass_again_where_some_have_none() -> None:
    members, masses = members_of(LABELS), np.ones(120)
    masses[0] = 0
    one = class_memory.require_class_memory(TARGETS, members, None, None)
    two = class_memory.require_class_memory(TARGETS, members, masses, None)
    assert two.largest - one.largest == 39 * 12 * 4
    assert one.kept == two.kept


def test_a_file_whose_copies_by_class_do_not_fit_is_read_class_by_class(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", TARGETS.numpy())
    limit = 4 * 120 * 12 + memory.memory_plan(120, 12).total
    assert not memory.must_stream((120, 12), limit)
    assert memory.must_stream((120, 12), limit, labelled=True)
    result = brenier.fit(tmp_path / "x.npy", labels=LABELS, max_memory=limit, tol=0.1, progress=False)
    assert isinstance(result.potential.potentials[0], StreamedPotential)
    for label, part in fitted().results.items():
        assert torch.equal(result.results[label].potential.heights, part.potential.heights)
