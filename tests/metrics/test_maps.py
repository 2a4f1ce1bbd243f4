"""The marginal error is unbiased with an honest standard error; the cost is the plain mean."""

import numpy as np
import pytest
import torch
from brenier.errors import InputError
from brenier.metrics import marginal_error, transport_cost


def repeated(
    masses: np.ndarray, weights: np.ndarray | None, samples: int, times: int
) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    drawn = [marginal_error(rng.multinomial(samples, masses), weights) for _ in range(times)]
    return np.array([result.chi_square for result in drawn]), np.array([result.stderr for result in drawn])


@pytest.mark.parametrize("samples", [30, 400])
def test_right_masses_have_error_zero_in_mean(samples: int) -> None:
    masses = np.linspace(1, 3, 40) / 80
    errors, stderrs = repeated(masses, masses, samples, 2000)
    assert abs(errors.mean()) < 4 * errors.std() / 2000**0.5
    assert 0.95 * errors.std() < stderrs.mean() < 2 * errors.std()  # on the safe side


def test_wrong_masses_have_their_chi_square_in_mean() -> None:
    weights = np.full(40, 1 / 40)
    masses = weights * np.linspace(0.2, 1.8, 40)
    truth = (masses**2 / weights).sum() - 1
    errors, stderrs = repeated(masses, None, 1000, 2000)
    assert abs(errors.mean() - truth) < 4 * errors.std() / 2000**0.5
    assert 0.95 * errors.std() < stderrs.mean() < 2 * errors.std()  # on the safe side


def test_it_is_the_formula() -> None:
    result = marginal_error(torch.tensor([2, 1, 3]), torch.tensor([1.0, 1.0, 2.0]))
    assert result.chi_square == pytest.approx((2 * 1 / 0.25 + 3 * 2 / 0.5) / (6 * 5) - 1)
    assert result.samples == 6


def test_a_target_without_mass_may_not_win() -> None:
    assert marginal_error(torch.tensor([3, 0]), torch.tensor([1.0, 0.0])).chi_square == 0
    assert marginal_error(torch.tensor([3, 1]), torch.tensor([1.0, 0.0])).chi_square == float("inf")


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        (torch.tensor([1, 0]), None),
        (torch.tensor([5.0, 5.0]), None),
        (torch.tensor([5, -5]), None),
        (torch.tensor([5, 5]), torch.ones(3)),
        (torch.tensor([5, 5]), torch.tensor([1.0, -1.0])),
        (torch.tensor([5, 5]), torch.zeros(2)),
        (torch.tensor([5, 5]), torch.tensor([1.0, torch.nan])),
        (torch.zeros(0, dtype=torch.int64), None),
    ],
)
def test_unusable_counts_and_weights_are_refused(counts: torch.Tensor, weights: torch.Tensor | None) -> None:
    with pytest.raises(InputError):
        marginal_error(counts, weights)


class Doubling:
    """A map with a known cost."""

    def transport(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def test_the_cost_is_the_mean_squared_distance() -> None:
    x, y = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 4.0], [1.0, 1.0]])
    assert transport_cost(x, torch.tensor([0, 1]), y) == 12.5
    assert transport_cost(x, potential=Doubling()) == 1.0


def test_an_incomplete_or_wrong_map_is_refused() -> None:
    x = torch.zeros(2, 2)
    for arguments in ((x,), (x, torch.tensor([0, 1])), (x[:0], torch.zeros(0, dtype=torch.int64), x)):
        with pytest.raises(InputError, match="arguments"):
            transport_cost(*arguments)
    with pytest.raises(InputError, match="indices"):
        transport_cost(x, torch.tensor([0, 2]), x)
    with pytest.raises(InputError, match="targets"):
        transport_cost(x, torch.tensor([0]), x)
    with pytest.raises(InputError, match="arguments"):
        transport_cost(x, torch.tensor([0, 1]), x, potential=Doubling())
