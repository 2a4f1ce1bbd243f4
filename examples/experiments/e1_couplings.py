"""E1: how noise meets data in training, and quality against evaluations, with schedules tuned for every coupling.

python examples/experiments/e1_couplings.py [--data patches]
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from dataclasses import dataclass
from itertools import islice
from typing import Any

import brenier
import lab
import torch
from brenier.diffusion import (
    MLP,
    ScheduleSearch,
    edm_sigmas,
    evaluations,
    sample_heun,
    search_schedule,
    train_edm,
)
from brenier.diffusion.feed import make_pairs
from brenier.errors import NotConvergedWarning
from brenier.metrics import condition_leak, curvature, straightness
from brenier.report.plots import Chart, Line, png
from tqdm import tqdm

STEPS = (3, 4, 5, 6, 8, 12, 18)  # 5 to 35 evaluations
RHOS = (2.0, 6.0, 20.0)
TRAIN_STEPS, BATCH, POOL, WIDTH, DEPTH, LEARNING_RATE = 600, 64, 512, 128, 3, 2e-3
SAMPLES, TUNED_ON = 500, 250
SAMPLE_SEED, TUNE_SEED, PATH_SEED = 202, 404, 303  # added to the seed: noise that nothing else uses


@dataclass(frozen=True)
class Arm:
    """One way of training."""

    name: str
    coupling: str
    conditional: bool
    colour: str

    @property
    def style(self) -> str:
        return "--" if self.conditional else "-"


ARMS = {
    "independent": Arm("independent", "independent", False, "blue"),
    "aot": Arm("AOT", "aot", False, "orange"),
    "semidiscrete": Arm("semidiscrete", "semidiscrete", False, "green"),
    "independent_classes": Arm("independent, classes", "independent", True, "blue"),
    "aot_classes": Arm("AOT over all classes, classes", "aot", True, "orange"),
    "c2ot_classes": Arm("C²OT, classes", "c2ot", True, "purple"),
}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train every arm on every seed, tune its schedules, sample, measure."""
    parts = [
        lab.part(options, f"e1_{options.data}_{seed}", lambda s=seed: one_seed(options, s))
        for seed in options.seeds
    ]
    found = {
        "data": options.data,
        "rows": [row for part in parts for row in part["rows"]],
        "floor": lab.spread(part["floor"] for part in parts),
        "part_minutes": sum(part["part_minutes"] for part in parts),
    }
    return found | {"pictures": {}}


