"""Precision, recall and mode mixture by hand, whatever the blocks."""

import math

import pytest
import torch
from brenier.errors import InputError
from brenier.metrics import PrecisionRecall, distances, mode_mixture_ratio, precision_recall


def cloud(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


def test_identical_sets_have_precision_and_recall_one() -> None:
    assert precision_recall(cloud(50), cloud(50)) == PrecisionRecall(1.0, 1.0)


def test_far_sets_have_precision_and_recall_zero() -> None:
    assert precision_recall(cloud(50), cloud(50, 1) + 100) == PrecisionRecall(0.0, 0.0)


def test_half_right_samples_that_cover_one_of_two_modes() -> None:
    first, second = cloud(40), cloud(40, 1) + 100
    result = precision_recall(torch.cat([first, second]), torch.cat([first, cloud(40, 2) - 100]))
    assert result == PrecisionRecall(0.5, 0.5)


def test_balls_reach_the_kth_neighbour_and_are_closed() -> None:
    real = torch.tensor([[0.0], [1.0], [3.0], [6.0]])
    # with k = 2 the radii are 3, 2, 3, 5: the balls cover [-3, 11]; k = 1 gives 1, 1, 2, 3: [-1, 9]
    fake = torch.tensor([[11.0], [11.5], [-3.0], [-3.5]])
    assert precision_recall(real, fake, k=2).precision == 0.5
    assert precision_recall(real, fake, k=1).precision == 0.0


def test_copies_have_balls_of_radius_zero() -> None:
    real = torch.zeros(5, 2)
    fake = torch.cat([torch.zeros(4, 2), torch.full((4, 2), 1e-3)])
    assert precision_recall(real, fake).precision == 0.5


@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (7, 5), (16, 16), (17, 64)])
def test_blocks_do_not_change_the_answer(monkeypatch, rows: int, columns: int) -> None:
    real, fake = cloud(33), 0.5 * cloud(34, 1)
    expected = precision_recall(real, fake)
    nearest = torch.cdist(fake, real).sort(dim=1).values[:, :2].double()
    monkeypatch.setattr(distances, "ROWS", rows)
    monkeypatch.setattr(distances, "COLUMNS", columns)
    assert precision_recall(real, fake) == expected
    found = distances.nearest_distances(fake.double(), real.double(), 2)
    torch.testing.assert_close(found, nearest, rtol=1e-5, atol=1e-5)


def test_too_few_rows_and_an_unusable_k_are_refused() -> None:
    with pytest.raises(InputError, match="real"):
        precision_recall(cloud(3), cloud(10))
    with pytest.raises(InputError, match="fake"):
        precision_recall(cloud(10), cloud(3))
    with pytest.raises(InputError, match="k"):
        precision_recall(cloud(10), cloud(10), k=0)
    with pytest.raises(InputError, match="finite"):
        precision_recall(cloud(10), cloud(10) * math.nan)


def test_mode_mixture_counts_rows_with_two_likely_classes() -> None:
    rows = torch.tensor([[0.98, 0.01, 0.01], [0.80, 0.15, 0.05], [0.40, 0.30, 0.30], [0.90, 0.08, 0.02]])
    assert mode_mixture_ratio(rows) == 0.5
    assert mode_mixture_ratio(rows, threshold=0.25) == 0.25
    assert mode_mixture_ratio(torch.eye(4)) == 0
    assert mode_mixture_ratio(torch.tensor([[0.75, 0.25]]), threshold=0.25) == 1


@pytest.mark.parametrize(
    "rows", [torch.tensor([[0.5, 0.6]]), torch.tensor([[1.5, -0.5]]), torch.ones(3, 1), torch.zeros(0, 3)]
)
def test_what_is_not_a_table_of_probabilities_is_refused(rows: torch.Tensor) -> None:
    with pytest.raises(InputError, match="probabilities"):
        mode_mixture_ratio(rows)


@pytest.mark.parametrize("threshold", [0.0, 0.6, math.nan])
def test_an_unusable_threshold_is_refused(threshold: float) -> None:
    with pytest.raises(InputError, match="threshold"):
        mode_mixture_ratio(torch.eye(2), threshold)
