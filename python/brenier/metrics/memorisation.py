"""Memorisation: are samples closer to training images than unseen real images are?"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from brenier.errors import InputError
from brenier.metrics.distances import as_features, nearest_distances, same_width
from brenier.types import Array


@dataclass(frozen=True)
class Memorisation:
    """Distances to the nearest training image, of samples and of held-out images."""

    sample_median: float
    held_out_median: float
    ratio: float  # sample_median / held_out_median: about 1 without memorisation, 0 for copies
    share_closer: float  # samples nearer than the held-out images' quantile: about `quantile` without
    quantile: float
    target_median: float | None  # distance of samples to their own target, where targets were given
    samples: int
    held_out: int

    def summary(self) -> str:
        return (
            f"{self.share_closer:.0%} of {self.samples} samples are closer to a training image than "
            f"{1 - self.quantile:.0%} of {self.held_out} held-out images ({self.quantile:.0%} expected); "
            f"median distance {self.ratio:.2f} of theirs"
        )


def memorisation(
    samples: Array,
    train: Array,
    held_out: Array,
    *,
    quantile: float = 0.05,
    targets: Array | None = None,
) -> Memorisation:
    """Compare min_i ‖s − y_i‖ of samples with min_i ‖v − y_i‖ of held-out images v, y_i the training images.

    A sampler that copies has distances near 0; one that generalises has those of held-out images. Quality
    figures mean little without this one beside them.

    samples, train, held_out : (N, d), (n, d), (n', d), pixels or features of one kind
    quantile : of the held-out distances, below which a sample counts as closer
    targets : (N, d), the target of each sample (DPM-OT), to add the distance to it

    Returns Memorisation. Raises InputError.
    """
    if not 0 < quantile < 1:
        raise InputError("quantile", expected="a number between 0 and 1", got=repr(quantile))
    drawn, seen, unseen = (
        as_features(value, what)
        for value, what in ((samples, "samples"), (train, "train"), (held_out, "held_out"))
    )
    same_width(drawn, seen, "samples and train")
    same_width(unseen, seen, "held_out and train")
    near, reference = nearest_distances(drawn, seen)[:, 0], nearest_distances(unseen, seen)[:, 0]
    sample_median, held_out_median = float(near.median()), float(reference.median())
    if held_out_median == 0:
        raise InputError("held_out", expected="images outside of train", got="copies: a median distance of 0")
    return Memorisation(
        sample_median,
        held_out_median,
        sample_median / held_out_median,
        float((near < reference.quantile(quantile)).double().mean()),
        quantile,
        None if targets is None else target_distance(drawn, targets),
        len(drawn),
        len(unseen),
    )


def target_distance(samples: Tensor, targets: Array) -> float:
    """The median distance of samples to their own targets."""
    own = as_features(targets, "targets")
    if own.shape != samples.shape:
        raise InputError(
            "targets", expected=f"one per sample, {tuple(samples.shape)}", got=str(tuple(own.shape))
        )
    return float((samples - own).norm(dim=1).median())
