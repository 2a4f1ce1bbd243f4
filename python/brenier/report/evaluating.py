"""The figures of a set of samples, and their measurement from files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

from brenier.data import load_array, require_writable
from brenier.data.files import read_numbers
from brenier.errors import InputError
from brenier.metrics import (
    Classifier,
    density_coverage,
    frechet_distance,
    kernel_distance,
    memorisation,
    mode_mixture_ratio,
    precision_recall,
    train_classifier,
)
from brenier.report.record import new_record, plain, write_record

Say = Callable[[str], None]


def figures(
    samples: Tensor,
    reference: Tensor,
    *,
    train: Tensor | None = None,
    held_out: Tensor | None = None,
    classifier: Classifier | None = None,
    threshold: float = 0.11,
    k: int = 3,
) -> dict[str, Any]:
    """Every figure that the arguments allow, by name; rows (N, d) throughout.

    Precision and recall, density and coverage, and the kernel distance use the classifier's features where there is
    one, else the rows themselves.
    """
    found: dict[str, Any] = {"samples": len(samples), "frechet_pixels": frechet_distance(reference, samples)}
    real, fake = reference, samples
    if classifier is not None:
        real, fake = classifier.features(reference), classifier.features(samples)
        found["frechet_features"] = frechet_distance(real, fake)
        found["mode_mixture"] = mode_mixture_ratio(classifier.probabilities(samples), threshold)
    support = precision_recall(real, fake, k)
    found |= {"precision": support.precision, "recall": support.recall}
    covered = density_coverage(real, fake, k)
    found |= {"density": covered.density, "coverage": covered.coverage}
    found["kernel"] = kernel_distance(real, fake).value
    if train is not None and held_out is not None:
        nearest = memorisation(samples, train, held_out)
        found |= {"nearest_ratio": nearest.ratio, "share_closer": nearest.share_closer}
    return found


def evaluate_files(
    samples: Path,
    reference: Path,
    *,
    held_out: Path | None = None,
    labels: Path | None = None,
    threshold: float | None = None,
    k: int = 3,
    seed: int = 0,
    out: Path | None = None,
    value_range: str | None = None,
    layout: str = "nchw",
    tensor: str | None = None,
    progress: bool = True,
    say: Say = print,
) -> dict[str, Any]:
    """Measure a file of samples against a file of reference images; returns the record.

    held_out : images not trained on; REFERENCE is then the training set that memorisation is judged by
    labels : of REFERENCE: a classifier is trained on it, for features and the mode mixture ratio
    Raises BrenierError.
    """
    settings = {key: value for key, value in locals().items() if key not in ("progress", "say")}
    if out is not None:
        require_writable(out)
    paths = {"samples": samples, "reference": reference, "held_out": held_out}
    rows = {
        name: load_array(path, value_range=value_range, layout=layout, tensor=tensor).array.float()
        for name, path in paths.items()
        if path is not None
    }
    require_one_width(rows)
    classifier = None
    if labels is not None:
        classifier = train_classifier(rows["reference"], torch.from_numpy(read_numbers(labels)), seed)
        say(f"features: {classifier.name}")
    threshold = default_threshold(classifier) if threshold is None else threshold
    held = rows.get("held_out")
    measured = figures(
        rows["samples"],
        rows["reference"],
        train=None if held is None else rows["reference"],
        held_out=held,
        classifier=classifier,
        threshold=threshold,
        k=k,
    )
    if classifier is not None:
        real = classifier.probabilities(rows["reference"] if held is None else held)
        measured["mode_mixture_floor"] = mode_mixture_ratio(real, threshold)
    extractor = classifier.name if classifier else "the raw values"
    record = new_record("evaluate", settings) | plain({"metrics": measured, "features": extractor})
    record["summary"] = as_text(record)
    if out is not None:
        write_record(out, record)
    return record


def default_threshold(classifier: Classifier | None) -> float:
    """λ just above even odds, as 0.11 is for 10 classes."""
    if classifier is None:
        return 0.11
    classes = classifier.probabilities(torch.zeros(1, classifier.dim)).shape[1]
    return min(0.5, 1.1 / classes)


def require_one_width(rows: dict[str, Tensor]) -> None:
    width = rows["reference"].shape[1]
    for name, array in rows.items():
        if array.shape[1] != width:
            raise InputError(
                name, expected=f"rows of {width} numbers as the reference", got=str(array.shape[1])
            )


def as_text(record: dict[str, Any]) -> str:
    """The metrics as a table for a terminal."""
    body = [[name, value] for name, value in record["metrics"].items()]
    table: str = tabulate(body, ["metric", "value"], floatfmt=".4g")
    return f"{table}\nfeatures: {record['features']}"
