"""Training is reproducible, learns, and leaves what it was given alone."""

import pytest
import torch
from brenier.diffusion import MLP, EDMPrecond, TrainResult, edm_sigmas, sample_heun, train_edm
from brenier.diffusion.training import rate, update_average
from brenier.errors import BrenierError, InputError
from brenier.transport import IndependentCoupling
from torch import Tensor, nn

IMAGES = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


class First:
    """A potential that sends all noise to target 0."""

    def assign(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), dtype=torch.int64)


def train(coupling: str = "independent", **changes: object) -> TrainResult:
    options = {"steps": 12, "batch": 8, "pool": 16, "progress": False, "seed": 4} | changes
    return train_edm(MLP(6, 16, 1, seed=2), IMAGES, coupling=coupling, **options)


@pytest.mark.parametrize("coupling", ["independent", "aot"])
def test_the_same_seed_gives_the_same_losses_and_weights(coupling: str) -> None:
    first, again, other = train(coupling), train(coupling), train(coupling, seed=5)
    assert torch.equal(first.losses, again.losses)
    pairs = zip(first.denoiser.parameters(), again.denoiser.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.losses, other.losses)
    assert (first.coupling, first.steps, len(first.losses)) == (coupling, 12, 12)
    assert (first.pairing_seconds > 0) == (coupling == "aot")
    assert coupling in first.summary()


def test_network_images_and_global_random_state_are_left_alone() -> None:
    network, images = MLP(6, 16, 1), IMAGES.clone()
    weights = [parameter.clone() for parameter in network.parameters()]
    state = torch.get_rng_state()
    train_edm(network, images, steps=3, batch=4, progress=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, IMAGES)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), weights, strict=True))


def test_the_potential_chooses_the_images() -> None:
    target = torch.tensor([0.5, -0.5, 0.25, 0.0, 1.0, -1.0])
    images = torch.cat([target[None], 100 + torch.zeros(3, 6)])
    result = train_edm(
        MLP(6, 64, 2),
        images,
        coupling="semidiscrete",
        potential=First(),
        steps=300,
        batch=64,
        sigma_data=0.6,
        lr=3e-3,
        progress=False,
    )
    noise = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    samples = sample_heun(result.denoiser, 80 * noise, edm_sigmas(6))
    assert (samples - target).abs().max() < 0.5  # the other images lie at 100


@pytest.mark.parametrize("coupling", ["independent", "aot"])
def test_two_clusters_are_learned(coupling: str) -> None:
    images = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).repeat(32, 1)
    result = train_edm(
        MLP(2, 64, 2), images, coupling=coupling, steps=400, batch=64, pool=64, lr=3e-3, progress=False
    )
    noise = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    samples = sample_heun(result.denoiser, 80 * noise, edm_sigmas(9))
    assert ((samples.abs() - 1).abs().amax(dim=1) < 0.25).double().mean() > 0.9
    assert 0.3 < (samples[:, 0] > 0).double().mean() < 0.7
    assert result.losses[-50:].mean() < result.losses[:50].mean()


def test_images_of_any_shape_train_and_a_coupling_object_is_taken_as_it_is() -> None:
    images = IMAGES.reshape(40, 1, 2, 3)
    pairs = IndependentCoupling(40, 6, batch=8, seed=4)
    result = train_edm(MLP(6, 16, 1, seed=2), images, coupling=pairs, steps=12, progress=False, seed=4)
    assert torch.equal(result.losses, train().losses)
    assert pairs.position == 12 * 8


def test_a_callback_sees_every_loss_and_can_stop() -> None:
    seen = []
    result = train(callback=lambda step, loss: seen.append((step, loss)) or step == 4)
    assert [step for step, _ in seen] == [0, 1, 2, 3, 4]
    assert result.steps == 5
    assert result.losses.tolist() == pytest.approx([loss for _, loss in seen])


def test_sigma_data_is_that_of_the_images_unless_given() -> None:
    assert train().denoiser.sigma_data == pytest.approx(float(IMAGES.std(correction=0)))
    assert train(sigma_data=0.3).denoiser.sigma_data == 0.3


def test_the_average_follows_the_weights() -> None:
    average, current = nn.Linear(2, 2), nn.Linear(2, 2)
    expected = 0.9 * average.weight + 0.1 * current.weight
    update_average(average, current, 0.9)
    torch.testing.assert_close(average.weight, expected)


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    rates = [rate(step, 100) for step in range(101)]
    assert rates[0] == 0.5
    assert max(rates) == rates[1] == 1.0
    assert rates[100] == pytest.approx(0, abs=1e-6)
    assert all(0 < value <= 1 for value in rates[:100])


def test_a_diverging_loss_is_an_error() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor, _c: Tensor) -> Tensor:
            return x * self.weight * torch.inf

    with pytest.raises(BrenierError, match="diverged"):
        train_edm(Broken(), IMAGES, steps=2, batch=4, progress=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"batch": 0},
        {"coupling": "sinkhorn"},
        {"coupling": "semidiscrete"},
        {"potential": First()},
        {"coupling": "aot", "pool": 12},
        {"labels": torch.zeros(40, dtype=torch.int64)},
        {"sigma_data": -1.0},
    ],
)
def test_unusable_arguments_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        train(**changes)


@pytest.mark.parametrize(
    "images", [torch.zeros(0, 6), torch.full((4, 6), torch.nan), torch.zeros(4, 6).int()]
)
def test_unusable_images_are_refused(images: Tensor) -> None:
    with pytest.raises(InputError, match="images"):
        train_edm(MLP(6, 16, 1), images, steps=1, progress=False)


def test_the_result_is_ready_to_sample() -> None:
    denoiser = train().denoiser
    assert isinstance(denoiser, EDMPrecond)
    assert not denoiser.training
    assert not any(parameter.requires_grad for parameter in denoiser.parameters())
