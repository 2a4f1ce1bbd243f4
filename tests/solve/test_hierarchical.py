"""Maps of two levels: the masses are right, parts of any kind are taken, and what is not theirs is refused."""

from pathlib import Path

import brenier
import numpy as np
import pytest
import torch
from brenier.data.noise import Stream, normal
from brenier.errors import FileError, InputError, NotConvergedWarning
from brenier.metrics import transport_cost
from brenier.solve import HierarchicalPotential, hierarchical, hierarchical_potential, solver
from brenier.solve.check import chi_square
from brenier.solve.hierarchical import joined_problem
from brenier.solve.parts import divide, grouped
from brenier.solve.result import Record
from helpers import known_answers as problems

CLOUD = problems.image_like(401, 24)


def fitted(targets: object = CLOUD, **options: object) -> brenier.FitResult:
    return brenier.fit_hierarchical(targets, **({"tol": 0.1, "progress": False} | options))


def error_of(potential: brenier.Potential, masses: np.ndarray, samples: int = 20_000) -> tuple[float, float]:
    """χ² of the whole map on noise that no fit has seen."""
    noise = normal(99, 0, samples, potential.targets.shape[1], stream=Stream.SAMPLE)
    return chi_square(np.bincount(potential.assign(noise), minlength=len(masses)), masses)


def test_all_cells_have_their_masses_by_an_independent_count() -> None:
    weights = np.linspace(1, 3, 401)
    result = fitted(weights=weights)
    assert result.converged
    assert isinstance(result.potential, HierarchicalPotential)
    error, stderr = error_of(result.potential, weights / weights.sum())
    assert error < 0.1 + 2 * stderr
    assert abs(error - result.error) < 4 * np.hypot(stderr, result.error_stderr)


