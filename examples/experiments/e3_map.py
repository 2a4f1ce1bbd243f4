"""E3: the map itself: an exact power diagram in the plane, the fit in frames, and what interpolating noise does.

python examples/experiments/e3_map.py
"""

from __future__ import annotations

import argparse
import io
import warnings
from typing import Any

import brenier
import lab
import numpy as np
import torch
from brenier.data import NoisedLatents
from brenier.diffusion import MLP, edm_sigmas, sample_dpm_ot, sample_heun, train_edm
from brenier.errors import NotConvergedWarning
from brenier.report.plots import figure
from brenier.report.strips import strips
from power_diagram import Cell, gaussian_mass, power_diagram
from torch import Tensor
from tqdm import tqdm

COUNT = 48  # targets in the plane
BOX = 3.2  # the square that is drawn
PER_TARGET = (8, 16, 32, 64, 256, 512, 1024)  # at most so many noises per target in the frames
STEPS = 14  # of the interpolation
TAB = (
    "#4477AA",
    "#EE6677",
    "#228833",
    "#CCBB44",
    "#66CCEE",
    "#AA3377",
    "#BBBBBB",
    "#EE8866",
    "#44AA99",
    "#999933",
)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Draw the diagram and its fit for the first seed; measure masses and jumps for all."""
    quick, rows = options.quick, []
    shown: dict[str, bytes] = {}
    for seed in tqdm(options.seeds, "E3"):
        targets, labels = planar_digits(seed)
        frames = fit_frames(targets, seed, PER_TARGET[:2] if quick else PER_TARGET)
        rows += [{"seed": seed, "fit": name} | masses(targets, heights) for name, heights in frames]
        if not shown:
            shown = {
                "e3_diagram.png": diagram_png(targets, labels, frames),
                "e3_fit.gif": animation(targets, labels, frames),
                "e3_jumps.png": jumps_png(targets, labels, frames[-1][1]),
            }
        interpolated, found = interpolation(seed, quick)
        rows.append({"seed": seed, "fit": "interpolation"} | found)
        shown.setdefault("e3_interpolation.png", interpolated)
    return {"rows": rows, "pictures": shown}


def planar_digits(seed: int) -> tuple[Tensor, Tensor]:
    """Digits in their first two principal coordinates, float32 (COUNT, 2) of unit mean square, and their classes."""
    data = lab.open_lab("digits", seed)
    picked = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))[:COUNT]
    centred = data.train - data.train.mean(dim=0)
    _, _, axes = torch.linalg.svd(centred.double(), full_matrices=False)
    plane = (centred[picked].double() @ axes[:2].T).float()
    return plane / plane.square().mean().sqrt(), data.labels[picked]


def fit_frames(targets: Tensor, seed: int, budgets: tuple[int, ...]) -> list[tuple[str, Tensor]]:
    """Heights from h = 0 through growing numbers of noises to a converged fit."""
    frames = [("h = 0", torch.zeros(len(targets), dtype=torch.float64))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConvergedWarning)
        for count in budgets:
            found = brenier.fit(
                targets, tol=1e-9, max_samples=count * len(targets), seed=seed, progress=False
            )
            frames.append((f"at most {count} noises per target", found.potential.heights))
    last = brenier.fit(targets, tol=0.001, max_samples=20000 * len(targets), seed=seed, progress=False)
    return [*frames, (f"{last.samples // len(targets)} noises per target", last.potential.heights)]


def masses(targets: Tensor, heights: Tensor) -> dict[str, Any]:
    """Exact cell masses: the Gaussian measure of the polygons, no sampling."""
    cells = power_diagram(targets.double().numpy(), heights.numpy(), 9.0)
    found = np.array([gaussian_mass(cell.corners) for cell in cells])
    error = len(found) * found - 1
    return {
        "mass_in_all": float(found.sum()),
        "chi_square": float((error**2).mean()),
        "worst": float(np.abs(error).max()),
        "empty": int((found < 1e-9).sum()),
        "edges": sum(len(cell.neighbours) for cell in cells) // 2,
    }


# ---- pictures


def draw_cells(axes: Any, targets: Tensor, labels: Tensor, cells: list[Cell], title: str) -> None:
    for cell, label in zip(cells, labels.tolist(), strict=True):
        if len(cell.corners):
            axes.fill(*cell.corners.T, facecolor=TAB[label], edgecolor="white", linewidth=0.6, alpha=0.75)
    axes.scatter(
        *targets.T,
        c=[TAB[label] for label in labels.tolist()],
        s=16,
        edgecolor="black",
        linewidth=0.6,
        zorder=3,
    )
    frame(axes, title)


def frame(axes: Any, title: str) -> None:
    axes.set(xlim=(-BOX, BOX), ylim=(-BOX, BOX), aspect="equal", title=title, xticks=[], yticks=[])
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def described(targets: Tensor, name: str, heights: Tensor) -> str:
    return f"{name}: masses off by {100 * masses(targets, heights)['chi_square'] ** 0.5:.0f}% (rms)"


def diagram_png(targets: Tensor, labels: Tensor, frames: list[tuple[str, Tensor]]) -> bytes:
    """Before and after: the cells for h = 0 and for the fit, points in the colour of their class."""
    with figure("#222222", 9.0, 4.7) as (canvas, save):
        for axes, (name, heights) in zip(canvas.subplots(1, 2), (frames[0], frames[-1]), strict=True):
            cells = power_diagram(targets.double().numpy(), heights.numpy(), BOX)
            draw_cells(axes, targets, labels, cells, described(targets, name, heights))
        return save("png")


def animation(targets: Tensor, labels: Tensor, frames: list[tuple[str, Tensor]]) -> bytes:
    """The fit as an animated GIF."""
    image = __import__("PIL.Image", fromlist=["Image"])
    pictures = []
    for name, heights in frames:
        with figure("#222222", 3.6, 3.8) as (canvas, save):
            cells = power_diagram(targets.double().numpy(), heights.numpy(), BOX)
            draw_cells(canvas.subplots(), targets, labels, cells, described(targets, name, heights))
            pictures.append(image.open(io.BytesIO(save("png"))).convert("P", palette=1, colors=64))
    out = io.BytesIO()
    pace = [900] + [450] * (len(frames) - 2) + [2500]
    pictures[0].save(
        out, "GIF", save_all=True, append_images=pictures[1:], duration=pace, loop=0, optimize=True
    )
    return out.getvalue()


def jumps_png(targets: Tensor, labels: Tensor, heights: Tensor) -> bytes:
    """Where the map is discontinuous: every edge, as thick as the jump ‖y_i − y_j‖; and the potential along a line."""
    cells = power_diagram(targets.double().numpy(), heights.numpy(), BOX)
    with figure("#222222", 9.0, 4.4) as (canvas, save):
        left, right = canvas.subplots(1, 2)
        for cell, label in zip(cells, labels.tolist(), strict=True):
            if len(cell.corners):
                left.fill(*cell.corners.T, facecolor=TAB[label], alpha=0.3, linewidth=0)
        for number, cell in enumerate(cells):
            for other, edge in cell.neighbours.items():
                if other > number:
                    jump = float((targets[number] - targets[other]).norm())
                    left.plot(*edge.T, color="black", linewidth=1.6 * jump, solid_capstyle="round")
        left.axhline(0, color=TAB[1], linewidth=1)
        frame(left, "the map jumps across every edge; thickness: how far")
        slice_of(right, targets, heights)
        return save("png")


def slice_of(axes: Any, targets: Tensor, heights: Tensor) -> None:
    """u_h and the map's first coordinate along the horizontal axis."""
    x = torch.stack([torch.linspace(-BOX, BOX, 2001), torch.zeros(2001)], dim=1)
    potential = brenier.Potential.of(targets, heights)
    axes.plot(x[:, 0], potential.value(x), color=TAB[0], label="potential u(x): continuous, convex, kinked")
    axes.plot(
        x[:, 0], potential.transport(x)[:, 0], color=TAB[1], label="its slope, the map: jumps at each kink"
    )
    axes.set(xlabel="x₁ along the line on the left")
    axes.set_title("the singular set along a line")
    axes.legend(loc="upper center")