def one_seed(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Every arm on one split of the data."""
    rows = []
    for key in tqdm(ARMS, f"E1, seed {seed}"):
        data = lab.open_lab(options.data, seed)
        trained = train_arm(data, ARMS[key], seed, options.quick)
        # tuned on other noise and against training images
        schedule = tune(data, ARMS[key], trained["denoiser"], seed, options.quick)
        found = measure(data, ARMS[key], trained, schedule, seed, options.quick)
        rows.append({"arm": key, "seed": seed, "schedule": schedule} | found)
    return {"rows": rows, "floor": floor(options.data, seed)}


def floor(name: str, seed: int) -> float:
    """What as many training images score."""
    data = lab.open_lab(name, seed)
    return data.quality(data.train[:SAMPLES], data.held_out)


def train_arm(data: lab.Lab, arm: Arm, seed: int, quick: bool) -> dict[str, Any]:
    """The denoiser of one arm, what it cost, and the leak of its pairs."""
    began, steps = time.process_time(), 40 if quick else TRAIN_STEPS
    potential = fitted(data, seed) if arm.coupling == "semidiscrete" else None
    fitting = time.process_time() - began
    condition = data.labels if arm.conditional else None
    classes = int(data.labels.max()) + 1 if arm.conditional else 0
    result = train_edm(
        MLP(data.train.shape[1], WIDTH, DEPTH, seed=seed, classes=classes),
        data.train,
        coupling=arm.coupling,
        potential=potential,
        condition=condition,
        steps=steps,
        batch=BATCH,
        pool=POOL,
        lr=LEARNING_RATE,
        seed=seed,
        progress=False,
        **lab.LEVELS,
    )
    seconds = time.process_time() - began
    pairs = make_pairs(arm.coupling, data.train, potential, BATCH, POOL, None, condition, seed + 1)
    noise, index = (torch.cat(part) for part in zip(*islice(pairs, 8 if quick else 64), strict=True))
    return {
        "denoiser": result.denoiser,
        "train_seconds": seconds,
        "fit_seconds": fitting,
        "leak": condition_leak(noise, data.labels[index]),
        "pair_cost": float((noise - data.train[index]).square().sum(dim=1).mean()),
    }


def fitted(data: lab.Lab, seed: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", NotConvergedWarning
        )  # patches of sky differ too little to be told apart
        return brenier.fit(
            data.train, tol=0.05, max_samples=100 * len(data.train), seed=seed, progress=False
        ).potential


def with_labels(data: lab.Lab, arm: Arm, denoiser: Any, rows: int) -> Any:
    """The denoiser as the samplers call it: labels in the frequencies of the training set."""
    if not arm.conditional:
        return denoiser
    labels = data.labels[torch.arange(rows) * len(data.labels) // rows]
    return lambda x, sigma: denoiser(x, sigma, labels)


def tune(data: lab.Lab, arm: Arm, denoiser: Any, seed: int, quick: bool) -> dict[int, float]:
    """The best ρ for each number of evaluations."""
    rows = 100 if quick else TUNED_ON
    found: ScheduleSearch = search_schedule(
        with_labels(data, arm, denoiser, rows),
        lab.draw(seed + TUNE_SEED, rows, data.train.shape[1]),
        lambda samples: data.quality(samples, data.train),
        steps=STEPS[:2] if quick else STEPS,
        rhos=RHOS,
        sigma_min=lab.SIGMA_MIN,
        sigma_max=lab.SIGMA_MAX,
        progress=False,
    )
    return {trial.evaluations: trial.rho for trial in found.curve()}


def measure(
    data: lab.Lab, arm: Arm, trained: dict[str, Any], schedule: dict[int, float], seed: int, quick: bool
) -> dict[str, Any]:
    """Quality at every number of evaluations; curvature and straightness of the paths."""
    rows = 200 if quick else SAMPLES
    denoiser = with_labels(data, arm, trained["denoiser"], rows)
    start = lab.SIGMA_MAX * lab.draw(seed + SAMPLE_SEED, rows, data.train.shape[1])
    curves: dict[str, Any] = {"tuned": {}}
    for steps in STEPS[:2] if quick else STEPS:
        count = evaluations(steps)
        sigmas = edm_sigmas(steps, lab.SIGMA_MIN, lab.SIGMA_MAX, schedule[count])
        curves["tuned"][count] = data.figures(sample_heun(denoiser, start, sigmas))
    kept = {key: value for key, value in trained.items() if key != "denoiser"}
    return kept | curves | paths(data, arm, trained["denoiser"], seed)


def paths(data: lab.Lab, arm: Arm, denoiser: Any, seed: int) -> dict[str, Any]:
    """Curvature and straightness on 256 fixed noises and one fine grid."""
    start = lab.SIGMA_MAX * lab.draw(seed + PATH_SEED, 256, data.train.shape[1])
    grid = torch.logspace(math.log10(lab.SIGMA_MAX), math.log10(lab.SIGMA_MIN), 65, dtype=torch.float64)
    ready = with_labels(data, arm, denoiser, 256)
    bent = curvature(ready, start, grid)
    edges = torch.tensor([0.0, 0.05, 0.2, 0.8, 3.0, lab.SIGMA_MAX])
    return {
        "curvature": bent.total,
        "curvature_bins": bent.bins(edges),
        "curvature_per_step": bent.per_step,
        "curvature_sigmas": bent.sigmas,
        "straightness": straightness(ready, start, grid),
    }


# ---- the page


def of_arm(record: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return [row for row in record["rows"] if row["arm"] == key]


def curve(
    record: dict[str, Any], key: str, kind: str, figure: str = "frechet"
) -> dict[int, dict[str, float]]:
    """Mean and spread over seeds by number of evaluations."""
    rows = of_arm(record, key)
    counts = sorted(int(count) for count in rows[0][kind])
    return {count: lab.spread(row[kind][str(count)][figure] for row in rows) for count in counts}


def charts(record: dict[str, Any]) -> dict[str, bytes]:
    name = record["data"]
    return {
        f"e1_quality_{name}.png": png(quality_chart(record), 6.4, 4.2),
        f"e1_curvature_{name}.png": png(curvature_chart(record), 6.4, 3.8),
    }


def quality_chart(record: dict[str, Any]) -> Chart:
    lines = []
    for key, arm in ARMS.items():
        found = curve(record, key, "tuned")
        means, errors = ([value[part] for value in found.values()] for part in ("mean", "sd"))
        lines.append(Line(arm.name, list(map(float, found)), means, arm.colour, arm.style, "o", errors))
    ticks = [float(count) for count in found]
    label = "Fréchet distance, features"
    return Chart(lines, "evaluations of the network, ρ tuned for each", label, y_log=True, x_ticks=ticks)


def curvature_chart(record: dict[str, Any]) -> Chart:
    lines = []
    for key, arm in ARMS.items():
        rows = of_arm(record, key)
        per_step = [[float(v) for v in row["curvature_per_step"]] for row in rows]
        means = [sum(column) / len(column) for column in zip(*per_step, strict=True)]
        sigmas = [float(v) for v in rows[0]["curvature_sigmas"]][:-1]
        lines.append(Line(arm.name, sigmas, means, arm.colour, arm.style))
    label = "squared change of D per step"
    return Chart(lines, "noise level σ", label, x_log=True, reverse_x=True, y_from_zero=True)


def section(record: dict[str, Any]) -> str:
    """The part of docs/experiments.md about this record."""
    name = record["data"]
    flag = "" if name == "digits" else " --data patches"
    counts = list(curve(record, "aot", "tuned"))
    quality = lab.table(
        ["evaluations", *map(str, counts)],
        [
            [arm.name, *[lab.shown(v) for v in curve(record, key, "tuned").values()]]
            for key, arm in ARMS.items()
        ],
    )
    rhos = lab.table(
        ["ρ", *map(str, counts)],
        [[arm.name, *[chosen(record, key, count) for count in counts]] for key, arm in ARMS.items()],
    )
    costs = lab.table(
        ["", "curvature", "straightness", "Σ‖y − ε‖² per pair", "class told from noise", "chance", "CPU s"],
        [cost_row(record, key) for key in ARMS],
    )
    return f"""## E1. Couplings in training: {name}

`python examples/experiments/e1_couplings.py{flag}`

One MLP ({WIDTH} wide, {DEPTH} residual layers), {TRAIN_STEPS} steps of {BATCH} pairs, pools of {POOL}; the same
weights and budget for every coupling. "Classes" networks are told the class. Schedules: Heun, ρ tuned per coupling and
number of evaluations for each seed, against training images on other noise. {SAMPLES} samples a figure; as many
training images score {lab.shown(record["floor"])}.

{verdict(record)}

![Quality against evaluations](experiments/e1_quality_{name}.png)

Fréchet distance in features, schedule tuned:

{quality}

The ρ that was found, seed by seed:

{rhos}

![Curvature](experiments/e1_curvature_{name}.png)

Curvature is Σ‖D_i+1 − D_i‖² over 64 geometric steps from σ = {lab.SIGMA_MAX:g}, straightness ∫‖v − chord‖² dt. "Class
told from noise" is `condition_leak` of 4,096 pairs: what a network that knows the class sees in training and not in
sampling. CPU seconds are of training with pairing and, for semidiscrete, fitting the potential.

{costs}"""


def chosen(record: dict[str, Any], key: str, count: int) -> str:
    """The tuned ρ of every seed."""
    return ", ".join(f"{row['schedule'][str(count)]:g}" for row in of_arm(record, key))


def cost_row(record: dict[str, Any], key: str) -> list[str]:
    rows = of_arm(record, key)
    take = lambda figure: lab.shown(lab.spread(figure(row) for row in rows))  # noqa: E731
    return [
        ARMS[key].name,
        take(lambda row: row["curvature"]),
        take(lambda row: row["straightness"]["value"]),
        take(lambda row: row["pair_cost"]),
        f"{100 * lab.spread(row['leak']['accuracy'] for row in rows)['mean']:.1f}%",
        f"{100 * lab.spread(row['leak']['chance'] for row in rows)['mean']:.1f}%",
        f"{lab.spread(row['train_seconds'] for row in rows)['mean']:.1f}",
    ]


def verdict(record: dict[str, Any]) -> str:
    """Does the gain at few evaluations appear? In words made from the record."""
    pairs = [
        ("aot", "independent"),
        ("semidiscrete", "independent"),
        ("c2ot_classes", "independent_classes"),
        ("aot_classes", "independent_classes"),
    ]
    return "\n".join(compare(record, ours, base) for ours, base in pairs)


def compare(record: dict[str, Any], ours: str, base: str) -> str:
    """Where one arm beats another in every seed, and where it loses in every seed."""
    a, b = of_arm(record, ours), of_arm(record, base)
    counts = list(curve(record, ours, "tuned"))
    better, worse, tied = [], [], []
    for count in counts:
        gains = [1 - curve_value(x, count) / curve_value(y, count) for x, y in zip(a, b, strict=True)]
        words = f"{count} ({100 * sum(gains) / len(gains):+.0f}%)"
        (better if min(gains) > 0 else worse if max(gains) < 0 else tied).append(words)
    parts = [
        f"{name} {', '.join(found)}" for name, found in (("better in every seed at", better),
        ("worse in every seed at", worse), ("undecided at", tied)) if found
    ]  # fmt: skip
    return f"- **{ARMS[ours].name} against {ARMS[base].name}** (mean gain in Fréchet distance): {'; '.join(parts)}."


def curve_value(row: dict[str, Any], count: int) -> float:
    return float(row["tuned"][str(count)]["frechet"])


if __name__ == "__main__":
    lab.command("e1_couplings", run, datasets=True)
