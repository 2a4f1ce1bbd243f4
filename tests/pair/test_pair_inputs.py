"""Labels and magnitudes that pair cannot take are input errors about what the caller passed."""

import brenier
import numpy as np
import pytest
import torch
from brenier.errors import InputError

DATA = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
NOISE = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "labels",
    [
        [None] * 3 + [1] * 3,
        [[1], [1, 2], 3, 4, 5, 6],
        torch.zeros(6, device="meta"),
        torch.zeros(6).to_sparse(),
        torch.zeros(6, dtype=torch.complex64),
        np.ma.masked_array(np.zeros(6), [1, 0, 0, 0, 0, 0]),
        np.array([np.datetime64("NaT")] * 6),
        np.array([0.0, np.nan, 0, 0, 0, 0], object),
        torch.full((6,), torch.nan, dtype=torch.bfloat16),
        "labels",
        7,
    ],
)
def test_labels_that_are_no_classes_are_an_input_error(labels: object) -> None:
    with pytest.raises(InputError, match=r"^labels: expected .*, got .*; .+"):
        brenier.pair(DATA, NOISE, labels=labels)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool, torch.uint16, torch.int64])
def test_labels_of_every_real_type_are_classes(dtype: torch.dtype) -> None:
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    expected = brenier.pair(DATA, NOISE, labels=labels).permutation
    assert torch.equal(brenier.pair(DATA, NOISE, labels=labels.to(dtype)).permutation, expected)


@pytest.mark.parametrize(("of_data", "of_noise"), [(1e30, 1e30), (1e25, 1e-5), (1e38, 1.0)])
def test_overflowing_products_are_about_data_and_noise(of_data: float, of_noise: float) -> None:
    with pytest.raises(InputError, match=r"^data and noise: expected .* that float32 holds"):
        brenier.pair(DATA * of_data, NOISE * of_noise)
    double = brenier.pair((DATA * of_data).double(), (NOISE * of_noise).double())
    assert np.isfinite(double.cost)


def test_a_wrong_number_of_threads_is_not_blamed_on_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", "none")
    with pytest.raises(InputError, match="BRENIER_NUM_THREADS"):
        brenier.pair(DATA, NOISE)
