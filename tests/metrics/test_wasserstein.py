"""W₂² and its duality gap where the answer is known."""

import math

import brenier
import pytest
import torch
from brenier.data.noise import Stream, normal
from brenier.errors import InputError
from brenier.metrics import transport_cost, wasserstein


def noise(count: int, dim: int) -> torch.Tensor:
    return torch.as_tensor(normal(11, 0, count, dim, stream=Stream.SAMPLE))


def test_two_points_have_the_closed_form() -> None:
    # half of the noise goes to each of ±a·e₁: W₂² = d + a² − 2a·E|x₁|
    targets = torch.tensor([[1.5, 0.0, 0.0], [-1.5, 0.0, 0.0]])
    found = wasserstein(brenier.Potential.of(targets, torch.zeros(2)), noise(20000, 3))
    exact = 3 + 1.5**2 - 2 * 1.5 * math.sqrt(2 / math.pi)
    assert found.cost == pytest.approx(exact, abs=4 * found.cost_stderr)
    assert found.dual == pytest.approx(exact, abs=4 * found.dual_stderr)
    assert found.gap == pytest.approx(0, abs=1e-12)
    assert found.distance == pytest.approx(math.sqrt(found.dual))


def test_wrong_heights_lower_the_dual_and_open_a_gap() -> None:
    targets = torch.tensor([[1.5, 0.0, 0.0], [-1.5, 0.0, 0.0]])
    right = wasserstein(brenier.Potential.of(targets, torch.zeros(2)), noise(20000, 3))
    wrong = wasserstein(brenier.Potential.of(targets, torch.tensor([0.6, 0.0])), noise(20000, 3))
    assert wrong.dual < right.dual - 3 * wrong.dual_stderr
    # Σ(w_i − ν_i)·g_i with w = Φ(0.2), Φ(−0.2) and g = 2h + const
    excess = 0.5 * (1 + math.erf(0.2 / math.sqrt(2))) - 0.5
    assert wrong.gap == pytest.approx(excess * 1.2, abs=4 * wrong.gap_stderr)


def test_targets_without_mass_and_unequal_masses_count_as_they_should() -> None:
    targets = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [9.0, 9.0]])
    potential = brenier.Potential.of(targets, torch.tensor([0.3, 0.0, -math.inf]), [0.7, 0.3, 0.0])
    found = wasserstein(potential, noise(5000, 2))
    assert all(math.isfinite(value) for value in vars(found).values())


def test_a_fit_closes_the_gap_and_the_cost_is_that_of_the_map() -> None:
    targets = torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    potential = brenier.fit(targets, tol=0.01, progress=False).potential
    x = noise(20000, 6)
    found = wasserstein(potential, x)
    assert abs(found.gap) < 0.02 * found.dual
    assert found.cost == pytest.approx(transport_cost(x, potential=potential), rel=0.01)
    linprog = pytest.importorskip("ot")
    plan_cost = linprog.emd2([], [], linprog.dist(x[:2000].numpy(), targets.numpy()))
    assert found.dual == pytest.approx(plan_cost, rel=0.05)


def test_too_little_noise_is_refused() -> None:
    with pytest.raises(InputError, match="noise"):
        wasserstein(brenier.Potential.of(torch.eye(2), torch.zeros(2)), torch.zeros(1, 2))


def test_heights_of_minus_infinity_are_allowed_without_mass_only() -> None:
    targets = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    heights = torch.zeros(6, dtype=torch.float64).index_fill(0, torch.tensor([2]), -torch.inf)
    noise = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    with pytest.raises(InputError, match="heights"):
        wasserstein(brenier.Potential.of(targets, heights), noise)
    masses = torch.ones(6).index_fill(0, torch.tensor([2]), 0) / 5
    assert wasserstein(brenier.Potential.of(targets, heights, masses), noise).dual < 100
