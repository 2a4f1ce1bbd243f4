"""Every line of the papers' recipes executes: on stand-ins in their shapes, and on files as a user has them."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from brenier.diffusion import NCSNv2
from brenier.errors import InputError
from safetensors.torch import save_file
from torch import Tensor

pytest.importorskip("sklearn")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SHAPE = {"cifar10_aot": 32, "cifar10_aot_conditional": 32, "cifar10_dpm_ot": 32, "celeba_dpm_ot": 64}
PUBLISHED = {
    "cifar10_aot": "1.88",
    "cifar10_aot_conditional": "1.73",
    "cifar10_dpm_ot": "2.92",
    "celeba_dpm_ot": "2.85",
    "ffhq_dpm_ot": "4.11",
}
SMALL = {
    "steps = 390625": "steps = 2",
    "batch = 512": "batch = 8",
    "pool = 2048": "pool = 16",
    "count = 50000": "count = 70",
    "width = 128": "width = 8",
    "tol = 0.05": "tol = 1.0",
    "last_steps = 10": "last_steps = 1",
    "steps = 15": "steps = 2",
}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(sys, "argv", ["recipe.py", *map(str, arguments)])
    import recipe

    recipe.main()
    return recipe


def test_no_recipe_is_left_out() -> None:
    assert {file.stem for file in (EXAMPLES / "recipes").glob("*.toml")} == set(PUBLISHED)


@pytest.mark.parametrize("name", [*SHAPE, pytest.param("ffhq_dpm_ot", marks=pytest.mark.slow)])
def test_a_recipe_runs_on_its_stand_in_and_prints_the_published_figure(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, EXAMPLES / "recipes" / f"{name}.toml", "--stand-in", "--out", tmp_path)
    printed = capsys.readouterr().out
    assert f"FID {PUBLISHED[name]}" in printed
    assert "no FID" in printed
    assert "differs from the paper" in printed
    assert "the figures mean nothing" in printed
    side, samples = SHAPE.get(name, 256), np.load(tmp_path / "samples.npy")
    assert samples.shape == (3, 3, side, side)
    assert samples.dtype == np.uint8
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "record.json").read_text())["memorisation"]["samples"] == 3


class Pooled:
    """Stands for Inception: 12 numbers an image."""

    def features(self, images: Tensor) -> Tensor:
        assert images.shape[1:] == (3, 32, 32)
        assert -1 <= images.min() < images.max() <= 1
        return torch.nn.functional.avg_pool2d(images, 16).flatten(1)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A data set as a user has it, in files, and a recipe made small."""
    draw = np.random.default_rng(0)
    for name, count in (("train", 90), ("test", 20)):
        np.save(tmp_path / f"{name}.npy", draw.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))
    np.save(tmp_path / "labels.npy", np.arange(90) % 10)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import recipe_figures

    monkeypatch.setattr(recipe_figures, "load_inception", lambda *_, **__: Pooled())

    def small(name: str) -> Path:
        text = (EXAMPLES / "recipes" / f"{name}.toml").read_text()
        for long, short in SMALL.items():
            text = text.replace(long, short)
        if name.endswith("dpm_ot"):
            text = text.replace("count = 70", "count = 5")
        (tmp_path / f"{name}.toml").write_text(text)
        return tmp_path / f"{name}.toml"

    options = ["--images", tmp_path / "train.npy", "--held-out", tmp_path / "test.npy"]
    return SimpleNamespace(small=small, options=options, folder=tmp_path, out=tmp_path / "out")


def test_a_conditional_recipe_takes_a_users_images_labels_and_inception_weights(
    files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, more = files.small("cifar10_aot_conditional"), ["--inception", "weights.pth", "--out", files.out]
    with pytest.raises(InputError, match="--labels"):
        run(monkeypatch, recipe, *files.options, *more)
    labels = ["--labels", files.folder / "labels.npy"]
    run(monkeypatch, recipe, *files.options, *labels, *more)
    assert "\nFID " in capsys.readouterr().out
    samples = np.load(files.out / "samples.npy")
    assert len(samples) == 70  # more than a chunk
    run(monkeypatch, recipe, *files.options, *labels, *more)  # takes up the finished training
    np.testing.assert_array_equal(np.load(files.out / "samples.npy"), samples)


def test_a_dpm_ot_recipe_takes_a_users_images_and_checkpoint(
    files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, more = files.small("cifar10_dpm_ot"), ["--inception", "weights.pth", "--out", files.out]
    with pytest.raises(InputError, match="--checkpoint"):
        run(monkeypatch, recipe, *files.options, *more)
    save_file(NCSNv2(3, 8).state_dict(), files.folder / "weights.safetensors")
    run(monkeypatch, recipe, *files.options, *more, "--checkpoint", files.folder / "weights.safetensors")
    assert "closer to a training image" in capsys.readouterr().out
    assert json.loads((files.out / "record.json").read_text())["fid"] >= 0


def test_a_users_own_network_is_taken_and_images_of_another_shape_are_refused(
    files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(files.folder))
    (files.folder / "mine.py").write_text(
        "from brenier.diffusion import NCSNv2\ndef network():\n    return NCSNv2(3, 8).eval()\n"
    )
    recipe = files.small("cifar10_dpm_ot")
    run(monkeypatch, recipe, *files.options, "--network", "mine:network", "--out", files.out)
    np.save(files.folder / "odd.npy", np.zeros((5, 3, 8, 8), np.uint8))
    with pytest.raises(InputError, match="--images"):
        run(monkeypatch, recipe, "--images", files.folder / "odd.npy", "--out", files.out)
    with pytest.raises(InputError, match="or --stand-in"):
        run(monkeypatch, recipe, "--out", files.out)


def test_distances_of_large_images_are_measured_of_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import recipe_figures

    faces = SimpleNamespace(shape=(70_000, 196_608), __len__=None, read=lambda lo, hi: torch.arange(lo, hi))
    monkeypatch.setattr(recipe_figures, "len", lambda rows: rows.shape[0], raising=False)
    assert len(recipe_figures.first_rows(faces)) * 196_608 * 8 <= 1 << 30
