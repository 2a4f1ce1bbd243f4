"""Pairing data with noise."""

import brenier
import numpy as np
import pytest
import torch
from brenier.errors import InputError
from brenier.pair import PairingStatus
from scipy.optimize import linear_sum_assignment


def drawn(count: int, shape: tuple[int, ...], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    data = torch.rand(count, *shape, generator=source) + 5  # far from centred
    return data, torch.randn(count, *shape, generator=source)


def squared_distances(data: torch.Tensor, noise: torch.Tensor) -> np.ndarray:
    return torch.cdist(data.double().flatten(1), noise.double().flatten(1)).square().numpy()


@pytest.mark.parametrize("count", [1, 2, 31, 150])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4, 4)])
def test_the_mean_squared_distance_is_the_smallest(count: int, shape: tuple[int, ...]) -> None:
    data, noise = drawn(count, shape)
    pairing = brenier.pair(data, noise)
    distances = squared_distances(data.reshape(count, -1), noise.reshape(count, -1))
    best = distances[linear_sum_assignment(distances)].mean()
    assert pairing.cost == pytest.approx(best, rel=1e-6)
    assert pairing.cost == pytest.approx(
        (data.double() - noise[pairing.permutation].double()).square().sum().item() / count
    )
    assert pairing.cost_before == pytest.approx(distances.diagonal().mean())
    assert pairing.cost <= pairing.cost_before + 1e-9
    assert pairing.status is PairingStatus.OPTIMAL


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_the_cost_is_that_of_the_pairs_and_never_negative(offset: float) -> None:
    _, noise = drawn(200, (16,))
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    same = brenier.pair(noise[order] + offset, noise + offset)
    assert torch.equal(same.permutation, order)
    assert same.cost == 0
    near = noise[order] + 1e-3 * torch.randn(200, 16, generator=torch.Generator().manual_seed(2)) + offset
    found = brenier.pair(near, noise + offset)
    exact = (near.double() - (noise + offset)[found.permutation].double()).square().sum(1).mean().item()
    assert found.cost == pytest.approx(exact, rel=1e-5)


def test_the_noise_is_only_reordered_and_inputs_are_untouched() -> None:
    data, noise = drawn(100, (6,))
    data_kept, noise_kept = data.clone(), noise.clone()
    paired = noise[brenier.pair(data, noise).permutation]
    assert torch.equal(data, data_kept)
    assert torch.equal(noise, noise_kept)
    order, other = paired[:, 0].argsort(), noise[:, 0].argsort()
    assert torch.equal(paired[order], noise[other])


@pytest.mark.parametrize("kind", ["few", "one", "all different", "strings", "floats"])
def test_labels_exchange_noise_inside_each_class_only(kind: str) -> None:
    data, noise = drawn(90, (5,))
    rng = np.random.default_rng(1)
    labels = {
        "few": rng.integers(0, 4, 90),
        "one": np.zeros(90, int),
        "all different": rng.permutation(90),
        "strings": rng.choice(["cat", "dog"], 90),
        "floats": rng.choice([0.5, -1.0], 90),
    }[kind]
    pairing = brenier.pair(data, noise, labels=labels)
    permutation = pairing.permutation.numpy()
    assert (labels[permutation] == labels).all()
    distances = squared_distances(data, noise)
    best = 0.0
    for one in np.unique(labels):
        members = np.flatnonzero(labels == one)
        inner = distances[np.ix_(members, members)]
        best += inner[linear_sum_assignment(inner)].sum()
    assert pairing.cost == pytest.approx(best / 90, rel=1e-6)
    assert sorted(permutation) == list(range(90))


