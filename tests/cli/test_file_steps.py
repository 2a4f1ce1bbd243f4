"""From file to file: each command's output is the next one's input."""

import json
import re
from pathlib import Path

import brenier
import numpy as np
import pytest
import torch
from brenier.data import NoisedLatents, load_array, load_digits
from brenier.data.noise import Stream, normal
from brenier.diffusion.store import load_network
from helpers.commands import ok, quietly

SIGMA = 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, labels, a trained network and a potential at one level."""
    folder = tmp_path_factory.mktemp("files")
    digits = load_digits()
    np.save(folder / "images.npy", digits.images[:150].reshape(-1, 1, 8, 8).numpy())
    np.save(folder / "held_out.npy", digits.images[150:250].numpy())
    np.save(folder / "labels.npy", digits.labels[:150].numpy())
    ok(
        "train",
        folder / "images.npy",
        "--width",
        16,
        "--depth",
        1,
        "--steps",
        5,
        "--out",
        folder / "net.safetensors",
    )
    ok("fit", folder / "images.npy", "--sigma", SIGMA, "--tol", 0.3, "--out", folder / "pot.safetensors")
    return folder


def test_a_fit_stopped_by_its_budget_resumes_from_its_checkpoint(folder: Path, tmp_path: Path) -> None:
    options = (
        "--tol",
        0.02,
        "--checkpoint",
        tmp_path / "fit.checkpoint",
        "--out",
        tmp_path / "pot.safetensors",
    )
    stopped = quietly("fit", folder / "held_out.npy", "--max-samples", 1600, "--json", *options)
    assert stopped.exit_code == 3
    samples = json.loads(stopped.stdout)["samples"]
    resumed = ok("fit", folder / "held_out.npy", "--resume", *options)
    assert resumed["converged"]
    assert resumed["history"][0]["samples"] == 768
    assert resumed["checks"][0]["at_samples"] == samples == 1536


def test_fit_writes_the_potential_of_the_noised_latents(folder: Path) -> None:
    latents = NoisedLatents(load_array(folder / "images.npy").array, sigma=SIGMA, seed=0).materialise()
    potential = brenier.Potential.load(folder / "pot.safetensors", targets=latents)
    direct = brenier.fit(latents, tol=0.3, progress=False).potential
    assert torch.equal(potential.heights, direct.heights)
    record = json.loads((folder / "pot.json").read_text())
    assert record["converged"] is True
    assert record["settings"]["sigma"] == SIGMA
    assert record["history"][0].keys() == {"samples", "error", "epsilon", "seconds"}


def test_an_unconverged_fit_is_written_with_a_warning_and_exit_code_3(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.safetensors"
    result = quietly("fit", folder / "images.npy", "--tol", 0.01, "--max-samples", 64, "--out", out, "--json")
    assert result.exit_code == 3
    assert "not converged" in result.stderr
    assert json.loads(result.stdout)["converged"] is False
    assert out.exists()


def test_weights_of_the_wrong_length_are_a_mistake_and_write_nothing(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.ones(149))
    result = quietly(
        "fit", folder / "images.npy", "--weights", tmp_path / "w.npy", "--out", tmp_path / "p.safetensors"
    )
    assert result.exit_code == 2
    assert "149" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["w.npy"]


def test_pair_writes_the_permutation_and_the_noise_it_used(folder: Path, tmp_path: Path) -> None:
    record = ok(
        "pair",
        folder / "images.npy",
        "--seed",
        3,
        "--save-noise",
        tmp_path / "e.npy",
        "--out",
        tmp_path / "p.npy",
    )
    permutation, noise = np.load(tmp_path / "p.npy"), np.load(tmp_path / "e.npy")
    np.testing.assert_array_equal(noise, np.asarray(normal(3, 0, 150, 64, stream=Stream.POOL)))
    assert sorted(permutation) == list(range(150))
    images = load_array(folder / "images.npy").array.numpy()
    cost = ((images - noise[permutation]) ** 2).sum(axis=1, dtype=np.float64).mean()
    assert record["cost"] == pytest.approx(cost, rel=1e-5)
    assert record["cost"] < record["cost_before"]


def test_pair_keeps_to_the_classes_when_told_to(folder: Path, tmp_path: Path) -> None:
    ok("pair", folder / "images.npy", "--labels", folder / "labels.npy", "--out", tmp_path / "p.npy")
    labels = np.load(folder / "labels.npy")
    np.testing.assert_array_equal(labels[np.load(tmp_path / "p.npy")], labels)


def test_pair_refuses_labels_that_are_no_classes(folder: Path, tmp_path: Path) -> None:
    for name, labels in (("real", np.linspace(0, 1, 150)), ("short", np.zeros(149, np.int64))):
        np.save(tmp_path / f"{name}.npy", labels)
        refused = quietly(
            "pair", folder / "images.npy", "--labels", tmp_path / f"{name}.npy", "--out", tmp_path / "p.npy"
        )
        assert refused.exit_code == 2
        assert "labels: expected integers of shape (150,)" in refused.stderr
        assert not (tmp_path / "p.npy").exists()
    options = ("--coupling", "aot", "--labels", tmp_path / "real.npy", "--out", tmp_path / "n.safetensors")
    refused = quietly("train", folder / "images.npy", *options)
    assert refused.exit_code == 2
    assert "labels: expected integers of shape (150,)" in refused.stderr


def test_fit_names_its_own_options_when_they_do_not_go_together(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((5, 6), np.float32))
    flipped = quietly("fit", tmp_path / "rows.npy", "--flips", "--out", tmp_path / "p.safetensors")
    resumed = quietly("fit", folder / "images.npy", "--resume", "--out", tmp_path / "p.safetensors")
    trained = quietly("train", folder / "images.npy", "--resume", "--out", tmp_path / "p.safetensors")
    assert "flips: expected a file of images" in flipped.stderr
    for refused in (flipped, resumed, trained):
        assert refused.exit_code == 2
        assert refused is flipped or "--checkpoint FILE" in refused.stderr
        assert not re.search(r"\w=", refused.stderr)


def test_train_writes_a_network_that_loads_without_code(folder: Path) -> None:
    stored = load_network(folder / "net.safetensors")
    assert stored.kind == "mlp"
    assert stored.image_shape == (1, 8, 8)
    assert stored.denoiser(torch.zeros(2, 64), 1.0).shape == (2, 64)
    assert json.loads((folder / "net.json").read_text())["arguments"]["width"] == 16


@pytest.mark.parametrize("coupling", ["aot", "semidiscrete"])
def test_train_takes_the_other_couplings(folder: Path, tmp_path: Path, coupling: str) -> None:
    options = ["--coupling", coupling, "--batch", 32, "--pool", 64, "--steps", 3, "--width", 8, "--depth", 1]
    if coupling == "semidiscrete":
        ok("fit", folder / "images.npy", "--tol", 0.5, "--out", tmp_path / "clean.safetensors")
        options += ["--potential", tmp_path / "clean.safetensors"]
    ok("train", folder / "images.npy", *options, "--out", tmp_path / "n.safetensors")


def test_a_unet_is_trained_on_square_images_and_refused_otherwise(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "n.safetensors"
    options = ["--network", "unet", "--width", 8, "--steps", 2, "--batch", 8, "--out", out]
    ok("train", folder / "images.npy", *options)
    assert load_network(out).kind == "unet"
    result = quietly("train", folder / "held_out.npy", *options)
    assert result.exit_code == 2
    assert "square images" in result.stderr


def test_sample_draws_the_same_samples_for_the_same_seed_and_a_picture(folder: Path, tmp_path: Path) -> None:
    options = ["--count", 6, "--steps", 3, "--out", tmp_path / "s.npy", "--grid", tmp_path / "s.png"]
    assert ok("sample", folder / "net.safetensors", *options)["evaluations"] == 5
    first = np.load(tmp_path / "s.npy")
    ok("sample", folder / "net.safetensors", *options)
    np.testing.assert_array_equal(np.load(tmp_path / "s.npy"), first)
    assert first.shape == (6, 64)
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_sample_by_dpm_ot_starts_at_the_level_of_the_fit(folder: Path, tmp_path: Path) -> None:
    options = ["--potential", folder / "pot.safetensors", "--targets", folder / "images.npy", "--steps", 2]
    record = ok(
        "sample", folder / "net.safetensors", "--count", 5, *options, "--out", tmp_path / "s.safetensors"
    )
    assert f"{SIGMA:g}" in record["how"]
    assert load_array(tmp_path / "s.safetensors").array.shape == (5, 64)


@pytest.mark.parametrize(("sampler", "evaluations"), [("heun", 5), ("langevin", 7), ("ddim", 3), ("ddpm", 3)])
def test_every_sampler_draws_from_noise_and_by_dpm_ot_a_sample_by_its_seed(
    folder: Path, tmp_path: Path, sampler: str, evaluations: int
) -> None:
    shared = ["--sampler", sampler, "--steps", 3, "--langevin-steps", 2, "--out", tmp_path / "s.npy"]
    dpm_ot = ["--potential", folder / "pot.safetensors", "--targets", folder / "images.npy", "--fresh"]
    for options in (shared, [*shared, *dpm_ot], [*shared, *dpm_ot, "--extend", 1.0]):
        drawn = []
        for seed in (7, 8):
            record = ok("sample", folder / "net.safetensors", "--count", 3, "--seed", seed, *options)
            drawn.append(np.load(tmp_path / "s.npy"))
        assert record["evaluations"] == evaluations
        assert np.isfinite(drawn[0]).all()
        np.testing.assert_allclose(drawn[0][1:], drawn[1][:2], atol=1e-4)


def test_ddim_by_dpm_ot_starts_from_the_same_images_as_heun(folder: Path, tmp_path: Path) -> None:
    drawn = {}
    for sampler in ("heun", "ddim"):
        options = ["--potential", folder / "pot.safetensors", "--targets", folder / "images.npy"]
        options += ["--sampler", sampler, "--steps", 40, "--count", 5, "--out", tmp_path / "s.npy"]
        ok("sample", folder / "net.safetensors", *options)
        drawn[sampler] = np.load(tmp_path / "s.npy")
    np.testing.assert_allclose(drawn["heun"], drawn["ddim"], atol=0.05)  # one path, two solvers


def test_sample_refuses_what_needs_a_potential(folder: Path, tmp_path: Path) -> None:
    result = quietly("sample", folder / "net.safetensors", "--fresh", "--out", tmp_path / "s.npy")
    assert result.exit_code == 2
    assert "potential" in result.stderr


def test_sample_by_dpm_ot_refuses_other_images_than_those_fitted(folder: Path, tmp_path: Path) -> None:
    options = ["--potential", folder / "pot.safetensors", "--targets", folder / "held_out.npy"]
    result = quietly("sample", folder / "net.safetensors", *options, "--out", tmp_path / "s.npy")
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_potential_is_not_a_network(folder: Path, tmp_path: Path) -> None:
    result = quietly("sample", folder / "pot.safetensors", "--out", tmp_path / "s.npy")
    assert result.exit_code == 2
    assert "network file" in result.stderr


def test_evaluate_finds_copies_and_names_its_features(folder: Path, tmp_path: Path) -> None:
    options = ["--held-out", folder / "held_out.npy", "--labels", folder / "labels.npy"]
    record = ok(
        "evaluate", folder / "images.npy", folder / "images.npy", *options, "--out", tmp_path / "m.json"
    )
    metrics = record["metrics"]
    assert metrics["frechet_pixels"] == pytest.approx(0, abs=1e-6)
    assert (metrics["precision"], metrics["recall"]) == (1, 1)
    assert (metrics["nearest_ratio"], metrics["share_closer"]) == (0, 1)
    assert "perceptron" in record["features"]
    assert json.loads((tmp_path / "m.json").read_text())["metrics"] == metrics


def test_evaluate_without_labels_uses_the_raw_values(folder: Path) -> None:
    result = quietly("evaluate", folder / "held_out.npy", folder / "images.npy")
    assert result.exit_code == 0
    assert "the raw values" in result.stdout


def test_bench_agrees_with_torch_and_scipy() -> None:
    record = ok("bench", "--quick")
    assert record["assign"][0]["torch_agrees"] > 0.999
    assert record["pair"][0]["same_cost"] is True
