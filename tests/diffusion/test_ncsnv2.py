"""The NCSNv2 network is the published one, and its checkpoints are read without running what is in them."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from brenier.diffusion import EDMPrecond, LangevinSchedule, first_noise, sample_langevin
from brenier.diffusion.checkpoints import load_ncsnv2, load_weights, read_weights
from brenier.diffusion.ncsnv2 import NCSNv2
from brenier.diffusion.networks import MLP
from brenier.errors import FileError, InputError
from safetensors.torch import save_file
from torch import Tensor

# Answers of the authors' own networks (github.com/ermongroup/ncsnv2, MIT licence) with width 8 at σ = 1, for the
# weights and images of wave() below; compared on 2026-11-21: values 0, 100, 1000 and the last, mean, deviation.
PUBLISHED = {
    "standard": (32, [1.32549, -1.27853, 0.433086, 0.678806], 0.239960, 2.124770),
    "deeper": (32, [1.31585, 6.16386, 1.60891, 0.399784], 0.271021, 2.251626),
    "deepest": (64, [1.50121, -3.48214, 1.49973, 0.437658], 0.265078, 2.093548),
}


def wave(network: NCSNv2) -> NCSNv2:
    """The network with weights 0.2·sin(1.7 i + k) for parameter k by name, and 1 more for the scales of norms."""
    with torch.no_grad():
        for order, (name, weights) in enumerate(sorted(network.named_parameters())):
            places = torch.arange(weights.numel(), dtype=torch.float64)
            values = 0.2 * torch.sin(1.7 * places + order)
            weights.copy_(values.reshape(weights.shape).float() + name.endswith(("alpha", "gamma")))
    return network.eval()


@pytest.mark.parametrize("kind", PUBLISHED)
def test_it_answers_as_the_published_network(kind: str) -> None:
    size, values, mean, deviation = PUBLISHED[kind]
    images = torch.sin(torch.arange(3 * size * size, dtype=torch.float64)).float().reshape(1, 3, size, size)
    with torch.no_grad():
        answer = wave(NCSNv2(3, 8, kind))(images / 2 + 0.5, 1.0)
    torch.testing.assert_close(
        answer.flatten()[[0, 100, 1000, -1]], torch.tensor(values), rtol=1e-4, atol=1e-4
    )
    assert float(answer.mean()) == pytest.approx(mean, abs=1e-4)
    assert float(answer.std()) == pytest.approx(deviation, rel=1e-4)


@pytest.mark.parametrize("size", [8, 11, 12])
def test_the_score_falls_with_the_level_and_any_size_fits(size: int) -> None:
    network = wave(NCSNv2(1, 8, image_size=size))
    images = torch.rand(3, 1, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one = network(images, 1.0)
        torch.testing.assert_close(network(images, 0.5), 2 * one)
        levels = torch.tensor([1.0, 0.5, 4.0])
        torch.testing.assert_close(network(images, levels), one / levels[:, None, None, None])
        torch.testing.assert_close(network(images.flatten(1), 1.0), one.flatten(1))


def test_it_learns_the_score_of_noised_images() -> None:
    torch.manual_seed(0)
    network = NCSNv2(1, 8)
    images = (torch.rand(16, 1, 1, 1) > 0.5).float().expand(16, 1, 8, 8)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(25):
        noise, sigma = torch.randn_like(images), 0.3
        loss = ((sigma * network(images + sigma * noise, sigma) + noise) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert losses[-1] < 0.6  # 1 is the loss of a network that sees nothing


def test_langevin_dynamics_runs_it() -> None:
    schedule = LangevinSchedule.geometric(0.1, 0.01, 3, steps_each=1)
    network = NCSNv2(1, 8).eval()
    samples = sample_langevin(network, first_noise(range(2), (1, 8, 8)), schedule, seeds=range(2))
    assert samples.shape == (2, 1, 8, 8)
    assert not samples.requires_grad


@pytest.mark.parametrize("kind", PUBLISHED)
def test_kind_width_and_channels_are_read_off_a_checkpoint(kind: str, tmp_path: Path) -> None:
    network = wave(NCSNv2(2, 8, kind))
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    torch.save(network.state_dict(), tmp_path / "net.pth")
    images = torch.rand(1, 2, 16, 16)
    for name in ("net.safetensors", "net.pth"):
        again = load_ncsnv2(tmp_path / name)
        assert torch.equal(again(images, 0.3), network(images, 0.3))
        assert not again.training


def published(network: NCSNv2, averaged: NCSNv2 | None) -> list[object]:
    """The list that NCSNv2's training saves."""
    weights = {f"module.{name}": value for name, value in network.state_dict().items()}
    states = [weights | {"module.sigmas": torch.ones(5)}, {"state": {}, "param_groups": []}, 3, 1000]
    return [*states, averaged.state_dict()] if averaged else states


def test_the_list_of_a_published_checkpoint_gives_its_averaged_weights(tmp_path: Path) -> None:
    network, averaged = NCSNv2(1, 8, seed=1), NCSNv2(1, 8, seed=2)
    torch.save(published(network, averaged), tmp_path / "both.pth")
    torch.save(published(network, None), tmp_path / "one.pth")

    def same(found: NCSNv2, expected: NCSNv2) -> bool:
        return torch.equal(found.begin_conv.weight, expected.begin_conv.weight)

    assert same(load_ncsnv2(tmp_path / "both.pth"), averaged)
    assert same(load_ncsnv2(tmp_path / "both.pth", averaged=False), network)
    assert same(load_ncsnv2(tmp_path / "one.pth"), network)


def test_any_module_takes_its_weights(tmp_path: Path) -> None:
    source = EDMPrecond(MLP(4, 16, 1, seed=1), 0.7)
    torch.save(source.state_dict(), tmp_path / "mlp.pt")
    target = load_weights(EDMPrecond(MLP(4, 16, 1, seed=2), 0.7), tmp_path / "mlp.pt")
    x = torch.ones(2, 4)
    assert torch.equal(target(x, 0.3), source(x, 0.3))


class Malicious:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.place),)


def test_a_pickled_object_is_refused_and_not_run(tmp_path: Path) -> None:
    place = tmp_path / "made_by_the_file"
    torch.save({"weights": Malicious(place)}, tmp_path / "net.pth")
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(Malicious(place)))
    for name in ("net.pth", "net.pkl"):
        with pytest.raises(FileError, match="convert"):
            read_weights(tmp_path / name)
    assert not place.exists()


def tensors(**named: Tensor) -> dict[str, Tensor]:
    return named


@pytest.mark.parametrize(
    "content", [[], {}, {"a": 1}, [1, 2], 5, tensors(other=torch.ones(2)), tensors(begin_conv=torch.ones(3))]
)
def test_what_is_no_network_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(FileError):
        load_ncsnv2(tmp_path / "net.pth")


def test_damaged_missing_and_other_networks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00nonsense")
    (tmp_path / "net.pth").write_bytes(b"nonsense")
    for name in ("net.safetensors", "net.pth", "absent.pth", "absent.safetensors"):
        with pytest.raises(FileError):
            read_weights(tmp_path / name)
    torch.save(NCSNv2(1, 8).state_dict(), tmp_path / "good.pth")
    with pytest.raises(FileError, match="MLP"):
        load_weights(MLP(4), tmp_path / "good.pth")
    with pytest.raises(InputError, match="kind"):
        NCSNv2(kind="huge")