def test_on_a_line_the_map_of_two_levels_is_the_optimal_one() -> None:
    """Contiguous parts of a line nest, so cells are the intervals between quantiles."""
    y, _, _ = problems.line(12)
    potential = fitted(y, parts=np.arange(12) // 3, tol=0.02).potential
    noise = torch.linspace(-2.5, 2.5, 5001)[:, None]
    winners = potential.assign(noise)
    assert (winners.diff() >= 0).all()
    expected = torch.special.ndtr(noise[:, 0].double()).mul(12).long()
    assert (winners - expected).abs().max() <= 1
    assert (winners == expected).float().mean() > 0.9


def test_the_winner_is_the_best_of_the_best_part() -> None:
    potential = fitted().potential
    noise = normal(5, 0, 300, 24, stream=Stream.SAMPLE)
    part = potential.coarse.assign(noise)
    scores = noise.double() @ (CLOUD.double() - CLOUD.double().mean(0)).T + potential.heights
    own = potential.coarse.targets.double()[part] - CLOUD.double().mean(0)
    scores -= (noise.double() * own).sum(1, keepdim=True)
    scores[potential.parts[None, :] != part[:, None]] = -torch.inf
    assert torch.equal(potential.parts[potential.assign(noise)], part)
    # heights are relative to their part's centroid: any shift common to a part changes no winner
    assert (scores.argmax(1) == potential.assign(noise)).float().mean() > 0.99
    assert torch.equal(potential.transport(noise), CLOUD[potential.assign(noise)])


def test_the_cost_lies_between_that_of_the_optimal_and_of_the_independent_pairs() -> None:
    noise = normal(6, 0, 5000, 24, stream=Stream.SAMPLE)
    optimal = transport_cost(noise, potential=brenier.fit(CLOUD, tol=0.1, progress=False).potential)
    levels = transport_cost(noise, potential=fitted().potential)
    independent = transport_cost(noise, torch.arange(5000) % 401, CLOUD)
    assert optimal < levels < optimal + 0.3 * (independent - optimal)


@pytest.mark.parametrize("parts", [1, 2, 7, 60, np.arange(60) % 4, torch.arange(60) // 59 + 5])
def test_any_parts_will_do(parts: object) -> None:
    """Also a part of one target, one part of all, and n parts."""
    result = fitted(CLOUD[:60], parts=parts)
    assert result.converged
    error, stderr = error_of(result.potential, np.full(60, 1 / 60))
    assert error < 0.1 + 3 * stderr


def test_duplicates_share_the_first_ones_cell_and_massless_targets_never_win() -> None:
    targets = torch.cat([CLOUD[:50], CLOUD[:10], CLOUD[50:60]])
    weights = torch.ones(70)
    weights[60:] = 0
    potential = fitted(targets, weights=weights, parts=6).potential
    won = np.bincount(potential.assign(normal(3, 0, 20_000, 24, stream=Stream.SAMPLE)), minlength=70) / 20_000
    assert won[50:].sum() == 0
    assert won[:10].sum() == pytest.approx(20 / 60, abs=0.04)
    assert (potential.parts[60:] == -1).all()


def test_parts_with_one_centroid_become_one() -> None:
    cross = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    result = fitted(cross, parts=[0, 0, 1, 1])
    assert result.potential.info["parts"] == 1
    assert result.converged


def test_heights_do_not_depend_on_threads_or_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    first = fitted()
    monkeypatch.setenv("BRENIER_NUM_THREADS", "1")
    monkeypatch.setattr("brenier.solve.conditional.NOISE_VALUES", 24 * 1001)
    monkeypatch.setattr("brenier.solve.conditional.FIRST_ROWS", 17)
    monkeypatch.setattr("brenier.solve.conditional.ENTRIES", 100)
    second = fitted()
    assert torch.equal(first.potential.heights, second.potential.heights)
    assert first.checks == second.checks


def test_an_interrupted_fit_resumes_with_the_same_bits(tmp_path: Path) -> None:
    def stop(record: Record) -> None:
        if record.samples > 1500:
            raise KeyboardInterrupt

    with pytest.warns(NotConvergedWarning):
        fitted(checkpoint=tmp_path / "state", callback=stop)
    resumed = fitted(checkpoint=tmp_path / "state", resume=True)
    assert torch.equal(resumed.potential.heights, fitted().potential.heights)


def test_a_file_gives_the_same_map_and_is_no_plain_potential(tmp_path: Path) -> None:
    potential, noise = fitted().potential, normal(4, 0, 99, 24, stream=Stream.SAMPLE)
    for whole in (True, False):
        potential.save(tmp_path / "p.safetensors", include_targets=whole)
        loaded = HierarchicalPotential.load(tmp_path / "p.safetensors", None if whole else CLOUD)
        assert torch.equal(loaded.assign(noise), potential.assign(noise))
    with pytest.raises(FileError, match="hierarchy"):
        brenier.Potential.load(tmp_path / "p.safetensors")
    with pytest.raises(InputError, match="fingerprint"):
        HierarchicalPotential.load(tmp_path / "p.safetensors", CLOUD + 1)


def test_what_needs_a_convex_function_is_refused() -> None:
    potential = fitted(CLOUD[:30]).potential
    for call in (lambda: potential.value(CLOUD), potential.dual_g, potential.prepared):
        with pytest.raises(InputError, match="two levels"):
            call()


@pytest.mark.parametrize(
    ("parts", "match"),
    [(0, "parts"), (402, "parts"), (True, "parts"), (np.zeros(7, int), "parts"), (np.zeros(401), "parts")],
)
def test_parts_that_cannot_be_are_refused(parts: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        fitted(parts=parts)


def test_targets_that_are_not_in_memory_are_refused() -> None:
    with pytest.raises(InputError, match="tensor or an array"):
        fitted("latents.npy")
    with pytest.raises(InputError, match="at least one"):
        fitted(CLOUD[:0])
    with pytest.raises(InputError, match="max_memory"):
        fitted(max_memory=1 << 20)


def test_parts_cover_the_targets_once_and_keep_their_masses() -> None:
    weights = np.arange(401.0)
    parts = divide(CLOUD, weights, None, 0)
    problem = joined_problem(parts, 401)
    assert sorted(np.concatenate(parts.rows).tolist()) == list(range(1, 401))
    assert parts.labels[0] == -1
    assert np.allclose(problem.masses[problem.members[1:]], weights[1:] / weights.sum())
    assert parts.masses.sum() == pytest.approx(1)


def test_grouping_keeps_order_and_leaves_out_negatives() -> None:
    found = grouped(np.array([2, -1, 0, 2, 0]))
    assert [(label, rows.tolist()) for label, rows in found] == [(0, [2, 4]), (2, [0, 3])]
    assert grouped(np.array([], dtype=np.int64)) == []


def test_k_means_in_many_dimensions_leaves_no_part_with_one_target() -> None:
    targets = torch.randn(2500, 300, generator=torch.Generator().manual_seed(3))
    targets *= torch.arange(1.0, 301).pow(-0.5)
    sizes = divide(targets, None, None, 0).sizes
    assert len(sizes) == 50
    assert sizes.min() > 5
    assert sizes.max() < 150


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.filterwarnings("error")
def test_ctrl_c_in_the_first_level_ends_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "advance", stopped)
    monkeypatch.setattr(hierarchical, "joined_problem", lambda *_: pytest.fail("the second level began"))
    with pytest.raises(KeyboardInterrupt):
        fitted()


def test_a_checkpoint_over_another_upper_level_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, whole = tmp_path / "state", hierarchical.upper_level
    with pytest.warns(NotConvergedWarning):
        fitted(checkpoint=file, callback=stopped)

    def other(*given: object) -> brenier.Potential:
        upper = whole(*given)  # type: ignore[arg-type]
        upper.heights[0] += 1e-9
        return upper

    monkeypatch.setattr(hierarchical, "upper_level", other)
    with pytest.raises(InputError, match=r"upper level = .*parts"):
        fitted(checkpoint=file, resume=True)


def test_ctrl_c_while_levels_are_packed_leaves_none_and_the_next_call_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    potential, noise = fitted().potential, normal(8, 0, 50, 24, stream=Stream.SAMPLE)
    expected, packed, pack = potential.assign(noise), [], hierarchical_potential.prepare
    potential._prepared.clear()

    def interrupted(*given: object, **options: object) -> object:
        packed.append(1)
        return stopped() if len(packed) == 3 else pack(*given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(hierarchical_potential, "prepare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        potential.assign(noise)
    assert potential._prepared == []
    assert torch.equal(potential.assign(noise), expected)
