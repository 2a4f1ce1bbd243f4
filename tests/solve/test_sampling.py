"""Where fitting samples come from."""

import numpy as np
import pytest
import torch
from brenier.data.noise import Stream, normal, unit_vectors
from brenier.engine import assign
from brenier.solve.principal import principal_directions
from brenier.solve.sampling import FullSampler, SamplingPlan, SubspaceSampler, choose_sampling
from helpers import known_answers as problems
from helpers.memory import peak


def test_a_small_dimension_is_sampled_in_full() -> None:
    assert choose_sampling(1797, 64, 512, {0: 1.0}).full
    assert choose_sampling(10_000, 256, 1500, {0: 1.0, 16: 0.4}).full


def test_a_large_dimension_is_sampled_in_subspaces() -> None:
    assert choose_sampling(50_000, 3072, 7500, {0: 1.0}).subspace > 0
    assert choose_sampling(70_000, 196_608, 10_500, {0: 1.0}).cost < 196_608 / 20


def test_principal_directions_are_used_where_they_hold_the_variance() -> None:
    assert choose_sampling(50_000, 3072, 7500, {0: 1.0, 64: 0.1}).principal == 64
    assert choose_sampling(50_000, 3072, 7500, {0: 1.0, 64: 0.98}).principal == 0


def test_principal_axes_are_orthonormal_and_find_a_planted_plane() -> None:
    generator = torch.Generator().manual_seed(0)
    plane = torch.linalg.qr(torch.randn(300, 2, generator=generator)).Q.T
    targets = 10 * torch.randn(500, 2, generator=generator) @ plane + 0.1 * torch.randn(
        500, 300, generator=generator
    )
    principal = principal_directions(targets)
    gram = principal.axes.double() @ principal.axes.double().T
    assert torch.allclose(gram, torch.eye(len(gram), dtype=torch.float64), atol=1e-5)
    assert torch.linalg.norm(plane @ principal.axes[:2].T) == pytest.approx(2**0.5, abs=1e-3)
    assert principal.residuals[16] < 0.05


@pytest.mark.parametrize("apart", [0, 4])
def test_subspace_scores_are_scores_of_full_dimension_noise(apart: int) -> None:
    """Rebuild x = Vz + Aᵀc and compare ⟨x, y⟩ with the product of the drawn coordinates."""
    targets = problems.image_like(50, 30)
    principal = principal_directions(targets)
    sampler = SubspaceSampler(targets, SamplingPlan(8, apart, 0.0), principal, 5)
    sampler.begin(3)
    drawn = sampler.draw(100, 6)
    A = normal(5, 3 * 8, 8, 30, stream=Stream.SUBSPACE)
    c = unit_vectors(5, 100, 6, 8, stream=Stream.DIRECTION)
    x = c @ A
    if apart:
        V = principal.axes[:apart]
        x = c @ (A - A @ V.T @ V) + normal(5, 100, 6, apart, stream=Stream.FIT) @ V
    winners, scores = assign(drawn.noise, drawn.targets, return_scores=True)
    exact = x.double() @ targets.double().T
    assert torch.equal(winners, exact.argmax(1))
    assert torch.allclose(scores, exact.amax(1), atol=1e-4)


@pytest.mark.parametrize("apart", [0, 4])
def test_subspace_counts_are_unbiased_for_the_full_dimension(apart: int) -> None:
    targets = problems.image_like(12, 200)
    targets = targets - targets.mean(0)
    heights = torch.linspace(0, 1, 12)
    full = torch.zeros(12, dtype=torch.int64)
    draw = FullSampler(targets, 1).draw(0, 60_000)
    assign(draw.noise, draw.targets, heights, counts=full)
    sampler = SubspaceSampler(targets, SamplingPlan(32, apart, 0.0), principal_directions(targets), 2)
    per_subspace = []
    for step in range(150):
        sampler.begin(step)
        draw = sampler.draw(step * 400, 400)
        winners = assign(draw.noise, draw.targets, heights)
        per_subspace.append(np.bincount(winners.numpy(), minlength=12) / 400)
    mean, stderr = np.mean(per_subspace, axis=0), np.std(per_subspace, axis=0) / 150**0.5
    expected = full.numpy() / 60_000
    assert (np.abs(mean - expected) < 4.5 * np.hypot(stderr, (expected / 60_000) ** 0.5)).all()


def test_circles_of_a_subspace_run_through_orthogonal_unit_directions() -> None:
    """Then every point of the circle is uniform on the sphere, so its noise is exactly normal."""
    targets = problems.image_like(20, 60)
    sampler = SubspaceSampler(targets, SamplingPlan(7, 3, 0.0), principal_directions(targets), 5)
    sampler.begin(0)
    draw = sampler.draw_circles(10, 8).noise.double()
    pairs = draw[:, 3:].view(4, 2, 7)
    gram = pairs @ pairs.transpose(1, 2)
    assert torch.allclose(gram, torch.eye(2, dtype=torch.float64).expand(4, 2, 2), atol=1e-6)
    assert torch.equal(draw[:, :3].float(), sampler.draw(10, 8).noise[:, :3])
    full = FullSampler(targets, 5)
    assert torch.equal(full.draw_circles(10, 8).noise, full.draw(10, 8).noise)


def test_a_pass_goes_before_the_next_one_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No view of its coordinates may keep it: streamed fits plan for one pass, of gigabytes."""
    monkeypatch.setattr("brenier.solve.streamed.TILE_VALUES", 1 << 18)
    targets, ahead = problems.image_like(4000, 40), 128
    sampler = SubspaceSampler(targets, SamplingPlan(32, 0, 0.0), None, 5, ahead=ahead)
    sampler.begin(0)
    peak()
    before = peak()
    sampler.begin(ahead)
    assert peak() - before < 0.5 * 4 * 4000 * 32 * ahead
