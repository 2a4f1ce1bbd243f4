"""Fitting and pairing from file to file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import brenier
from brenier.data import (
    FlippedSource,
    LatentSource,
    NoisedLatents,
    load_array,
    open_source,
    require_writable,
    save_array,
)
from brenier.data.atomic import replacing
from brenier.data.files import output_path, read_numbers
from brenier.data.interrupts import held
from brenier.data.noise import Stream, normal
from brenier.errors import BrenierError, FileError, InputError, NotConvergedWarning
from brenier.report.record import new_record, plain, write_record
from brenier.solve.labelled import LabelledFitResult, integer_labels
from brenier.solve.memory import must_stream

Say = Callable[[str], None]


def fit_file(
    targets: Path,
    out: Path,
    *,
    tol: float = 0.05,
    max_samples: int | None = None,
    seed: int = 0,
    weights: Path | None = None,
    labels: Path | None = None,
    sigma: float | None = None,
    latent_seed: int = 0,
    flips: bool = False,
    engine: str | None = None,
    device: str | None = None,
    max_memory: int | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    value_range: str | None = None,
    layout: str = "nchw",
    tensor: str | None = None,
    progress: bool = True,
    say: Say = print,
    write: bool = True,
) -> dict[str, Any]:
    """Fit a potential to a file of targets and write it, with a record beside it; returns the record.

    labels : a file of the targets' classes (with flips: of the images); ``out`` is then a folder, see LabelledPotential
    write : False on the ranks of a shared fit that leave the writing to another
    sigma, latent_seed : fit onto NoisedLatents(targets, sigma=sigma, seed=latent_seed) instead
    flips : with the mirror image of every image behind it, as in FlippedSource
    Other arguments as in brenier.fit and brenier.data.load_array. Raises BrenierError; writes nothing then.
    """
    settings = {k: v for k, v in locals().items() if k not in ("progress", "say", "write")}
    beside = require_outputs(out, (".safetensors",)) if labels is None else require_folder_output(out)
    reading = {"value_range": value_range, "layout": layout, "tensor": tensor}
    rows, note = read_or_stream(targets, max_memory, flips=flips, labelled=labels is not None, **reading)
    described = describe(rows)
    say(f"{targets}: {described}; {note}")
    masses = None if weights is None else read_numbers(weights)
    classes = None if labels is None else classes_of(labels, len(rows), flips)
    source = rows if sigma is None else noised(rows, sigma, latent_seed)
    del rows  # max_memory counts one copy of the targets
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConvergedWarning)  # the caller says it, with an exit code
        result = brenier.fit(
            source,
            weights=masses,
            labels=classes,
            tol=tol,
            max_samples=max_samples,
            seed=seed,
            engine=engine,
            device=device,
            max_memory=max_memory,
            checkpoint=checkpoint,
            resume=resume,
            progress=progress,
        )
    with held():  # what took hours is written, whatever signal comes now
        record = new_record("fit", settings) | fit_numbers(result) | {"targets": described}
        record |= {"value_range": note, "potential": str(out)}
        if write:
            result.potential.save(out)
            write_record(beside, record)
    return record


def classes_of(labels: Path, targets: int, flips: bool) -> Tensor:
    """The class of every target; a mirror image has its image's, which is before it."""
    given = integer_labels(read_numbers(labels), targets // 2 if flips else targets)
    return given.repeat_interleave(2) if flips else given


def noised(rows: Tensor | LatentSource, sigma: float, seed: int) -> Tensor | LatentSource:
    """Noised latents, in memory where the rows are."""
    latents = NoisedLatents(rows, sigma=sigma, seed=seed)
    return latents.materialise() if isinstance(rows, Tensor) else latents


def read_or_stream(
    path: Path, max_memory: int | None, *, flips: bool = False, labelled: bool = False, **reading: Any
) -> tuple[Tensor | LatentSource, str]:
    """The rows in memory, or a source where their fit would not fit there, and how the values were read."""
    source = source_or_none(path, reading)
    if flips:
        source = FlippedSource(require_images(path, source))
    if source is not None and must_stream((source.shape[0], source.shape[1]), max_memory, labelled):
        return source, f"streamed; {note_of(source)}"
    if source is not None and flips:
        return source.read(0, len(source)), note_of(source)
    loaded = load_array(path, **reading)
    return loaded.array, loaded.note


def note_of(source: LatentSource) -> str:
    """How the values are read."""
    return getattr(source, "note", "as the source gives them")


def require_images(path: Path, source: LatentSource | None) -> LatentSource:
    if source is None or getattr(source, "image_shape", None) is None:
        got = "" if source is None else f", rows of {source.shape[1]} numbers"
        raise InputError("flips", expected="a file of images", got=f"{path}{got}", remedy="leave it out")
    return source


def source_or_none(path: Path, reading: dict[str, Any]) -> LatentSource | None:
    """None where load_array has to say what is wrong with the file, or to read it whole."""
    if reading["value_range"] == "uint8":
        return None
    try:
        return open_source(path, **reading)
    except BrenierError:
        return None


def fit_numbers(result: Any) -> dict[str, Any]:
    """The figures of a FitResult as JSON types; of a LabelledFitResult with those of each class."""
    if isinstance(result, LabelledFitResult):
        names = ("converged", "status", "error", "samples", "seconds", "unfitted")
        figures: dict[str, Any] = plain({name: getattr(result, name) for name in names})
        classes = {str(label): fit_numbers(own) for label, own in result.results.items()}
        return figures | {"summary": result.summary(), "classes": classes}
    record: dict[str, Any] = plain(
        {
            "converged": result.converged,
            "status": result.status,
            "error": result.error,
            "error_stderr": result.error_stderr,
            "error_source": result.error_source,
            "samples": result.samples,
            "seconds": result.seconds,
            "traffic": result.traffic,
            "summary": result.summary(),
            "history": [
                {name: getattr(row, name) for name in ("samples", "error", "epsilon", "seconds")}
                for row in result.history
            ],
            "checks": list(result.checks),
        }
    )
    return record


def pair_file(
    data: Path,
    out: Path,
    *,
    noise: Path | None = None,
    seed: int = 0,
    save_noise: Path | None = None,
    labels: Path | None = None,
    value_range: str | None = None,
    layout: str = "nchw",
    tensor: str | None = None,
    say: Say = print,
) -> dict[str, Any]:
    """Pair a file of data with noise and write the permutation (.npy, int64); returns the record.

    Without a noise file, noise is number 0 to n - 1 of the seed's POOL stream. Raises BrenierError.
    """
    settings = {k: v for k, v in locals().items() if k != "say"}
    beside = require_outputs(out, (".npy",))
    if save_noise is not None:
        require_writable(output_path(save_noise))
    loaded = load_array(data, value_range=value_range, layout=layout, tensor=tensor)
    say(f"{data}: {describe(loaded.array)}; {loaded.note}")
    rows = loaded.array.float()
    epsilon = given_noise(noise, seed, rows)
    classes = None if labels is None else integer_labels(read_numbers(labels), len(rows))
    pairing = brenier.pair(rows, epsilon, labels=classes)
    permutation = torch.as_tensor(pairing.permutation)
    with replacing(out) as temporary:
        np.save(temporary, permutation.cpu().numpy(), allow_pickle=False)
    if save_noise is not None:
        save_array(save_noise, epsilon)
    record = new_record("pair", settings) | plain(
        {name: getattr(pairing, name) for name in ("cost", "cost_before", "gap", "status", "seconds")}
    )
    record["summary"] = (
        f"{len(rows)} pairs in {pairing.seconds:.3g} s: cost {pairing.cost:.6g}, "
        f"before {pairing.cost_before:.6g}; {out}"
    )
    write_record(beside, record)
    return record


def given_noise(noise: Path | None, seed: int, rows: Tensor) -> Tensor:
    if noise is not None:
        return load_array(noise, value_range="raw").array
    return torch.as_tensor(normal(seed, 0, len(rows), rows.shape[1], stream=Stream.POOL))


def require_outputs(out: Path, suffixes: tuple[str, ...]) -> Path:
    """The record's path beside the output, once both are known to be writable; raises FileError."""
    if out.suffix not in suffixes:
        raise FileError(str(out), expected="a name ending in " + " or ".join(suffixes), got=repr(out.suffix))
    require_writable(out)
    return require_writable(out.with_suffix(".json"))


def require_folder_output(out: Path) -> Path:
    """The record's path beside an output folder, once both are known to be writable; raises FileError."""
    if out.suffix == ".safetensors" or (out.exists() and not out.is_dir()):
        expected = "the name of a folder, for a potential per class"
        raise FileError(str(out), expected=expected, got="that of a file")
    require_writable(out / "labels.json" if out.is_dir() else out)
    return require_writable(f"{out.resolve()}.json")


def describe(rows: Tensor | LatentSource) -> str:
    return f"{len(rows):,} rows of {rows.shape[1]:,} numbers, {str(rows.dtype).removeprefix('torch.')}"
