"""What the experiments share: real data that ships with scikit-learn, figures, records, and the page they make."""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from brenier.data import load_digits
from brenier.data.atomic import require_folder, write_bytes, write_text
from brenier.data.noise import Stream, normal
from brenier.metrics import (
    Classifier,
    frechet_distance,
    kernel_distance,
    train_classifier,
)
from brenier.report.record import new_record, plain, read_record, write_record
from brenier.solve.fixed_order import single_threaded
from torch import Tensor

DOCS = Path(__file__).resolve().parents[2] / "docs"
SECTIONS = ("e1_couplings", "e2_dpm_ot", "e3_map", "e4_recipes")
SIGMA_MIN, SIGMA_MAX = 0.002, 20.0  # 8 x 8 pixels drown well below EDM's 80
LEVELS = {"P_mean": -0.6, "P_std": 1.4}  # ln σ in training, for data of standard deviation about 0.7
HELD_OUT = 500


@dataclass(frozen=True)
class Lab:
    """A data set, split, and the classifier whose features are measured; images (n, 64) float32 in [-1, 1]."""

    name: str
    train: Tensor
    labels: Tensor
    held_out: Tensor
    held_out_labels: Tensor
    classifier: Classifier
    image_shape: tuple[int, int, int]

    def quality(self, samples: Tensor, reference: Tensor) -> float:
        """The Fréchet distance in the classifier's features."""
        features = self.classifier.features
        return frechet_distance(features(reference), features(samples))

    def floor(self, samples: int, seed: int) -> float:
        """What as many training images, from anywhere in the set, score."""
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(seed))
        return self.quality(self.train[order[:samples]], self.held_out)

    def figures(self, samples: Tensor) -> dict[str, float]:
        """What every table shows, against the held-out images."""
        kernel = kernel_distance(self.classifier.features(self.held_out), self.classifier.features(samples))
        return {
            "frechet": self.quality(samples, self.held_out),
            "frechet_pixels": frechet_distance(self.held_out, samples),
            "kernel": kernel.value,
        }


@functools.cache
def open_lab(name: str, seed: int) -> Lab:
    """The data set "digits" or "patches", split and classified by the seed."""
    images, labels = digits() if name == "digits" else patches()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    held, rest = order[:HELD_OUT].sort().values, order[HELD_OUT:].sort().values
    classifier = train_classifier(images[rest], labels[rest], seed)
    return Lab(name, images[rest], labels[rest], images[held], labels[held], classifier, (1, 8, 8))


def digits() -> tuple[Tensor, Tensor]:
    """The 1,797 handwritten digits of scikit-learn and their classes."""
    found = load_digits()
    return found.images, found.labels


def patches(side: int = 8, shrink: int = 2) -> tuple[Tensor, Tensor]:
    """Grey patches (n, side²) of scikit-learn's two photographs, side by side without overlap, and which photograph."""
    cut = [one_photograph(image, side, shrink) for image in photographs()]
    labels = torch.cat([torch.full((len(rows),), number) for number, rows in enumerate(cut)])
    return torch.cat(cut), labels


def photographs() -> list[Tensor]:
    """Two colour photographs, (427, 640, 3) float32 in [-1, 1]."""
    loaded = importlib.import_module("sklearn.datasets").load_sample_images().images
    return [torch.from_numpy(image.copy()).float() / 127.5 - 1 for image in loaded]


def one_photograph(image: Tensor, side: int, shrink: int) -> Tensor:
    grey = torch.nn.functional.avg_pool2d(image.mean(dim=2)[None, None], shrink)[0, 0]
    tiles = grey.unfold(0, side, side).unfold(1, side, side)
    return tiles.reshape(-1, side * side)


def draw(seed: int, rows: int, dim: int) -> Tensor:
    """Sampling noise number 0 to rows − 1 of a seed."""
    return torch.as_tensor(normal(seed, 0, rows, dim, stream=Stream.SAMPLE))