@pytest.mark.parametrize(
    "data_type", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8]
)
@pytest.mark.parametrize("noise_type", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_data_and_noise_of_every_type(data_type: torch.dtype, noise_type: torch.dtype) -> None:
    data, noise = drawn(60, (8,))
    data, noise = (data * 20).to(data_type), noise.to(noise_type)
    pairing = brenier.pair(data, noise)
    distances = squared_distances(data, noise)
    assert pairing.cost == pytest.approx(distances[linear_sum_assignment(distances)].mean(), rel=1e-6)


def test_integer_and_boolean_data_keep_their_values() -> None:
    _, noise = drawn(40, (3,))
    for data in (torch.arange(120).reshape(40, 3) + (1 << 40), torch.arange(120).reshape(40, 3) % 2 == 0):
        scores = ((data.double() - data.double().mean(0)) @ noise.double().T).numpy()
        best = scores[linear_sum_assignment(scores, maximize=True)].sum()
        permutation = brenier.pair(data, noise).permutation.numpy()
        assert scores[np.arange(40), permutation].sum() == pytest.approx(best, rel=1e-9)


def test_arrays_in_arrays_out_and_views_are_read_in_place() -> None:
    data, noise = (part.numpy() for part in drawn(80, (4,)))
    reversed_pairing = brenier.pair(data[::2].copy()[::1], noise[::2])
    assert isinstance(reversed_pairing.permutation, np.ndarray)
    assert reversed_pairing.permutation.dtype == np.int64
    assert (brenier.pair(data[::2], noise[::2]).permutation == reversed_pairing.permutation).all()


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_exchange(count: int) -> None:
    for labels in (None, np.zeros(count)):
        pairing = brenier.pair(torch.zeros(count, 3), torch.ones(count, 3), labels=labels)
        assert pairing.permutation.tolist() == list(range(count))
        assert pairing.cost == pairing.cost_before == 3.0 * count
        assert pairing.status is PairingStatus.OPTIMAL


def test_rows_without_coordinates_stay_where_they_are() -> None:
    pairing = brenier.pair(torch.zeros(4, 0), torch.zeros(4, 0))
    assert sorted(pairing.permutation.tolist()) == [0, 1, 2, 3]
    assert pairing.cost == 0


def test_duplicated_data_still_gets_each_noise_once() -> None:
    _, noise = drawn(200, (6,))
    pairing = brenier.pair(torch.ones(200, 6), noise)
    assert sorted(pairing.permutation.tolist()) == list(range(200))


def test_a_gap_holds_for_the_whole_and_for_classes() -> None:
    data, noise = drawn(1600, (16,))
    for labels in (None, torch.arange(1600) % 2):
        exact = brenier.pair(data, noise, labels=labels)
        near = brenier.pair(data, noise, labels=labels, gap=0.02)
        assert near.status is PairingStatus.WITHIN_GAP
        assert exact.cost <= near.cost
        assert near.gap <= 0.02
        # Scores are half the squared distance: the gain over a random pairing is at most twice this.
        assert near.cost - exact.cost <= 0.02 * (exact.cost_before - exact.cost) * 1.1


@pytest.mark.parametrize(
    ("data", "noise", "labels", "words"),
    [
        (torch.zeros(3, 2), torch.zeros(4, 2), None, "as many rows"),
        (torch.zeros(3, 2), torch.zeros(3, 3), None, "as many rows"),
        (torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.int64), None, "floating"),
        (torch.tensor(1.0), torch.tensor(1.0), None, "rows"),
        (torch.zeros(3, 2, dtype=torch.complex64), torch.zeros(3, 2), None, "real"),
        (torch.full((3, 2), torch.nan), torch.zeros(3, 2), None, r"nan at \[0, 0\]"),
        (torch.zeros(3, 2), torch.full((3, 2), torch.inf), None, "noise: .*inf"),
        (torch.zeros(3, 2), torch.zeros(3, 2), [0, 1], "labels"),
        (torch.zeros(3, 2), torch.zeros(3, 2), [[0, 1, 2]], "labels"),
        (torch.zeros(3, 2), torch.zeros(3, 2), [0.0, np.nan, 1.0], "labels.*NaN"),
        ("text", torch.zeros(3, 2), None, "data"),
    ],
)
def test_bad_input_is_an_input_error(data: object, noise: object, labels: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        brenier.pair(data, noise, labels=labels)
