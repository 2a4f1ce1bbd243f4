"""The demo's pictures: charts from the run record, image grids from its samples."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from brenier.data.digits import IMAGE_SHAPE
from brenier.report.demo_stages import Data, Drawn, Fitted
from brenier.report.demo_words import middle, named
from brenier.report.page import Picture
from brenier.report.pictures import grid
from brenier.report.plots import Chart, Line, round_numbers, svg
from brenier.report.plots import png as chart_png
from brenier.report.strips import strips
from brenier.report.tables import NETWORKS, method_name

SHOWN, COLUMNS = 24, 8
INKS = {"independent": "blue", "aot": "orange"}
LOOKS = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "v"))  # line and marker, by sampler
FIT_COLOURS = ("green", "purple", "red")


def pictures(
    record: dict[str, Any], data: Data, drawn: list[Drawn], fits: list[Fitted]
) -> dict[str, Picture]:
    """Everything the page shows, by name."""
    charts = {
        "fit": (
            fit_chart(record),
            "χ² while fitting, against noises per target. Lines are running estimates with noise of their own; "
            "points are independent checks with their standard errors.",
        ),
        "features": (
            quality_chart(record, "frechet_features", "Fréchet distance, features"),
            "Distance to the held-out images in the classifier's features; lower is better.",
        ),
        "pixels": (
            quality_chart(record, "frechet_pixels", "Fréchet distance, pixels"),
            "The same on raw pixels.",
        ),
        "copies": (
            quality_chart(record, "nearest_ratio", "distance to training set", from_zero=True),
            "Median distance of samples to the nearest training image, in units of that of held-out images: "
            "near 1 is no copying, 0 is copies.",
        ),
        "curvature": (
            curvature_chart(record),
            "Change of the denoised image along sampling paths, per step.",
        ),
    }
    found = {name: Picture(name, caption, svg=svg(chart)) for name, (chart, caption) in charts.items()}
    return found | grids(record, data, drawn) | {"trace": trace(data, drawn, fits)}


def fit_chart(record: dict[str, Any]) -> Chart:
    """χ² and the floor n/N against samples per target, for each potential."""
    lines, reach = [], []
    for colour, (steps, fit) in zip(FIT_COLOURS, record["fits"].items(), strict=False):
        kept = [
            row
            for row in fit["history"]
            if row["error"] is not None and row["error"] > 0 and row["samples"] > 0
        ]
        x = [row["samples"] / fit["n"] for row in kept]
        lines.append(Line(f"M = {steps}", x, [row["error"] for row in kept], colour))
        lines.append(check_line(fit, colour))
        reach += x
    low, high = min(reach, default=1.0), max(reach, default=10.0)
    tol = record["settings"]["tol"]
    lines.append(Line("floor n/N", [low, high], [1 / low, 1 / high], "grey", "--"))
    lines.append(Line("tolerance", [low, high], [tol, tol], "grey", ":"))
    ticks = round_numbers(low, high)
    return Chart(lines, "noises per target, N/n", "χ² of cell masses", x_log=True, y_log=True, x_ticks=ticks)


def check_line(fit: dict[str, Any], colour: str) -> Line:
    """The independent checks of the fit, and the demo's own measurement at its end."""
    own = fit["marginal_error"]
    points = [
        (check["at_samples"] or fit["samples"], check["error"], check["error_stderr"])
        for check in fit["checks"]
    ]
    points.append((fit["samples"], own["chi_square"], own["stderr"]))
    x, y, errors = zip(*[point for point in points if point[1] > 0] or [points[-1]], strict=True)
    return Line("", [samples / fit["n"] for samples in x], list(y), colour, "none", "o", list(errors))


def quality_chart(record: dict[str, Any], figure: str, label: str, *, from_zero: bool = False) -> Chart:
    """One figure against evaluations, a line per sampler and network."""
    series: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in record["rows"]:
        series.setdefault((method_name(row), row["network"]), []).append(row)
    looks = dict(zip(dict.fromkeys(name for name, _ in series), LOOKS, strict=False))
    lines = [
        Line(
            f"{name}, {NETWORKS[network]}",
            [row["evaluations"] for row in rows],
            [row[figure] for row in rows],
            INKS[network],
            *looks[name],
        )
        for (name, network), rows in series.items()
    ]
    ticks = sorted({float(row["evaluations"]) for row in record["rows"]})
    return Chart(
        lines, "evaluations of the network", label, x_ticks=ticks, y_log=not from_zero, y_from_zero=from_zero
    )


def curvature_chart(record: dict[str, Any]) -> Chart:
    lines = [
        Line(NETWORKS[name], one["curvature_sigmas"][:-1], one["curvature_per_step"], INKS[name])
        for name, one in record["training"].items()
    ]
    return Chart(
        lines, "noise level σ", "squared change per step", x_log=True, reverse_x=True, y_from_zero=True
    )


def grids(record: dict[str, Any], data: Data, drawn: list[Drawn]) -> dict[str, Picture]:
    """Samples of every method at the middle number of evaluations, beside real images."""
    found = {"grid real": sheet("grid real", "Held-out images", data.held_out.images)}
    for one in at_middle(record, drawn):
        title = f"{named(vars(one))}, {one.evaluations} evaluations"
        found[f"grid {title}"] = sheet(f"grid {title}", title[0].upper() + title[1:], one.samples)
    return found


def at_middle(record: dict[str, Any], drawn: list[Drawn]) -> list[Drawn]:
    return [one for one in drawn if one.evaluations == middle(record)]


def sheet(name: str, title: str, images: Tensor) -> Picture:
    return Picture(name, title, pixels=grid(images[:SHOWN], IMAGE_SHAPE, COLUMNS))


def trace(data: Data, drawn: list[Drawn], fits: list[Fitted]) -> Picture:
    """Start, sample and nearest training image, column by column, for each M."""
    rows: list[Tensor] = []
    for fitted in fits:
        one = next(d for d in drawn if d.last_steps == fitted.last_steps)
        if one.starts is not None:
            picked = one.samples[:COLUMNS]
            rows += [one.starts[:COLUMNS], picked, nearest(picked, data.train.images)]
    caption = "; ".join(
        f"rows {3 * i + 1} to {3 * i + 3}: M = {fitted.last_steps}, the latent that the noise was sent to, the sample, "
        f"the training image nearest to it"
        for i, fitted in enumerate(fits)
    )
    return Picture("trace", caption + ".", pixels=grid(torch.cat(rows), IMAGE_SHAPE, COLUMNS))


def nearest(samples: Tensor, images: Tensor) -> Tensor:
    return images[torch.cdist(samples, images).argmin(dim=1)]


def readme_pictures(record: dict[str, Any], data: Data, drawn: list[Drawn]) -> dict[str, bytes]:
    """Files beside the page: the strips of samples, the quality curves and the fit, on white."""
    rows = [("held-out images", data.held_out.images)]
    rows += [(named(vars(one)), one.samples) for one in at_middle(record, drawn)]
    title = f"{middle(record)} evaluations of the network, the same noise in every column"
    return {
        "samples.png": strips(rows, IMAGE_SHAPE, title),
        "quality.png": chart_png(quality_chart(record, "frechet_features", "Fréchet distance, features")),
        "fit.png": chart_png(fit_chart(record)),
    }
