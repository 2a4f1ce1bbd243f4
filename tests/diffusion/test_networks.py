"""The small networks take rows and images, start at zero, and leave torch's random state alone."""

import pytest
import torch
from brenier.diffusion import MLP, SmallUNet
from brenier.errors import InputError


@pytest.mark.parametrize("side", [1, 2, 7, 8, 16, 17])
def test_the_unet_takes_any_side_as_rows_or_images(side: int) -> None:
    network = SmallUNet(2, side, 8)
    torch.nn.init.ones_(network.outward[-1].weight)
    images, level = torch.randn(3, 2, side, side), torch.zeros(3)
    answer = network(images, level)
    assert answer.shape == images.shape
    assert answer.abs().max() > 0
    assert torch.equal(network(images.flatten(1), level), answer.flatten(1))


def test_the_mlp_takes_rows_or_images() -> None:
    network = MLP(12, 16, 2)
    torch.nn.init.ones_(network.outward.weight)
    images, level = torch.randn(3, 3, 2, 2), torch.zeros(3)
    assert network(images, level).shape == images.shape
    assert torch.equal(network(images.flatten(1), level), network(images, level).flatten(1))


@pytest.mark.parametrize(
    "make", [lambda seed: MLP(4, 8, 1, seed=seed), lambda seed: SmallUNet(1, 2, 8, seed=seed)]
)
def test_weights_follow_the_seed_and_not_the_global_state(make) -> None:
    torch.manual_seed(11)
    state = torch.get_rng_state()
    first = make(1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    again, other = make(1), make(2)
    pairs = list(zip(first.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("network", [MLP(4, 8, 1), SmallUNet(1, 2, 8)])
def test_an_untrained_network_answers_zero_at_every_level(network) -> None:
    levels = torch.tensor([-2.0, 0.0, 1.1])
    assert network(torch.randn(3, 4), levels).abs().max() == 0


def test_the_noise_level_reaches_the_answer() -> None:
    network = MLP(4, 8, 1, seed=3)
    torch.nn.init.ones_(network.outward.weight)
    torch.nn.init.ones_(network.layers[0].second.weight)
    x = torch.ones(2, 4)
    low, high = network(x, torch.tensor([-1.5, 1.0]))
    assert not torch.equal(low, high)


@pytest.mark.parametrize(
    "make", [lambda: MLP(0), lambda: MLP(3, 2.5), lambda: SmallUNet(1, 0), lambda: SmallUNet(1, 8, 12)]
)
def test_impossible_sizes_are_refused(make) -> None:
    with pytest.raises(InputError):
        make()


@pytest.mark.parametrize("network", [MLP(4, 8, 1), SmallUNet(1, 2, 8)])
def test_rows_of_another_size_are_refused(network) -> None:
    with pytest.raises(InputError, match="x"):
        network(torch.zeros(2, 5), torch.zeros(2))
