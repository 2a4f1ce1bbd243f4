"""The condition leak: found where there is one, not found where there is none."""

import pytest
import torch
from brenier.errors import InputError
from brenier.metrics import condition_leak
from brenier.pair import PairedPool

LABELS = torch.arange(600) % 4


def noise(seed: int = 0) -> torch.Tensor:
    return torch.randn(600, 8, generator=torch.Generator().manual_seed(seed))


def test_independent_noise_tells_nothing() -> None:
    found = [condition_leak(noise(seed), LABELS, seed=seed) for seed in range(10)]
    assert sum(one.leaks for one in found) == 0
    mean = sum(one.accuracy for one in found) / 10
    assert mean == pytest.approx(0.25, abs=4 * found[0].stderr / 10**0.5)
    assert found[0].chance == pytest.approx(0.25, abs=0.05)


def test_noise_shifted_by_class_tells_as_much_as_theory_says() -> None:
    labels = torch.arange(4000) % 2
    rows = torch.randn(4000, 8, generator=torch.Generator().manual_seed(1))
    rows[:, 0] += 2.0 * labels  # two normals two deviations apart: Φ(1) = 84.1% right at best
    found = condition_leak(rows, labels, ridge=0.0)
    assert found.accuracy == pytest.approx(0.8413, abs=3 * found.stderr)
    assert found.leaks
    assert "tells the class" in found.summary()


def test_unequal_classes_are_judged_by_their_own_chance() -> None:
    labels = (torch.arange(600) % 10 == 0).long()
    found = condition_leak(noise(), labels)
    assert found.chance > 0.85
    assert not found.leaks


@pytest.mark.parametrize(("told", "leaks"), [(False, True), (True, False)])
def test_pairing_all_classes_together_leaks_and_pairing_within_them_does_not(told: bool, leaks: bool) -> None:
    images = noise(5) + 5 * torch.nn.functional.one_hot(LABELS, 8)
    made = next(iter(PairedPool(images, 600, 600, labels=LABELS if told else None, seed=2)))
    assert condition_leak(made.noise, LABELS[made.index]).leaks == leaks


def test_the_same_seed_gives_the_same_answer_and_inputs_stay() -> None:
    rows, labels = noise(), LABELS.clone()
    assert condition_leak(rows, labels, seed=3) == condition_leak(rows, labels, seed=3)
    assert torch.equal(rows, noise())
    assert torch.equal(labels, LABELS)


@pytest.mark.parametrize(
    "changes", [{"folds": 1}, {"labels": LABELS[:-1]}, {"labels": LABELS * 0}, {"noise": noise()[:5]}]
)
def test_unusable_arguments_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        condition_leak(**({"noise": noise(), "labels": LABELS} | changes))


@pytest.mark.parametrize(
    ("rows", "labels", "ridge"),
    [
        (noise(), LABELS, -1.0),
        (noise(), LABELS, float("nan")),
        (torch.ones(600, 8), LABELS, 1.0),
        (noise(), torch.arange(600), 1.0),  # no two rows of one class
    ],
)
def test_noise_that_does_not_vary_within_classes_and_odd_ridges_are_refused(
    rows: torch.Tensor, labels: torch.Tensor, ridge: float
) -> None:
    with pytest.raises(InputError):
        condition_leak(rows, labels, ridge=ridge)
