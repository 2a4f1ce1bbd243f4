"""Training refuses what it could only spoil, and remembers in its checkpoint what it learns from."""

from pathlib import Path

import pytest
import torch
from brenier import Potential
from brenier.diffusion import MLP, TrainResult, train_edm
from brenier.errors import BrenierError, InputError
from brenier.pair import PairedPool
from brenier.transport import Coupling
from torch import Tensor, nn

IMAGES = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(40) % 3


def potential(targets: int) -> Potential:
    rows = torch.randn(targets, 6, generator=torch.Generator().manual_seed(1))
    return Potential.of(rows, torch.zeros(targets))


def train(network: nn.Module | None = None, **changes: object) -> TrainResult:
    options = {"steps": 6, "batch": 8, "pool": 16, "progress": False} | changes
    classes = options.pop("classes", 0)
    return train_edm(network or MLP(6, 16, 1, classes=classes), IMAGES, **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": float("nan")}, "lr"),
        ({"lr": float("inf")}, "lr"),
        ({"lr": -1.0}, "lr"),
        ({"P_mean": float("nan")}, "P_mean"),
        ({"P_std": -1.0}, "P_std"),
        ({"seed": 1.5}, "seed"),
        ({"seed": -1}, "seed"),
        ({"network": nn.Identity()}, "network"),
        ({"coupling": "semidiscrete", "potential": potential(80)}, "one target per image"),
        ({"coupling": "semidiscrete", "potential": potential(3)}, "one target per image"),
        ({"coupling": Coupling(potential(80), 8, 0)}, "images 0 to 39"),
        ({"coupling": PairedPool(IMAGES, 40, 8, epochs=1)}, "the end of its pairs"),
        ({"classes": 3, "condition": torch.full((40,), 5)}, "classes from 0 to 2"),
        ({"classes": 3, "condition": torch.full((40,), -1)}, "classes from 0 to 2"),
        ({"classes": 3, "condition": LABELS - 1, "coupling": "c2ot"}, "numbered from 0"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(**changes)


class Steep(nn.Module):
    """Its loss is finite, the gradient of its weight is not."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        return x + self.weight.abs().sqrt()


def test_a_gradient_that_is_not_finite_ends_the_training_even_in_its_last_step() -> None:
    with pytest.raises(BrenierError, match="gradients"):
        train(Steep(), steps=1)


def balanced() -> Coupling:
    return Coupling(Potential.of(IMAGES, torch.zeros(40)), 8, 0, balance=0.5)


@pytest.mark.parametrize("make", [balanced, lambda: Coupling(potential(40), 8, 0, subspace=4)])
def test_a_coupling_of_the_users_own_resumes_with_the_same_bits(make, tmp_path: Path) -> None:
    unbroken, options = train(coupling=make()), {"checkpoint": tmp_path / "run", "checkpoint_every": 2}
    train(coupling=make(), callback=lambda step, _: step == 2, **options)
    resumed = train(coupling=make(), resume=True, **options)
    assert torch.equal(resumed.losses, unbroken.losses)
    for mine, theirs in zip(resumed.denoiser.parameters(), unbroken.denoiser.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"condition": LABELS, "classes": 3}, {"condition": LABELS.flip(0), "classes": 3}),
        ({"coupling": "aot", "labels": LABELS}, {"coupling": "aot", "labels": LABELS.flip(0)}),
        ({"coupling": "aot", "labels": LABELS}, {"coupling": "aot"}),
        (
            {"coupling": "semidiscrete", "potential": Potential.of(IMAGES, torch.zeros(40))},
            {"coupling": "semidiscrete", "potential": Potential.of(IMAGES, torch.arange(40.0))},
        ),
    ],
)
def test_a_run_on_other_labels_conditions_or_heights_is_not_resumed(
    before: dict[str, object], after: dict[str, object], tmp_path: Path
) -> None:
    options = {"checkpoint": tmp_path / "run", "callback": lambda step, _: step == 2}
    train(**before, **options)
    with pytest.raises(InputError, match="checkpoint"):
        train(**after, **options, resume=True)


def test_a_device_that_torch_cannot_use_is_an_input_error() -> None:
    with pytest.raises(InputError, match="device"):
        train(device="tpu9")
