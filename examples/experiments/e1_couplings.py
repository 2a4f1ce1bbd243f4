"""E1: how noise meets data in training, and quality against evaluations, with schedules tuned for every coupling.

python examples/experiments/e1_couplings.py [--data patches]
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
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
from e1_page import charts, section  # noqa: F401  # the page asks this module for them
from e1_settings import (
    ARMS,
    BATCH,
    DEPTH,
    LEARNING_RATE,
    PATH_SEED,
    POOL,
    RHOS,
    SAMPLE_SEED,
    SAMPLES,
    STEPS,
    TRAIN_STEPS,
    TUNE_SEED,
    TUNED_ON,
    WIDTH,
    Arm,
)
from tqdm import tqdm


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
    return {"rows": rows, "floor": lab.open_lab(options.data, seed).floor(SAMPLES, seed)}


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


if __name__ == "__main__":
    lab.command("e1_couplings", run, datasets=True)
