"""Classes, mirror images and streamed potentials from file to file."""

from pathlib import Path

import numpy as np
import pytest
from brenier.data import load_digits
from brenier.diffusion.store import load_network
from brenier.report import fitting
from brenier.solve import fitting as solve_fitting
from helpers.commands import ok, quietly

SMALL = ["--width", 16, "--depth", 1, "--steps", 4, "--batch", 8, "--pool", 16]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, their classes, a network that knows them and one that does not, and a potential."""
    folder, digits = tmp_path_factory.mktemp("classes"), load_digits()
    np.save(folder / "images.npy", digits.images[:120].reshape(-1, 1, 8, 8).numpy())
    np.save(folder / "classes.npy", digits.labels[:120].numpy())
    np.save(folder / "wanted.npy", np.arange(6) % 10)
    told = ["--coupling", "c2ot", "--condition", folder / "classes.npy", "--out", folder / "told.safetensors"]
    record = ok("train", folder / "images.npy", *SMALL, *told)
    assert "c2ot pairs" in record["summary"]
    ok("train", folder / "images.npy", *SMALL, "--out", folder / "plain.safetensors")
    ok("fit", folder / "images.npy", "--sigma", 0.5, "--tol", 0.5, "--out", folder / "pot.safetensors")
    return folder


def sample(folder: Path, network: str, *options: object) -> np.ndarray:
    out = folder / "samples.npy"
    ok("sample", folder / f"{network}.safetensors", "--count", 6, "--steps", 2, *options, "--out", out)
    return np.load(out)


def test_a_network_trained_on_classes_is_told_them_when_it_samples(folder: Path) -> None:
    assert load_network(folder / "told.safetensors").arguments["classes"] == 10
    drawn = sample(folder, "told", "--labels", folder / "wanted.npy")
    np.save(folder / "others.npy", (np.arange(6) + 3) % 10)
    assert (drawn != sample(folder, "told", "--labels", folder / "others.npy")).any()
    guided = ["--labels", folder / "wanted.npy", "--guidance", 3.0, "--null-label", 9]
    assert (drawn != sample(folder, "told", *guided)).any()


def test_by_dpm_ot_each_sample_has_the_class_of_its_target(folder: Path) -> None:
    mapped = ["--potential", folder / "pot.safetensors", "--targets", folder / "images.npy"]
    by_target = sample(folder, "told", *mapped, "--labels", folder / "classes.npy")
    np.save(folder / "flat.npy", np.zeros(120, np.int64))
    assert by_target.shape == (6, 64)
    assert (by_target != sample(folder, "told", *mapped, "--labels", folder / "flat.npy")).any()


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("told", [], "labels"),
        ("plain", ["--labels", "wanted.npy"], "labels"),
        ("plain", ["--guidance", 2.0], "labels"),
        ("told", ["--labels", "wanted.npy", "--guidance", 2.0], "null_label"),
        ("told", ["--labels", "classes.npy"], "shape (6,)"),
    ],
)
def test_classes_that_do_not_fit_the_network_are_refused(
    folder: Path, network: str, options: list[object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    result = quietly("sample", f"{network}.safetensors", "--count", 6, *options, "--out", "none.npy")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (folder / "none.npy").exists()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("sampler", ["heun", "ddim"])
def test_a_potential_with_mirror_images_or_left_on_disk_samples_too(
    folder: Path, streamed: bool, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (fitting, solve_fitting):
        monkeypatch.setattr(module, "must_stream", lambda *_: streamed)
    potential = folder / f"flipped{streamed}.safetensors"
    ok("fit", folder / "images.npy", "--flips", "--sigma", 0.5, "--tol", 0.5, "--out", potential)
    mapped = ["--potential", potential, "--targets", folder / "images.npy", "--sampler", sampler]
    drawn = sample(folder, "plain", *mapped, "--fresh")
    assert drawn.shape == (6, 64)
    monkeypatch.setattr(fitting, "must_stream", lambda *_: False)  # with more memory than the fit had
    np.testing.assert_allclose(sample(folder, "plain", *mapped, "--fresh"), drawn, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        ["--coupling", "c2ot"],
        ["--condition", "images.npy"],
        ["--device", "tpu9"],
        ["--width", 0],
        ["--depth", -1],
        ["--lr", "nan"],
    ],
)
def test_trainings_that_cannot_be_are_mistakes_and_write_nothing(
    folder: Path, options: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert quietly("train", "images.npy", *SMALL, *options, "--out", "none.safetensors").exit_code == 2
    assert not (folder / "none.safetensors").exists()
