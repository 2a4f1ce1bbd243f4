"""The potential as a map, a file, and another library's dual."""

from pathlib import Path

import brenier
import numpy as np
import pytest
import torch
from brenier.errors import FileError, InputError
from helpers import known_answers as problems


@pytest.fixture(scope="module")
def potential() -> brenier.Potential:
    return brenier.fit(problems.image_like(80, 6) + 3, tol=0.1, progress=False).potential


NOISE = torch.randn(500, 6, generator=torch.Generator().manual_seed(8))


def test_the_map_is_the_argmax_and_the_value_the_maximum(potential: brenier.Potential) -> None:
    scores = NOISE.double() @ potential.targets.double().T + potential.heights
    assert torch.equal(potential.assign(NOISE), scores.argmax(1))
    assert torch.equal(potential.transport(NOISE), potential.targets[scores.argmax(1)])
    assert torch.allclose(potential.value(NOISE), scores.amax(1), atol=1e-4)


def test_image_shaped_noise_is_flattened(potential: brenier.Potential) -> None:
    assert torch.equal(potential.assign(NOISE.view(500, 2, 3)), potential.assign(NOISE))


def test_noise_of_another_dimension_is_refused(potential: brenier.Potential) -> None:
    with pytest.raises(InputError, match="d = 6"):
        potential.assign(torch.randn(3, 5))


@pytest.mark.parametrize("include_targets", [True, False])
def test_saving_and_loading_gives_the_same_map(
    potential: brenier.Potential, tmp_path: Path, include_targets: bool
) -> None:
    path = tmp_path / "potential.safetensors"
    potential.save(path, include_targets=include_targets)
    loaded = brenier.Potential.load(path, None if include_targets else potential.targets)
    assert torch.equal(loaded.heights, potential.heights)
    assert torch.equal(loaded.assign(NOISE), potential.assign(NOISE))
    assert loaded.info == potential.info
    assert list(tmp_path.iterdir()) == [path]


def test_other_targets_are_refused_with_both_fingerprints(
    potential: brenier.Potential, tmp_path: Path
) -> None:
    path = tmp_path / "potential.safetensors"
    potential.save(path, include_targets=False)
    with pytest.raises(InputError, match=r"fingerprint [0-9a-f]{16}.*fingerprint [0-9a-f]{16}"):
        brenier.Potential.load(path, potential.targets + 1)
    with pytest.raises(InputError, match="pass targets"):
        brenier.Potential.load(path)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "missing", "foreign"])
def test_a_damaged_file_is_an_error_not_a_potential(
    potential: brenier.Potential, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "potential.safetensors"
    potential.save(path)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-5] ^= 1
    path.write_bytes({"truncate": content[:-100], "empty": b"", "foreign": b"PK" * 99}.get(damage, content))
    if damage == "missing":
        path.unlink()
    with pytest.raises(FileError, match=r"potential\.safetensors"):
        brenier.Potential.load(path)


def test_changed_metadata_is_damage_too(potential: brenier.Potential, tmp_path: Path) -> None:
    path = tmp_path / "potential.safetensors"
    potential.save(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"samples", b"Samples", 1))
    with pytest.raises(FileError, match="damaged"):
        brenier.Potential.load(path)


@pytest.mark.parametrize("path", ["", 3, None])
def test_a_path_that_is_none_is_an_input_error(potential: brenier.Potential, path: object) -> None:
    with pytest.raises(InputError, match="path"):
        potential.save(path)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="path"):
        brenier.Potential.load(path)  # type: ignore[arg-type]


def test_an_unknown_device_is_an_input_error(potential: brenier.Potential) -> None:
    with pytest.raises(InputError, match="device"):
        potential.to("nowhere")


def test_bfloat16_targets_reach_numpy_as_float32(potential: brenier.Potential) -> None:
    coarse = brenier.Potential.of(potential.targets.bfloat16(), potential.heights)
    assert coarse.transport(NOISE.numpy()).dtype == np.float32


def test_an_unwritable_place_is_an_error(potential: brenier.Potential, tmp_path: Path) -> None:
    with pytest.raises(FileError):
        potential.save(tmp_path / "absent" / "potential.safetensors")


@pytest.mark.parametrize("cost", ["sqeuclidean", "half_sqeuclidean", "neg_dot"])
def test_duals_convert_there_and_back(potential: brenier.Potential, cost: str) -> None:
    back = brenier.Potential.from_dual_g(potential.dual_g(cost), potential.targets, cost=cost)
    assert torch.allclose(back.heights, potential.heights)


def test_pot_sends_noise_to_the_same_targets(potential: brenier.Potential) -> None:
    semidiscrete = pytest.importorskip("ot.semidiscrete", reason="POT is not installed")
    targets, noise = potential.targets.double().numpy(), NOISE.double().numpy()
    images = semidiscrete.semidiscrete_ot_map(targets, noise, potential.dual_g().numpy())
    assert np.allclose(images, potential.transport(NOISE).numpy())
    transform = semidiscrete.semidiscrete_c_transform(targets, noise, potential.dual_g().numpy())
    assert np.allclose(
        transform, (noise**2).sum(1) - 2 * potential.value(NOISE).numpy(), atol=1e-5
    )  # float32 centre


def test_a_dual_fitted_by_pot_becomes_the_same_map() -> None:
    semidiscrete = pytest.importorskip("ot.semidiscrete", reason="POT is not installed")
    targets = problems.image_like(20, 6)
    torch.manual_seed(0)
    g = semidiscrete.solve_semidiscrete(targets, "normal", max_iter=200)
    images = semidiscrete.semidiscrete_ot_map(targets, NOISE, g)
    assert torch.allclose(images, brenier.Potential.from_dual_g(g, targets).transport(NOISE), atol=1e-5)


@pytest.mark.parametrize("cost", ["sqeuclidean", "neg_dot"])
def test_ott_sends_noise_to_the_same_targets(potential: brenier.Potential, cost: str) -> None:
    costs = pytest.importorskip("ott.geometry.costs", reason="OTT-JAX is not installed")
    jax = pytest.importorskip("jax")
    kind = {"sqeuclidean": costs.SqEuclidean(), "neg_dot": costs.NegDotProduct()}[cost]
    matrix = np.asarray(kind.all_pairs(jax.numpy.asarray(NOISE), jax.numpy.asarray(potential.targets)))
    winners = (potential.dual_g(cost).numpy() - matrix).argmax(axis=1)
    assert (winners == potential.assign(NOISE).numpy()).mean() > 0.99  # JAX computes in float32


def test_a_wrong_dual_is_called_g(potential: brenier.Potential) -> None:
    with pytest.raises(InputError, match=r"^g: expected shape"):
        brenier.Potential.from_dual_g(torch.zeros(3), potential.targets)
