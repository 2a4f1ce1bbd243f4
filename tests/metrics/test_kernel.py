"""The kernel distance against the double sum, known moments, and no bias."""

import math

import pytest
import torch
from brenier.errors import InputError
from brenier.metrics import distances, kernel, kernel_distance


def cloud(count: int, seed: int, dim: int = 5) -> torch.Tensor:
    return torch.randn(count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_hand(x: torch.Tensor, y: torch.Tensor) -> float:
    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return (float(a @ b) / len(a) + 1) ** 3

    def inside(z: torch.Tensor) -> float:
        n = len(z)
        return sum(k(z[i], z[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))

    across = sum(k(a, b) for a in x for b in y) / (len(x) * len(y))
    return inside(x) + inside(y) - 2 * across


@pytest.mark.parametrize(("rows", "others"), [(2, 2), (2, 7), (13, 8)])
def test_it_is_the_double_sum(rows: int, others: int) -> None:
    x, y = cloud(rows, 1), 1 + cloud(others, 2)
    assert kernel_distance(x, y).value == pytest.approx(by_hand(x, y), rel=1e-10)


def test_a_linear_kernel_gives_the_squared_distance_of_the_means() -> None:
    x, y = cloud(4000, 1), cloud(4000, 2) + 2
    found = kernel_distance(x, y, degree=1, gamma=1.0, coef=0.0)
    assert abs(found.value - 5 * 4) < 4 * found.stderr
    assert found.stderr < 0.3


@pytest.mark.parametrize("rows", [1, 3, 16, 17])
def test_blocks_do_not_change_it(monkeypatch, rows: int) -> None:
    x, y = cloud(17, 1), cloud(16, 2)
    expected = kernel_distance(x, y)
    monkeypatch.setattr(kernel, "ROWS", rows)
    found = kernel_distance(x, y)
    assert found.value == pytest.approx(expected.value, abs=1e-12)
    assert found.stderr == pytest.approx(expected.stderr)


def test_it_is_unbiased_and_its_error_is_that_of_repetitions() -> None:
    same = [kernel_distance(cloud(60, s), cloud(60, 1000 + s)) for s in range(150)]
    values = torch.tensor([found.value for found in same])
    assert abs(values.mean()) < 3 * values.std() / 150**0.5  # signs of both kinds
    apart = [kernel_distance(cloud(200, s), 0.5 + cloud(200, 1000 + s)) for s in range(100)]
    spread = torch.tensor([found.value for found in apart]).std().item()
    claimed = sum(found.stderr for found in apart) / 100
    assert claimed == pytest.approx(spread, rel=0.3)


def test_the_block_size_is_shared() -> None:
    assert kernel.ROWS == distances.ROWS


@pytest.mark.parametrize("bad", [torch.zeros(1, 5), torch.zeros(3, 4), torch.full((3, 5), math.nan)])
def test_unusable_features_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(InputError, match="fake"):
        kernel_distance(cloud(3, 0), bad)


def test_torchmetrics_agrees_where_it_is_installed() -> None:
    image = pytest.importorskip("torchmetrics.image.kid")
    x, y = cloud(50, 1).float(), 1 + cloud(50, 2).float()
    theirs = image.poly_mmd(x, y, degree=3, gamma=None, coef=1.0)
    assert kernel_distance(x, y).value == pytest.approx(theirs.item(), rel=1e-4)
