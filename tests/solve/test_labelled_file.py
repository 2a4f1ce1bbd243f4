"""A potential per class on disk: a folder whose files belong together, or a refusal that says which do not."""

import json
from pathlib import Path

import brenier
import numpy as np
import pytest
import torch
from brenier.data import ArraySource, NoisedLatents
from brenier.data.noise import Stream, normal
from brenier.errors import FileError, InputError
from brenier.solve import LabelledPotential, StreamedPotential, fitting, potential_file
from helpers import known_answers as problems
from safetensors import safe_open
from safetensors.torch import save_file

IMAGES = problems.image_like(90, 20)
LABELS = torch.arange(90) % 3 * 5 - 5  # -5, 0, 5: the classes are mixed
NOISE = normal(3, 0, 60, 20, stream=Stream.SAMPLE)
ASKED = torch.tensor([5, -5, 0]).repeat(20)


@pytest.fixture(scope="module")
def potential() -> LabelledPotential:
    return brenier.fit(IMAGES, labels=LABELS, tol=0.2, progress=False).potential


@pytest.fixture(scope="module")
def over_a_source() -> LabelledPotential:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "must_stream", lambda shape, *_: shape[0] > 50)
        return brenier.fit(latents(), labels=LABELS, tol=0.2, progress=False).potential


def latents() -> NoisedLatents:
    return NoisedLatents(ArraySource(IMAGES), sigma=0.2, seed=3)


def require_same(loaded: LabelledPotential, saved: LabelledPotential) -> None:
    assert list(loaded.potentials) == list(saved.potentials)
    assert torch.equal(loaded.assign(NOISE, ASKED), saved.assign(NOISE, ASKED))
    assert torch.equal(loaded.transport(NOISE, ASKED), saved.transport(NOISE, ASKED))
    for label, part in saved.potentials.items():
        assert torch.equal(loaded.members[label], saved.members[label])
        assert torch.equal(loaded.potentials[label].heights, part.heights)
        assert loaded.potentials[label].info == part.info


def test_what_was_saved_is_loaded_with_its_targets_or_over_those_given(
    potential: LabelledPotential, tmp_path: Path
) -> None:
    potential.save(tmp_path / "whole")
    require_same(LabelledPotential.load(tmp_path / "whole"), potential)
    potential.save(str(tmp_path / "small"), include_targets=False)
    np.save(tmp_path / "images.npy", IMAGES.numpy())
    for given in (IMAGES, IMAGES.numpy(), ArraySource(IMAGES), tmp_path / "images.npy"):
        loaded = LabelledPotential.load(tmp_path / "small", given)
        require_same(loaded, potential)
        assert type(loaded.potentials[5]) is brenier.Potential


def test_a_class_s_file_is_a_potential_and_labels_json_lists_them_in_order(
    potential: LabelledPotential, tmp_path: Path
) -> None:
    potential.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "label-5.safetensors",
        "label0.safetensors",
        "label5.safetensors",
        "labels.json",
    ]
    one = brenier.Potential.load(tmp_path / "label-5.safetensors")
    assert torch.equal(one.assign(NOISE), potential.potentials[-5].assign(NOISE))
    with pytest.raises(FileError, match="LabelledPotential"):
        brenier.Potential.load(tmp_path)
    classes = json.loads((tmp_path / "labels.json").read_text())["classes"]
    assert [(entry["label"], entry["targets"]) for entry in classes] == [(-5, 30), (0, 30), (5, 30)]


def test_classes_over_a_source_are_loaded_over_it(over_a_source: LabelledPotential, tmp_path: Path) -> None:
    over_a_source.save(tmp_path)
    assert all(path.stat().st_size < 4000 for path in tmp_path.iterdir())  # without targets
    loaded = LabelledPotential.load(tmp_path, latents())
    require_same(loaded, over_a_source)
    assert type(loaded.potentials[5]) is StreamedPotential
    with pytest.raises(InputError, match="source"):
        LabelledPotential.load(tmp_path)


