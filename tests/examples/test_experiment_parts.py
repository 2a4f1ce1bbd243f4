"""What the experiments rest on: exact cells, peers' samplers, tables, and commands that run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from brenier.data.noise import Stream, normal
from brenier.diffusion import edm_sigmas
from brenier.engine import assign
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "examples" / "experiments"


@pytest.fixture(autouse=True)
def beside_the_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))


def targets_and_heights() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(12, 2, generator=generator), 0.3 * torch.randn(12, generator=generator)


def test_polygon_masses_are_the_shares_of_winners() -> None:
    from power_diagram import gaussian_mass, power_diagram

    targets, heights = targets_and_heights()
    cells = power_diagram(targets.double().numpy(), heights.double().numpy(), 9.0)
    masses = np.array([gaussian_mass(cell.corners) for cell in cells])
    assert masses.sum() == pytest.approx(1, abs=1e-9)
    noise = torch.as_tensor(normal(5, 0, 200_000, 2, stream=Stream.CHECK))
    counts = torch.bincount(assign(noise, targets, heights), minlength=12).numpy() / len(noise)
    assert np.abs(counts - masses).max() < 5 * (0.25 / len(noise)) ** 0.5


def test_a_point_inside_a_polygon_is_won_by_its_target_and_edges_are_shared() -> None:
    from power_diagram import power_diagram

    targets, heights = targets_and_heights()
    cells = power_diagram(targets.double().numpy(), heights.double().numpy(), 4.0)
    area = 0.0
    for number, cell in enumerate(cells):
        if len(cell.corners):
            middle = torch.as_tensor(cell.corners.mean(axis=0, keepdims=True)).float()
            assert assign(middle, targets, heights).item() == number
            x, y = cell.corners.T
            area += abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
        for other, edge in cell.neighbours.items():
            np.testing.assert_allclose(
                np.sort(edge, 0), np.sort(cells[other].neighbours[number], 0), atol=1e-9
            )
    assert area == pytest.approx(64)


@pytest.mark.parametrize("name", ["sample_ddim", "sample_dpm_solver"])
def test_peers_reach_the_exact_end_of_a_gaussians_paths_with_their_order(name: str) -> None:
    import other_samplers

    def gaussian(x: Tensor, sigma: float) -> Tensor:
        return x * 0.25 / (0.25 + sigma**2)

    start = 20 * torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    exact = start * 0.5 / (0.25 + 400) ** 0.5

    def error(steps: int) -> float:
        return float(
            (getattr(other_samplers, name)(gaussian, start, edm_sigmas(steps, 0.002, 20.0)) - exact)
            .abs()
            .mean()
        )

    order = np.log2(error(20) / error(40))
    assert order > (1.6 if name == "sample_dpm_solver" else 0.85)
    assert error(80) < 0.02


def test_patches_are_cut_from_both_photographs_without_overlap() -> None:
    import lab

    images, labels = lab.patches()
    assert images.shape[1] == 64
    assert len(images) == len(labels) > 2000
    assert sorted(set(labels.tolist())) == [0, 1]
    assert images.abs().max() <= 1


def test_the_page_can_be_written_from_the_committed_records(tmp_path: Path) -> None:
    import lab

    (tmp_path / "experiments").mkdir()
    for file in (ROOT / "docs" / "experiments").glob("*.json"):
        (tmp_path / "experiments" / file.name).write_bytes(file.read_bytes())
    lab.write_page(tmp_path)
    assert (tmp_path / "experiments.md").read_text() == (ROOT / "docs" / "experiments.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["e1_couplings", "e2_dpm_ot", "e3_map", "e4_recipes"])
def test_every_experiment_runs(tmp_path: Path, name: str) -> None:
    command = [
        sys.executable,
        str(EXPERIMENTS / f"{name}.py"),
        "--quick",
        "--seeds",
        "0",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"python examples/experiments/{name}.py" in (tmp_path / "experiments.md").read_text()