# ---- interpolation


def interpolation(seed: int, quick: bool) -> tuple[bytes, dict[str, Any]]:
    """Noise turned on a circle from one seed to another: the map's image, DPM-OT's sample, plain samples."""
    data = lab.open_lab("digits", seed)
    network = train_edm(
        MLP(64, 128, 3, seed=seed), data.train, steps=40 if quick else 1000, batch=64, lr=2e-3, seed=seed,
        progress=False, **lab.LEVELS,
    ).denoiser  # fmt: skip
    path = circle(lab.draw(seed + 77, 2, 64), 201)
    shown = path[torch.linspace(0, 200, STEPS).round().long()]
    start = float(edm_sigmas(18, lab.SIGMA_MIN, lab.SIGMA_MAX)[-11])
    latents = NoisedLatents(data.train, sigma=start, seed=seed)
    potential = brenier.fit(latents.materialise(), tol=0.05, seed=seed, progress=False).potential
    late = edm_sigmas(10, lab.SIGMA_MIN, start)

    def dpm_ot(noise: Tensor) -> Tensor:
        return sample_dpm_ot(network, potential, noise, late, 10, latents=latents).samples

    def plain(noise: Tensor) -> Tensor:
        return sample_heun(network, lab.SIGMA_MAX * noise, edm_sigmas(18, lab.SIGMA_MIN, lab.SIGMA_MAX))

    indices = potential.assign(path)
    strip = strips(
        [
            ("the target g(x)", latents.clean(potential.assign(shown))),
            (f"DPM-OT from σ = {start:.2g}", dpm_ot(shown)),
            ("plain Heun, 35 evaluations", plain(shown)),
        ],
        (1, 8, 8),
        "noise turned from one seed (left) to another (right)",
    )
    steps = {
        name: sample(path).diff(dim=0).norm(dim=1) for name, sample in (("dpm_ot", dpm_ot), ("plain", plain))
    }
    return strip, {
        "cells_crossed": int((indices.diff() != 0).sum()),
        "dpm_ot_largest_over_median": ratio(steps["dpm_ot"]),
        "plain_largest_over_median": ratio(steps["plain"]),
        "dpm_ot_still": float((steps["dpm_ot"] == 0).double().mean()),
        "dpm_ot_largest": float(steps["dpm_ot"].max()),
        "plain_largest": float(steps["plain"].max()),
    }