def test_arrays_for_streamed_classes_are_read_when_asked(tmp_path: Path) -> None:
    """A memory map that did not fit when it was fitted does not fit now."""
    np.save(tmp_path / "images.npy", IMAGES.numpy())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "must_stream", lambda shape, *_: shape[0] > 50)
        array = np.load(tmp_path / "images.npy", mmap_mode="r")
        saved = brenier.fit(array, labels=LABELS, tol=0.2, progress=False).potential
    saved.save(tmp_path / "classes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("brenier.engine.checks.as_matrix", lambda *_, **__: pytest.fail("copied"))
        loaded = LabelledPotential.load(tmp_path / "classes", array)
    require_same(loaded, saved)


@pytest.mark.parametrize(
    "members", [[0.5] * 30, [-(1 << 40)] * 30, [1], []], ids=["fractions", "negative", "too few", "none"]
)
def test_damaged_places_of_targets_are_refused(
    members: list[float], potential: LabelledPotential, tmp_path: Path
) -> None:
    potential.save(tmp_path)
    file = tmp_path / "label0.safetensors"
    with safe_open(file, framework="pt") as opened:
        tensors, metadata = {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()  # noqa: SIM118
    save_file(tensors | {"members": torch.tensor(members)}, file, metadata)
    with pytest.raises(FileError, match=r"label0\.safetensors.*damaged"):
        LabelledPotential.load(tmp_path, IMAGES)


def test_other_targets_are_refused(potential: LabelledPotential, tmp_path: Path) -> None:
    potential.save(tmp_path, include_targets=False)
    with pytest.raises(InputError, match=r"None; pass targets"):
        LabelledPotential.load(tmp_path)
    with pytest.raises(InputError, match="fingerprint"):
        LabelledPotential.load(tmp_path, IMAGES + 1)
    for given in (IMAGES[:80], ArraySource(IMAGES[:80])):
        with pytest.raises(InputError, match="at least 88"):
            LabelledPotential.load(tmp_path, given)


def test_files_that_do_not_belong_together_are_refused(potential: LabelledPotential, tmp_path: Path) -> None:
    potential.save(tmp_path)
    potential.potentials[0].save(tmp_path / "label0.safetensors")
    with pytest.raises(FileError, match=r"label0\.safetensors.*got another one; save the potential again"):
        LabelledPotential.load(tmp_path)
    (tmp_path / "label0.safetensors").write_bytes(b"nonsense")
    with pytest.raises(FileError, match=r"label0\.safetensors.*readable"):
        LabelledPotential.load(tmp_path)
    (tmp_path / "label0.safetensors").unlink()
    with pytest.raises(FileError, match=r"label0\.safetensors"):
        LabelledPotential.load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '"brenier.labelled.1"',
        '{"format": "brenier.labelled.2", "classes": []}',
        '{"format": "brenier.labelled.1"}',
        '{"format": "brenier.labelled.1", "classes": []}',
        '{"format": "brenier.labelled.1", "classes": [3]}',
        '{"format": "brenier.labelled.1", "classes": [{"label": 1}]}',
        '{"format": "brenier.labelled.1", "classes": [{"label": "../x", "targets": 1, "kind": "in memory", '
        '"digest": ""}]}',
        '{"format": "brenier.labelled.1", "classes": [{"label": 1, "targets": 1, "kind": "no", "digest": ""}]}',
    ],
)
def test_a_folder_without_a_whole_list_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"labels\.json"):
        LabelledPotential.load(tmp_path)
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(FileError, match=r"labels\.json.*potential per class"):
        LabelledPotential.load(tmp_path)


def test_a_save_that_fails_leaves_what_the_folder_held(
    potential: LabelledPotential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    potential.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write, written = potential_file.write_bytes, []

    def fails(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) == 3:
            raise FileError("disk", expected="room", got="none")
        write(path, content)

    monkeypatch.setattr(potential_file, "write_bytes", fails)
    with pytest.raises(FileError, match="disk"):
        potential.save(tmp_path, include_targets=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_names_that_are_no_folders_are_refused(potential: LabelledPotential, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="file"):
        potential.save(tmp_path / "file")
    for wrong in (None, "", 3):
        with pytest.raises(InputError, match="name of a folder"):
            potential.save(wrong)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="name of a folder"):
            LabelledPotential.load(wrong)  # type: ignore[arg-type]
