"""The small classifier learns, names itself, and is reproducible."""

import pytest
import torch
from brenier.errors import InputError
from brenier.metrics import Classifier, train_classifier

CENTRES = 3 * torch.eye(3, 6)
LABELS = torch.arange(150) % 3
IMAGES = CENTRES[LABELS] + 0.3 * torch.randn(150, 6, generator=torch.Generator().manual_seed(0))


def trained(seed: int = 0) -> Classifier:
    return train_classifier(IMAGES, LABELS, seed, epochs=30)


def test_separate_classes_are_learned_and_the_name_says_how_well() -> None:
    classifier = trained()
    assert classifier.accuracy > 0.95
    assert "trained on 128 of these images" in classifier.name
    assert "22 others" in classifier.name
    probabilities = classifier.probabilities(CENTRES)
    assert probabilities.argmax(dim=1).tolist() == [0, 1, 2]
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(3))
    assert classifier.features(IMAGES.reshape(150, 1, 2, 3)).shape == (150, 32)


def test_the_seed_decides_and_the_global_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    first = trained().features(IMAGES)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(trained().features(IMAGES), first)
    assert not torch.equal(trained(1).features(IMAGES), first)


@pytest.mark.parametrize(
    "labels", [LABELS[:10], LABELS.float(), LABELS - 1, torch.zeros(150, dtype=torch.int64), LABELS[:, None]]
)
def test_unusable_labels_are_refused(labels: torch.Tensor) -> None:
    with pytest.raises(InputError, match="labels"):
        train_classifier(IMAGES, labels)


def test_too_few_images_and_images_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="images"):
        train_classifier(IMAGES[:10], LABELS[:10])
    with pytest.raises(InputError, match="images"):
        trained().features(torch.zeros(2, 5))


@pytest.mark.parametrize("changes", [{"width": 0}, {"epochs": 0}, {"test_share": 1.0}, {"test_share": -3.0}])
def test_a_classifier_that_could_not_learn_or_be_tested_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match="test_share"):
        train_classifier(IMAGES, LABELS, **changes)
