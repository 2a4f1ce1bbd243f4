"""Targets that are streamed: the promises of fit hold, and only tiles are ever in memory."""

from pathlib import Path

import brenier
import numpy as np
import pytest
import torch
from brenier.data import ArraySource, NoisedLatents, open_source
from brenier.data.noise import Stream, normal
from brenier.engine import assign
from brenier.errors import InputError, NotConvergedWarning
from brenier.solve import fitting, memory, streamed
from brenier.solve.check import chi_square
from brenier.solve.first_pass import streamed_problem
from brenier.solve.problem import build_problem
from brenier.solve.streamed_potential import StreamedPotential
from brenier.solve.subspace_check import chi_square_across, plan_check
from helpers import known_answers as problems
from helpers.stopping import Stop

TARGETS = problems.image_like(203, 700)


@pytest.fixture(autouse=True)
def streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small sources are streamed too, in several tiles."""
    monkeypatch.setattr(fitting, "must_stream", lambda *_: True)
    monkeypatch.setattr(streamed, "TILE_VALUES", 700 * 64)
    monkeypatch.setattr("brenier.solve.centring.BLOCK_VALUES", 700 * 8)


def source(targets: torch.Tensor = TARGETS) -> NoisedLatents:
    return NoisedLatents(ArraySource(targets), sigma=0.2, seed=3)


def fitted(targets: torch.Tensor = TARGETS, **options: object) -> brenier.FitResult:
    return brenier.fit(source(targets), tol=0.1, progress=False, **options)


def test_a_streamed_fit_converges_by_the_count_of_independent_full_samples() -> None:
    result = fitted()
    assert result.converged
    assert result.sampling.startswith("subspace")
    matrix = source().materialise().double()
    centred = (matrix - matrix.mean(0)).float()
    counts = torch.zeros(len(centred), dtype=torch.int64)
    noise = normal(99, 0, 20_000, 700, stream=Stream.SAMPLE)
    assign(noise, centred, result.potential.heights, counts=counts)
    error, stderr = chi_square(counts.numpy(), np.full(203, 1 / 203))
    assert error < 0.1 + 2 * stderr
    assert abs(error - result.error) < 4 * np.hypot(stderr, result.error_stderr)


@pytest.mark.parametrize(("d", "kind"), [(700, "subspace"), (1100, "structured")])
def test_heights_do_not_depend_on_tiles_passes_or_threads(
    d: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = problems.image_like(203, d)
    first = fitted(targets, max_memory=1 << 30)
    monkeypatch.setattr(streamed, "TILE_VALUES", d * 17)
    monkeypatch.setattr(memory, "MOST_COLUMNS", 256)
    monkeypatch.setenv("BRENIER_NUM_THREADS", "1")
    second = fitted(targets)
    assert torch.equal(first.potential.heights, second.potential.heights)
    assert first.checks == second.checks
    assert kind in first.sampling
    assert "passes" in first.traffic


def test_mean_and_norms_are_those_of_the_matrix() -> None:
    problem = streamed_problem(source(), None, 32)
    whole = build_problem(source().materialise())
    assert np.allclose(problem.centre, whole.centre, atol=1e-6)
    assert np.allclose(problem.norms, whole.norms, rtol=1e-6)
    rows = problem.targets[torch.tensor([5, 200, 6])]
    assert torch.allclose(rows, whole.targets[[5, 200, 6]], atol=1e-6)


def test_a_killed_fit_resumes_with_the_same_bits_and_refuses_other_targets(tmp_path: Path) -> None:
    path, unbroken = tmp_path / "fit.checkpoint", fitted()
    with pytest.warns(NotConvergedWarning):
        fitted(checkpoint=path, callback=Stop(1500))
    other = NoisedLatents(ArraySource(TARGETS), sigma=0.2, seed=4)
    with pytest.raises(InputError, match=r"targets = [0-9a-f]{32}.*got [0-9a-f]{32}"):
        brenier.fit(other, tol=0.1, progress=False, checkpoint=path, resume=True)
    resumed = fitted(checkpoint=path, resume=True)
    assert torch.equal(resumed.potential.heights, unbroken.potential.heights)
    assert (resumed.samples, resumed.checks) == (unbroken.samples, unbroken.checks)


def test_a_checkpoint_of_streamed_targets_is_not_resumed_in_memory_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for there in (True, False):
        path = tmp_path / f"streamed {there}"
        with pytest.warns(NotConvergedWarning):
            fitted(checkpoint=path, callback=Stop(1500))
        monkeypatch.setattr(fitting, "must_stream", lambda *_, there=there: not there)
        expected = (
            "expected targets in memory.*got streamed" if there else "expected streamed.*got targets in"
        )
        with pytest.raises(
            InputError, match=expected + ".*perhaps the same ones; resume with the max_memory"
        ):
            fitted(checkpoint=path, resume=True)


def test_the_potential_answers_like_one_in_memory(tmp_path: Path) -> None:
    with pytest.warns(NotConvergedWarning):
        potential = fitted(max_samples=2000).potential
    matrix, noise = source().materialise(), normal(7, 0, 40, 700, stream=Stream.SAMPLE)
    whole = brenier.Potential.of(matrix, potential.heights)
    winners = potential.assign(noise)
    assert torch.equal(winners, whole.assign(noise))
    assert torch.equal(potential.transport(noise), matrix[winners])
    assert torch.allclose(potential.value(noise), whole.value(noise), rtol=1e-5)
    assert torch.allclose(potential.dual_g(), whole.dual_g(), rtol=1e-5)
    potential.save(tmp_path / "p.safetensors")
    loaded = StreamedPotential.load(tmp_path / "p.safetensors", source())
    assert torch.equal(loaded.assign(noise), winners)
    with pytest.raises(InputError, match="fingerprint"):
        StreamedPotential.load(tmp_path / "p.safetensors", ArraySource(TARGETS))


def test_a_file_is_streamed_and_weights_are_met(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", TARGETS.numpy())
    weights = np.linspace(1, 2, 203)
    result = brenier.fit(tmp_path / "x.npy", weights=weights, tol=0.1, progress=False)
    assert result.converged
    assert isinstance(result.potential, StreamedPotential)
    assert np.allclose(result.potential.masses.numpy(), weights / weights.sum())
    result.potential.save(tmp_path / "p.safetensors")
    loaded = StreamedPotential.load(tmp_path / "p.safetensors", open_source(tmp_path / "x.npy"))
    assert torch.equal(loaded.heights, result.potential.heights)


@pytest.mark.parametrize("rows", [1, 2, 8, 9])
def test_few_targets_are_streamed_as_well(rows: int) -> None:
    result = brenier.fit(open_source(TARGETS[:rows]), tol=0.2, progress=False)
    assert result.converged
    assert torch.isfinite(result.potential.heights).all()


def test_bad_sources_and_too_little_memory_are_refused() -> None:
    bad = TARGETS.clone()
    bad[150, 3] = torch.nan
    with pytest.raises(InputError, match="nan"):
        brenier.fit(ArraySource(bad), progress=False)
    with pytest.raises(InputError, match="> 0"):
        brenier.fit(source(), weights=np.arange(203), progress=False)
    with pytest.raises(InputError, match="max_memory: expected at least"):
        fitted(max_memory=1 << 20)
    with pytest.raises(InputError, match="at least one target"):
        brenier.fit(ArraySource(TARGETS[:0]), progress=False)


def test_the_progress_line_shows_what_bounds_the_speed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(NotConvergedWarning):
        brenier.fit(source(), tol=0.1, max_samples=1500)
    shown = capfd.readouterr().err
    assert "streamed" in shown
    assert "GFLOP/s" in shown


def test_pairs_across_subspaces_are_unbiased_where_pairs_inside_are_not() -> None:
    """Counts whose masses vary from subspace to subspace: the classic estimate sees that as error."""
    generator = np.random.default_rng(0)
    masses = np.full(40, 1 / 40)
    truth = masses * np.linspace(0.8, 1.2, 40)
    exact = float(((truth - masses) ** 2 / masses).sum())
    errors, stderrs, naive = [], [], []
    for _ in range(200):
        shaken = truth * generator.gamma(10.0, 0.1, (16, 40))
        counts = generator.poisson(100 * 40 / 16 * shaken)
        error, stderr = chi_square_across(counts, masses)
        errors.append(error)
        stderrs.append(stderr)
        naive.append(chi_square(counts.sum(0), masses)[0])
    spread = float(np.std(errors))
    assert abs(np.mean(errors) - exact) < 4 * spread / 200**0.5
    assert np.mean(naive) - exact > 2 * spread / 200**0.5
    assert 0.9 * spread < np.mean(stderrs) < 1.4 * spread


def test_a_check_projects_on_few_directions_and_takes_more_subspaces_where_samples_are_correlated() -> None:
    near, far = plan_check(70_000, 0.05, 0.3, 256), plan_check(70_000, 0.05, 1.0, 256)
    assert (near.groups, near.subspace) == (16, 32)
    assert far.groups * far.subspace > 16 * 32
    assert min(near.groups, far.groups) >= 16
    few = plan_check(1000, 0.05, 0.2, 64)
    assert few.groups * few.samples >= 9000
    assert few.subspace <= 64
