"""Tables of the demo's report, from the run record alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NETWORKS = {"independent": "EDM", "aot": "EDM + AOT"}
COLUMNS = {  # figure -> heading, decimals; shares are printed as percentages
    "frechet_features": ("Fréchet, features", "{:.2f}"),
    "frechet_pixels": ("Fréchet, pixels", "{:.2f}"),
    "precision": ("precision", "{:.0%}"),
    "recall": ("recall", "{:.0%}"),
    "mode_mixture": ("mode mixture", "{:.1%}"),
    "nearest_ratio": ("distance to training image", "{:.2f}"),
    "share_closer": ("closer than 95% of held-out", "{:.0%}"),
}


@dataclass(frozen=True)
class Table:
    """Headings and rows of text; columns of numbers stand right."""

    caption: str
    headings: list[str]
    rows: list[list[str]]
    texts: int  # leading columns that are text


def demo_tables(record: dict[str, Any]) -> dict[str, Table]:
    """Quality, potentials, training and provenance."""
    return {
        "quality": quality_table(record),
        "fits": fits_table(record),
        "training": training_table(record),
        "run": run_table(record),
    }


def method_name(row: dict[str, Any]) -> str:
    return "plain Heun" if row["method"] == "heun" else f"DPM-OT, M = {row['last_steps']}"


def shown(figure: str, value: float | None) -> str:
    return "–" if value is None else COLUMNS[figure][1].format(value)


def quality_table(record: dict[str, Any]) -> Table:
    """One line per method, network and evaluations, after a line for real images."""
    real = record["real"]
    first = ["training images themselves", "–", "–", *(shown(name, real.get(name)) for name in COLUMNS)]
    body = [
        [method_name(row), NETWORKS[row["network"]], str(row["evaluations"])]
        + [shown(name, row[name]) for name in COLUMNS]
        for row in record["rows"]
    ]
    headings = ["sampler", "network", "evaluations", *(heading for heading, _ in COLUMNS.values())]
    caption = f"{record['settings']['samples']} samples a row, against {record['data']['held_out']} held-out images."
    return Table(caption, headings, [first, *body], texts=2)


def fits_table(record: dict[str, Any]) -> Table:
    """One line per potential."""
    body = [
        [
            f"M = {steps}",
            f"{fit['sigma']:.3g}",
            "yes" if fit["converged"] else "no",
            f"{fit['error']:.4f} ± {fit['error_stderr']:.4f}",
            "{chi_square:.4f} ± {stderr:.4f}".format(**fit["marginal_error"]),
            f"{fit['samples'] / fit['n']:.1f}",
            f"{fit['n'] / fit['samples']:.4f}",
            f"{fit['cost']:.1f}",
            f"{fit['cost_unpaired']:.1f}",
            f"{fit['seconds']:.1f} s",
        ]
        for steps, fit in record["fits"].items()
    ]
    headings = ["potential", "σ_M", "converged", "χ² at the stop", "χ² measured again"]
    headings += ["samples per target", "floor n/N", "mean squared cost", "same, unpaired", "time"]
    return Table("Potentials of noise onto the noised training images.", headings, body, texts=1)


def training_table(record: dict[str, Any]) -> Table:
    """One line per network."""
    body = [
        [
            NETWORKS[name],
            f"{one['losses'][-1]:.3f}",
            f"{one['curvature']:.1f}",
            f"{one['seconds']:.1f} s",
            f"{one['pairing_seconds']:.1f} s",
        ]
        for name, one in record["training"].items()
    ]
    headings = ["network", "last loss", "curvature of its paths", "training time", "of which pairing"]
    return Table("The two networks differ in how noise met images, in nothing else.", headings, body, texts=1)


def run_table(record: dict[str, Any]) -> Table:
    """Where and with what the numbers were made."""
    body = [[name, value] for name, value in (record["versions"] | record["machine"]).items()]
    body += [[name, f"{seconds:.1f} s"] for name, seconds in record["seconds"].items()]
    body += [["seed", str(record["settings"]["seed"])], ["date", record["date"]]]
    return Table("This run.", ["what", "value"], body, texts=2)
