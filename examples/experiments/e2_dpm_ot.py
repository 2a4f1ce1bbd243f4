"""E2: DPM-OT against M, with stored and fresh noise, train and held-out targets, beside plain samplers.

python examples/experiments/e2_dpm_ot.py
"""

from __future__ import annotations

import argparse
import functools
from typing import Any

import e2_questions as questions
import lab
import torch
from brenier.data import NoisedLatents
from brenier.diffusion import (
    MLP,
    edm_sigmas,
    evaluations,
    sample_dpm_ot,
    sample_heun,
    search_schedule,
    train_edm,
)
from brenier.metrics import memorisation, mode_mixture_ratio
from brenier.report.strips import strips
from e2_page import charts, section  # noqa: F401  # the page asks this module for them
from other_samplers import sample_ddim, sample_dpm_solver
from torch import Tensor
from tqdm import tqdm

FULL = 18  # steps of the full schedule, ρ = 7
LAST = (2, 3, 5, 7, 10, 13, FULL)  # M
TAILS = (2, 3, 5)  # Heun steps from σ_10, a level at which the network still invents
RHOS = (2.0, 5.0, 12.0, 40.0)
TRAIN_STEPS, WIDTH, DEPTH, BATCH = 1000, 128, 3, 64
SAMPLES, TUNED_ON = 500, 300
SAMPLE_SEED, TUNE_SEED = 202, 404
PLAIN = {"Heun": sample_heun, "DDIM": sample_ddim, "DPM-Solver++": sample_dpm_solver}
KINDS = {
    "train targets, stored noise": ("train", "stored"),
    "train targets, fresh noise": ("train", "fresh"),
    "held-out targets, stored noise": ("held_out", "stored"),
    "held-out targets, fresh noise": ("held_out", "fresh"),
    "train targets drawn at random, no map": ("train", "random"),
}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train, fit for every M, sample, measure; then the three questions."""
    rows: list[dict[str, Any]] = []
    floors, mixtures, found = [], [], {"conditional": [], "samples": [], "step_size": []}
    schedules: dict[str, dict[int, float]] = {}
    images: list[tuple[str, Tensor]] = []
    for seed in tqdm(options.seeds, "E2"):
        data = lab.open_lab("digits", seed)
        network = train(data, seed, options.quick)
        if not schedules:
            schedules = {name: tune(data, network, name, seed, options.quick) for name in PLAIN}
        rows += [
            row | {"seed": seed} for row in one_seed(data, network, schedules, seed, options.quick, images)
        ]
        floors.append(data.floor(SAMPLES, seed))
        mixtures.append(mode_mixture_ratio(data.classifier.probabilities(data.held_out)))
        found["conditional"] += questions.conditional(data, seed, options.quick, train)
        found["samples"] += questions.samples_used(data, network, seed, options.quick)
        found["step_size"] += questions.step_sizes(data, seed, options.quick)
    cost = questions.costs(options.seeds, options.quick)
    record = {"rows": rows, "schedules": schedules, "floor": lab.spread(floors), "cost": cost, **found}
    record |= {"levels": {last: level(last) for last in LAST}, "mixture_floor": lab.spread(mixtures)}
    strip = strips(images, (1, 8, 8), "the same noise in every column, first seed")
    return record | {"pictures": {"e2_samples.png": strip}}


def train(data: lab.Lab, seed: int, quick: bool, conditional: bool = False) -> Any:
    """A denoiser trained on independent pairs."""
    return train_edm(
        MLP(64, WIDTH, DEPTH, seed=seed, classes=10 if conditional else 0),
        data.train,
        condition=data.labels if conditional else None,
        steps=40 if quick else TRAIN_STEPS,
        batch=BATCH,
        lr=2e-3,
        seed=seed,
        progress=False,
        **lab.LEVELS,
    ).denoiser


def level(last: int) -> float:
    """σ_M of the full schedule."""
    return float(levels(FULL)[-(last + 1)])


def levels(steps: int, start: float = lab.SIGMA_MAX, rho: float = 7.0) -> Tensor:
    return edm_sigmas(steps, lab.SIGMA_MIN, start, rho)


def tune(data: lab.Lab, network: Any, name: str, seed: int, quick: bool) -> dict[int, float]:
    """The best ρ of a plain sampler at each of DPM-OT's numbers of evaluations, on other noise."""
    rows = 100 if quick else TUNED_ON
    noise = lab.draw(seed + TUNE_SEED, rows, 64)
    if name == "Heun":
        search = search_schedule(
            network, noise, lambda s: data.quality(s, data.train), steps=LAST, rhos=RHOS,
            sigma_min=lab.SIGMA_MIN, sigma_max=lab.SIGMA_MAX, progress=False,
        )  # fmt: skip
        return {trial.evaluations: trial.rho for trial in search.curve()}
    chosen = {}
    for count in map(evaluations, LAST):
        scores = {
            rho: data.quality(PLAIN[name](network, lab.SIGMA_MAX * noise, levels(count, rho=rho)), data.train)
            for rho in RHOS
        }
        chosen[count] = min(scores, key=lambda rho: scores[rho])
    return chosen