def spread(values: Iterable[float]) -> dict[str, float]:
    """Mean and standard deviation over seeds."""
    listed = list(values)
    return {
        "mean": statistics.fmean(listed),
        "sd": statistics.stdev(listed) if len(listed) > 1 else 0.0,
        "seeds": len(listed),
    }


def shown(value: dict[str, float], form: str = ".2f") -> str:
    return f"{value['mean']:{form}} ± {value['sd']:{form}}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def command(
    experiment: str, work: Callable[[argparse.Namespace], dict[str, Any]], *, datasets: bool = False
) -> None:
    """Run one experiment from the command line, save its record and write the page anew."""
    parser = argparse.ArgumentParser(description=work.__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--quick", action="store_true", help="every line once, in a minute; figures mean nothing"
    )
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of experiments.md [default: docs]")
    if datasets:
        parser.add_argument("--data", choices=("digits", "patches"), default="digits")
    parser.add_argument("--parts", type=Path, help="folder that keeps finished seeds, to run them one by one")
    parser.add_argument(
        "--page", action="store_true", help="only write experiments.md and its charts anew from the records"
    )
    options = parser.parse_args()
    if options.page:
        write_page(options.out)
        return
    folder = require_folder(options.out / "experiments")
    suffix = f"_{options.data}" if datasets and options.data != "digits" else ""
    began = time.process_time()
    with single_threaded():
        found = work(options)
    pictures = found.pop("pictures")
    record = new_record(
        experiment, {k: v for k, v in vars(options).items() if k not in ("out", "parts", "page")}
    ) | plain(found)
    record["cpu_minutes"] = found.get("part_minutes", (time.process_time() - began) / 60)
    for name, content in pictures.items():
        write_bytes(folder / name, content)
    write_record(folder / f"{experiment}{suffix}.json", record)
    write_page(options.out)


def write_page(out: Path) -> None:
    """docs/experiments.md, and the charts on it, from the records that exist."""
    parts = [HEAD]
    for name in SECTIONS:
        for file in sorted((out / "experiments").glob(f"{name}*.json")):
            record, module = read_record(file, name), importlib.import_module(name)
            for picture, content in getattr(module, "charts", lambda _: {})(record).items():
                write_bytes(file.with_name(picture), content)
            parts.append(module.section(record) + footer(record))
    write_text(out / "experiments.md", "\n\n".join(parts) + "\n")


def part(options: argparse.Namespace, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` finds, as JSON has it; with --parts, kept in a file and taken from there the next time."""
    file = None if options.parts is None else require_folder(options.parts) / f"{name}.json"
    if file is not None and file.exists():
        return dict(read_record(file, "part"))
    began = time.process_time()
    found = work()
    found["part_minutes"] = (time.process_time() - began) / 60
    record = dict(json.loads(json.dumps(new_record("part", {"name": name}) | plain(found))))
    if file is not None:
        write_record(file, record)
    return record


def footer(record: dict[str, Any]) -> str:
    cores, processor = record["machine"]["cores"], record["machine"]["processor"]
    seeded = record["kind"] != "e4_recipes"  # whose figures mean nothing
    seeds = f"seeds {', '.join(map(str, record['settings']['seeds']))}, " if seeded else ""
    return (
        f"\n\n<sub>{record['date'][:10]}, {record['cpu_minutes']:.1f} minutes of one core ({processor}, {cores} cores, "
        f"shared with other work), {seeds}brenier "
        f"{record['versions']['brenier']}, torch {record['versions']['torch']}.</sub>"
    )


HEAD = """# Experiments

Every figure, table and sentence with a number on this page was written by the command above it; the records lie in
[experiments/](experiments/). The data are real and ship with scikit-learn: 1,797 handwritten digits (8 x 8 grey pixels,
ten classes), and 8 x 8 grey patches cut from its two photographs (the photograph is the class). They are small: these
experiments show mechanisms, not rankings on large images. 500 images are held out as the reference. Distances are in
the features of a small classifier trained in the run: they are not FID and compare with no published figure. "±" is the
standard deviation over seeds; each seed has its own split, classifier, network weights, noise and potential."""
