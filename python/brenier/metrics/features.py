"""A small classifier trained on the user's own labels, for metrics that need features and probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from brenier.engine.checks import as_tensor
from brenier.errors import InputError
from brenier.metrics.distances import as_features
from brenier.types import Array

BATCH = 128


@dataclass(frozen=True)
class Classifier:
    """A trained classifier; metrics quote its name beside their figures."""

    name: str
    body: nn.Module  # (N, d) to features
    head: nn.Module  # features to logits
    dim: int
    accuracy: float  # on images it was not trained on

    def features(self, x: Array) -> Tensor:
        """The last hidden layer, float32 (N, width), of images (N, ...)."""
        with torch.no_grad():
            result: Tensor = self.body(self._rows(x))
        return result

    def probabilities(self, x: Array) -> Tensor:
        """Class probabilities, float32 (N, classes), of images (N, ...)."""
        with torch.no_grad():
            result: Tensor = self.head(self.features(x)).softmax(dim=1)
        return result

    def _rows(self, x: Array) -> Tensor:
        rows = as_features(x, "images").float()
        if rows.shape[1] != self.dim:
            raise InputError("images", expected=f"{self.dim} numbers each", got=str(rows.shape[1]))
        return rows


def train_classifier(
    images: Array,
    labels: Array,
    seed: int = 0,
    *,
    width: int = 128,
    features: int = 32,
    epochs: int = 60,
    test_share: float = 0.15,
) -> Classifier:
    """Train a two-layer perceptron on labelled images in seconds, and measure it on images set aside.

    images : (n, ...) floating point, flattened; n ≥ 20
    labels : (n,) integers from 0
    width, features : units of the hidden layers, the second being the features
    test_share : of the images, set aside for the accuracy

    The same seed gives the same classifier on one machine. Raises InputError.
    """
    if not (0 < test_share < 1 and min(width, features, epochs) >= 1):
        raise InputError(
            "width, features, epochs and test_share",
            expected="integers ≥ 1 and a share between 0 and 1",
            got=f"{width}, {features}, {epochs} and {test_share}",
        )
    data, classes = as_features(images, "images", least=20).float(), check_labels(labels, len(images))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        order = torch.randperm(len(data))
        held = min(max(1, round(test_share * len(data))), len(data) - 1)
        test, train = order[:held], order[held:]
        body = perceptron([data.shape[1], width, features])
        head = nn.Linear(features, int(classes.max()) + 1)
        optimise(nn.Sequential(body, nn.Dropout(0.1), head), data[train], classes[train], epochs)
    body.eval()
    with torch.no_grad():
        accuracy = float((head(body(data[test])).argmax(dim=1) == classes[test]).double().mean())
    name = f"perceptron {data.shape[1]}-{width}-{features} trained on {len(train)} of these images"
    return Classifier(f"{name}, {accuracy:.1%} right on {held} others", body, head, data.shape[1], accuracy)


def perceptron(widths: list[int]) -> nn.Sequential:
    return nn.Sequential(*(layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.SiLU())))


def optimise(model: nn.Module, data: Tensor, classes: Tensor, epochs: int) -> None:
    """Adam with a falling learning rate and a little input noise, so that clean images are not memorised."""
    batches = max(1, len(data) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    spread = float(data.std(correction=0))
    for _ in range(epochs):
        for rows in torch.randperm(len(data)).chunk(batches):
            optimizer.zero_grad(set_to_none=True)
            noisy = data[rows] + 0.1 * spread * torch.randn_like(data[rows])
            nn.functional.cross_entropy(model(noisy), classes[rows]).backward()
            optimizer.step()
            schedule.step()


def check_labels(labels: Array, count: int) -> Tensor:
    classes = as_tensor(labels, "labels")
    if classes.shape != (count,) or classes.is_floating_point():
        raise InputError(
            "labels",
            expected=f"integers of shape (n,) = ({count},)",
            got=f"{classes.dtype} {tuple(classes.shape)}",
        )
    classes = classes.long()
    if int(classes.min()) < 0 or int(classes.max()) == 0:
        raise InputError(
            "labels", expected="at least two classes, numbered from 0", got=f"up to {int(classes.max())}"
        )
    return classes