def one_seed(
    data: lab.Lab,
    network: Any,
    schedules: dict[str, dict[int, float]],
    seed: int,
    quick: bool,
    images: list[tuple[str, Tensor]],
) -> list[dict[str, Any]]:
    """Every row of the table for one seed."""
    noise = lab.draw(seed + SAMPLE_SEED, 200 if quick else SAMPLES, 64)
    first, rows = not images, []
    if first:
        images.append(("held-out images", data.held_out))
    for name, sampler in PLAIN.items():
        for last in LAST:
            count = evaluations(last)
            steps = last if name == "Heun" else count
            drawn = sampler(network, lab.SIGMA_MAX * noise, levels(steps, rho=schedules[name][count]))
            rows.append({"kind": name, "M": None, "evaluations": count} | figures(data, drawn, "train", None))
            if first and last == 5:
                images.append((f"{name}, {count} evaluations", drawn))
    for kind, (targets, how) in KINDS.items():
        rows += [
            row | {"kind": kind}
            for row in dpm_ot(data, network, noise, targets, how, seed, images if first else [])
        ]
    return rows


def dpm_ot(
    data: lab.Lab,
    network: Any,
    noise: Tensor,
    targets: str,
    how: str,
    seed: int,
    images: list[tuple[str, Tensor]],
) -> list[dict[str, Any]]:
    """DPM-OT for every M, and short tails from σ_10."""
    rows = []
    for last, steps in [(last, last) for last in LAST] + [(10, steps) for steps in TAILS]:
        latents, potential = mapped(targets, last, seed)
        if how == "random":
            potential = Random(len(latents), seed)
        seeds = range(1, len(noise) + 1) if how == "fresh" else None
        drawn = sample_dpm_ot(
            network, potential, noise, levels(steps, latents.sigma), steps,
            latents=latents, fresh=how == "fresh", seeds=seeds,
        )  # fmt: skip
        found = figures(data, drawn.samples, targets, latents.clean(drawn.indices))
        rows.append({"M": last, "evaluations": evaluations(steps), "tail": steps != last} | found)
        if images and (targets, how) == ("train", "stored") and steps in (5, 10) and last in (5, 10):
            images.append((f"DPM-OT σ = {latents.sigma:.2g}, {evaluations(steps)} evals", drawn.samples))
    return rows


@functools.cache
def mapped(targets: str, last: int, seed: int) -> tuple[NoisedLatents, Any]:
    """Latents at σ_M and the potential of noise onto them."""
    data = lab.open_lab("digits", seed)
    images = data.train if targets == "train" else data.held_out
    latents = NoisedLatents(images, sigma=level(last), seed=seed)
    return latents, questions.fit(latents, seed)


class Random:
    """Instead of a map: a target drawn uniformly."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed

    def assign(self, x: Tensor) -> Tensor:
        return torch.randint(self.count, (len(x),), generator=torch.Generator().manual_seed(self.seed))


def figures(data: lab.Lab, samples: Tensor, targets: str, own: Tensor | None) -> dict[str, Any]:
    """Quality against the images that were not the targets, mode mixture, and closeness to the targets."""
    seen, unseen = (data.train, data.held_out) if targets == "train" else (data.held_out, data.train)
    near = memorisation(samples, seen, unseen, targets=own)
    return {
        "frechet": data.quality(samples, unseen),
        "mode_mixture": mode_mixture_ratio(data.classifier.probabilities(samples)),
        "nearest_ratio": near.ratio,
        "share_closer": near.share_closer,
        "own_ratio": None if near.target_median is None else near.target_median / near.held_out_median,
    }


if __name__ == "__main__":
    lab.command("e2_dpm_ot", run)
