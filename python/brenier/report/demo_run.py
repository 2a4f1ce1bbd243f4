"""The demo: every verb of the package on handwritten digits, and a report of what came out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from brenier.data.atomic import require_folder, write_bytes, write_text
from brenier.errors import require_package
from brenier.report import demo_figures, demo_stages, page
from brenier.report.demo_settings import DemoSettings, settings_for
from brenier.report.demo_stages import Clock, Data, Drawn, Fitted
from brenier.report.demo_words import headline
from brenier.report.record import new_record, plain, write_record
from brenier.solve.fixed_order import single_threaded

NEEDED = ("sklearn", "scipy", "matplotlib", "jinja2", "PIL")


def run_demo(
    out: str | os.PathLike[str], *, seed: int = 0, quick: bool = False, progress: bool = True
) -> dict[str, Any]:
    """Run the demo and write report.html, run.json and pictures into a folder; returns the run record.

    quick : every stage once at a small size, under a minute; the figures then mean little
    Raises BrenierError; packages and folder are checked before the work begins.
    """
    for package in NEEDED:
        require_package(package, "report")
    folder = require_folder(out)
    # networks this small gain nothing from threads, and the figures do not depend on the number of cores
    with single_threaded():
        record, data, drawn, fits = run_stages(settings_for(seed, quick), quick, progress)
    write_all(folder, record, data, drawn, fits)
    return record


def run_stages(
    settings: DemoSettings, quick: bool, progress: bool
) -> tuple[dict[str, Any], Data, list[Drawn], list[Fitted]]:
    """The record, and what its pictures are made from."""
    clock, record = Clock(), new_record("demo", {**vars(settings), "quick": quick})
    data = demo_stages.prepare_data(settings)
    record |= {"data": describe(data), "real": demo_stages.real_figures(data, settings)}
    clock.lap("data and classifier")
    trained = demo_stages.train_networks(data, settings, progress)
    record["training"] = demo_stages.training_figures(trained, settings, record["data"]["dim"])
    clock.lap("training two networks")
    fits = demo_stages.fit_potentials(data, settings, progress)
    record["fits"] = {str(fitted.last_steps): fitted.numbers for fitted in fits}
    clock.lap("fitting potentials")
    networks = {name: result.denoiser for name, result in trained.items()}
    drawn = list(demo_stages.draw_all(networks, fits, settings, progress))
    clock.lap("sampling")
    record["rows"] = demo_stages.measure_all(drawn, data, settings, progress)
    clock.lap("measuring")
    record["seconds"] = clock.seconds
    record["summary"] = headline(record)
    return plain(record), data, drawn, fits


def describe(data: Data) -> dict[str, Any]:
    return {
        "name": "handwritten digits of scikit-learn, 8 x 8 pixels, in [-1, 1]",
        "train": len(data.train),
        "held_out": len(data.held_out),
        "dim": data.train.images.shape[1],
        "spread": float(data.train.images.std(correction=0)),
        "classifier": data.classifier.name,
        "classifier_accuracy": data.classifier.accuracy,
    }


def write_all(
    folder: Path, record: dict[str, Any], data: Data, drawn: list[Drawn], fits: list[Fitted]
) -> None:
    """Pictures, page and record; the record comes last, so that its presence means a whole run."""
    pictures = demo_figures.pictures(record, data, drawn, fits)
    for name, content in demo_figures.readme_pictures(record, data, drawn).items():
        write_bytes(folder / name, content)
    write_text(folder / "report.html", page.render(record, pictures))
    write_record(folder / "run.json", record)
