"""Condition leak: does the noise that a coupling hands out betray the class of its image?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from brenier.errors import InputError
from brenier.metrics.distances import as_features
from brenier.metrics.features import check_labels
from brenier.types import Array

SHUFFLES = 4


@dataclass(frozen=True)
class ConditionLeak:
    """Cross-validated accuracy of telling the class from the noise, and that by chance."""

    accuracy: float
    stderr: float
    chance: float  # what the classifier reaches where there is nothing to find
    chance_stderr: float
    samples: int
    folds: int

    @property
    def leaks(self) -> bool:
        """Whether the accuracy is above chance by more than four standard errors.

        Four, since the binomial error is a little small: rows that share a classifier err together.
        """
        return self.accuracy - self.chance > 4 * (self.stderr**2 + self.chance_stderr**2) ** 0.5

    def summary(self) -> str:
        verdict = "the noise tells the class" if self.leaks else "no leak found"
        return f"{self.accuracy:.1%} ± {self.stderr:.1%} right against {self.chance:.1%} by chance: {verdict}"


def condition_leak(
    noise: Array, labels: Array, *, folds: int = 5, ridge: float = 1.0, seed: int = 0
) -> ConditionLeak:
    """How well a linear classifier tells the class from the paired noise, cross-validated.

    A network conditioned on a class sees in training the noise paired with that class, in sampling all noise; where a
    coupling pairs by class, the two differ (C²OT, arXiv 2503.10636, section 3). The classifier is linear discriminant
    analysis with shrunk covariance: optimal where classes shift the noise's mean, blind to other differences, so that
    a leak found is real and one not found is no proof. The chance level is measured: the mean over four shuffles of
    the labels.

    noise : (N, ...), the noise of the pairs; N ≥ 2·folds
    labels : (N,) integers from 0, the classes of the images paired with it
    folds : parts, each predicted by a classifier of the others
    ridge : added to the covariance, in units of the noise's variance; 1 suits N of the order of d
    seed : of the parts and shuffles

    Returns ConditionLeak; standard errors are binomial, √(p(1−p)/N). Raises InputError.
    """
    if not (isinstance(folds, int) and folds >= 2):
        raise InputError("folds", expected="an integer ≥ 2", got=repr(folds))
    if not 0 <= ridge < math.inf:
        raise InputError("ridge", expected="a finite number ≥ 0", got=repr(ridge))
    rows = as_features(noise, "noise", least=2 * folds)
    classes = check_labels(labels, len(rows))
    generator = torch.Generator().manual_seed(seed)
    part = torch.randperm(len(rows), generator=generator) % folds
    accuracy = right_share(rows, classes, part, ridge)
    shuffled = [classes[torch.randperm(len(rows), generator=generator)] for _ in range(SHUFFLES)]
    chance = sum(right_share(rows, one, part, ridge) for one in shuffled) / SHUFFLES
    error, base = binomial(accuracy, len(rows)), binomial(chance, len(rows) * SHUFFLES)
    return ConditionLeak(accuracy, error, chance, base, len(rows), folds)


def right_share(rows: Tensor, classes: Tensor, part: Tensor, ridge: float) -> float:
    """The share of rows whose class a classifier of the other parts predicts."""
    right = 0
    for fold in range(int(part.max()) + 1):
        train, test = part != fold, part == fold
        guessed = discriminate(rows[train], classes[train], rows[test], int(classes.max()) + 1, ridge)
        right += int((guessed == classes[test]).sum())
    return right / len(rows)


def discriminate(rows: Tensor, classes: Tensor, test: Tensor, count: int, ridge: float) -> Tensor:
    """Linear discriminant analysis: argmax_k ⟨x, Σ⁻¹m_k⟩ − ½⟨m_k, Σ⁻¹m_k⟩ + ln share_k."""
    one_hot = torch.nn.functional.one_hot(classes, count).to(rows)
    members = one_hot.sum(dim=0)
    means = one_hot.T @ rows / members.clamp_min(1)[:, None]
    inner = rows - means[classes]
    covariance = inner.T @ inner / len(rows)
    covariance.diagonal().add_(ridge * covariance.diagonal().mean())
    directions, singular = torch.linalg.solve_ex(covariance, means.T)
    if singular.any() or not directions.isfinite().all():
        raise InputError(
            "noise",
            expected="rows that vary within classes",
            got="a singular covariance",
            remedy="raise ridge",
        )
    offsets = (members / len(rows)).log() - (means * directions.T).sum(dim=1) / 2
    return (test @ directions + offsets).argmax(dim=1)


def binomial(share: float, count: int) -> float:
    return (share * (1 - share) / count) ** 0.5