def circle(ends: Tensor, count: int) -> Tensor:
    """a·cos φ + b·sin φ from a to b: standard normal at every angle."""
    angle = torch.linspace(0, torch.pi / 2, count)[:, None]
    return ends[0] * angle.cos() + ends[1] * angle.sin()


def ratio(steps: Tensor) -> float | None:
    median = float(steps.median())
    return float(steps.max()) / median if median else None


# ---- the page


def section(record: dict[str, Any]) -> str:
    """The part of docs/experiments.md about the map."""
    fits = [row for row in record["rows"] if row["fit"] != "interpolation"]
    names = list(dict.fromkeys(row["fit"] for row in fits if row["seed"] == record["settings"]["seeds"][0]))
    last = {row["seed"]: row for row in fits}
    table = lab.table(
        ["fit", "χ², exact", "worst cell off by", "empty cells"],
        [fit_row(name, [row for row in fits if row["fit"] == name]) for name in names[:-1]]
        + [fit_row("converged (tol 0.001)", list(last.values()))],
    )
    walks = [row for row in record["rows"] if row["fit"] == "interpolation"]
    crossed = lab.shown(lab.spread(row["cells_crossed"] for row in walks), ".0f")
    still = 100 * lab.spread(row["dpm_ot_still"] for row in walks)["mean"]
    far, near = (
        lab.shown(lab.spread(row[key] for row in walks)) for key in ("dpm_ot_largest", "plain_largest")
    )
    return f"""## E3. The map itself

`python examples/experiments/e3_map.py`

{COUNT} digits in their first two principal coordinates, and the cells of the plane that the map sends to each: exact
polygons, clipped half-plane by half-plane, coloured by class. Their Gaussian masses are integrated exactly too, so the
error of a fit is measured without sampling. A target need not lie in its own cell: what counts is that every cell holds
the same mass of noise.

![Power diagram](experiments/e3_diagram.png)

![The fit](experiments/e3_fit.gif)

{table}

The map is constant inside a cell and jumps across every edge: noises that differ by nothing can be sent to different
digits. The potential is continuous; its kinks are the jumps.

![Discontinuities](experiments/e3_jumps.png)

Turning noise from one seed to another in 64 dimensions in 200 steps crosses {crossed} cells. Between crossings the
sample of DPM-OT (stored noise) stays exactly the same, in {still:.0f}% of the steps, and then changes by up to {far};
the sample of the plain sampler never changes by more than {near} in a step (Euclidean distance, pixels in [-1, 1]). For
smooth interpolation use the plain sampler, or the extended map.

![Interpolation](experiments/e3_interpolation.png)"""


def fit_row(name: str, rows: list[dict[str, Any]]) -> list[str]:
    worst = lab.spread(100 * row["worst"] for row in rows)
    empty = lab.spread(row["empty"] for row in rows)
    return [name, lab.shown(lab.spread(row["chi_square"] for row in rows), ".2g"), f"{lab.shown(worst, '.0f')}%",
            lab.shown(empty, ".1f")]  # fmt: skip


if __name__ == "__main__":
    lab.command("e3_map", run)
