"""The stages of the demo: train, fit, sample, measure. Each takes plain inputs and returns figures."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

import brenier
from brenier.data import Digits, NoisedLatents, load_digits
from brenier.data.noise import Stream, normal
from brenier.diffusion import (
    MLP,
    EDMPrecond,
    TrainResult,
    edm_sigmas,
    evaluations,
    sample_dpm_ot,
    sample_heun,
    train_edm,
)
from brenier.diffusion.feed import CouplingName
from brenier.errors import NotConvergedWarning
from brenier.metrics import (
    Classifier,
    curvature,
    marginal_error,
    mode_mixture_ratio,
    train_classifier,
    transport_cost,
)
from brenier.report.demo_settings import DemoSettings
from brenier.report.evaluating import figures
from brenier.report.fitting import fit_numbers
from brenier.report.record import plain

COUPLINGS: tuple[CouplingName, ...] = ("independent", "aot")
CHECK_SEED, SAMPLE_SEED, CURVATURE_SEED = 101, 202, 303  # added to the seed: noise that nothing else uses


@dataclass(frozen=True)
class Data:
    """The digits, split, and the classifier that features come from."""

    train: Digits
    held_out: Digits
    classifier: Classifier


@dataclass(frozen=True)
class Fitted:
    """A potential, its latents and its figures."""

    last_steps: int
    latents: NoisedLatents
    potential: Any
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """Samples of one row of the table."""

    method: str  # "heun" or "dpm_ot"
    network: str
    last_steps: int | None  # M
    evaluations: int
    samples: Tensor
    starts: Tensor | None  # the latents that DPM-OT began from


def prepare_data(settings: DemoSettings) -> Data:
    """Split the digits and train the classifier on the training part."""
    train, held_out = load_digits().split(settings.held_out, settings.seed)
    classifier = train_classifier(
        train.images, train.labels, settings.seed, epochs=settings.classifier_epochs
    )
    return Data(train, held_out, classifier)


def real_figures(data: Data, settings: DemoSettings) -> dict[str, Any]:
    """What real images score, as the floor of every figure."""
    held, seen = data.held_out.images, data.train.images
    found = figures(seen[: settings.samples], held, train=seen, held_out=held, classifier=data.classifier)
    probabilities = data.classifier.probabilities(held)
    return found | {"held_out_mode_mixture": mode_mixture_ratio(probabilities, settings.mixture_threshold)}


def train_networks(data: Data, settings: DemoSettings, progress: bool) -> dict[str, TrainResult]:
    """The same network, budget, seed and data, with independent and with AOT-paired noise."""
    dim = data.train.images.shape[1]
    return {
        coupling: train_edm(
            MLP(dim, settings.width, settings.depth, seed=settings.seed),
            data.train.images,
            coupling=coupling,
            steps=settings.train_steps,
            batch=settings.batch,
            pool=settings.pool,
            lr=settings.learning_rate,
            P_mean=settings.P_mean,
            P_std=settings.P_std,
            seed=settings.seed,
            progress=progress,
        )
        for coupling in COUPLINGS
    }


def training_figures(results: dict[str, TrainResult], settings: DemoSettings, dim: int) -> dict[str, Any]:
    """Cost of training, loss curve (64 means), and curvature of the sampling paths on fixed noise."""
    return {name: one_training(result, settings, dim) for name, result in results.items()}


def one_training(result: TrainResult, settings: DemoSettings, dim: int) -> dict[str, Any]:
    start = settings.sigma_max * draw(settings.seed + CURVATURE_SEED, settings.curvature_samples, dim)
    grid = torch.logspace(
        math.log10(settings.sigma_max), math.log10(settings.sigma_min), 65, dtype=torch.float64
    )
    bent = curvature(result.denoiser, start, grid)
    means = [float(part.mean()) for part in result.losses.chunk(min(64, len(result.losses)))]
    found: dict[str, Any] = plain(
        {
            "seconds": result.seconds,
            "pairing_seconds": result.pairing_seconds,
            "losses": means,
            "curvature": bent.total,
            "curvature_per_step": bent.per_step,
            "curvature_sigmas": bent.sigmas,
        }
    )
    return found


def start_level(settings: DemoSettings, last_steps: int) -> float:
    """σ_M: the level of the full schedule with M steps to go."""
    return float(schedule(settings, settings.schedule_steps)[-(last_steps + 1)])


def schedule(settings: DemoSettings, steps: int, start: float | None = None) -> Tensor:
    """EDM's levels from the start, by default σ_max, to σ_min and 0."""
    return edm_sigmas(steps, settings.sigma_min, settings.sigma_max if start is None else start)


def fit_potentials(data: Data, settings: DemoSettings, progress: bool) -> list[Fitted]:
    """One potential per M, of noise onto the training images noised to σ_M."""
    return [fit_one(data, settings, last_steps, progress) for last_steps in settings.last_steps]


def fit_one(data: Data, settings: DemoSettings, last_steps: int, progress: bool) -> Fitted:
    latents = NoisedLatents(data.train.images, sigma=start_level(settings, last_steps), seed=settings.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConvergedWarning)  # the report says it
        result = brenier.fit(
            latents.materialise(),
            tol=settings.tol,
            max_samples=settings.max_samples_per_target * len(latents),
            seed=settings.seed,
            progress=progress,
        )
    numbers = fit_numbers(result) | {"sigma": latents.sigma, "n": len(latents), "tol": settings.tol}
    return Fitted(
        last_steps, latents, result.potential, numbers | map_figures(result.potential, latents, settings)
    )


def map_figures(potential: Any, latents: NoisedLatents, settings: DemoSettings) -> dict[str, Any]:
    """Marginal error and mean squared cost of the map, on noise that the fit did not use."""
    noise = draw(settings.seed + CHECK_SEED, settings.check_per_target * len(latents), latents.shape[1])
    indices = torch.as_tensor(potential.assign(noise))
    error = marginal_error(torch.bincount(indices, minlength=len(latents)))
    targets = latents.materialise()
    shuffled = indices[torch.randperm(len(indices), generator=torch.Generator().manual_seed(settings.seed))]
    found: dict[str, Any] = plain(
        {
            "marginal_error": error,
            "cost": transport_cost(noise, indices, targets),
            "cost_unpaired": transport_cost(noise, shuffled, targets),
        }
    )
    return found


def draw_all(
    networks: dict[str, EDMPrecond], fits: list[Fitted], settings: DemoSettings, progress: bool
) -> Iterator[Drawn]:
    """Samples of every method, network and number of evaluations, all from the same noise."""
    dim = fits[0].latents.shape[1]
    noise = draw(settings.seed + SAMPLE_SEED, settings.samples, dim)
    jobs = [
        (name, fitted, steps)
        for fitted in (None, *fits)
        for name in networks
        for steps in steps_for(fitted, settings)
    ]
    for name, fitted, steps in tqdm(jobs, "sampling", disable=not progress, leave=False):
        # ρ-spacing from σ_M down: with steps = M these are the last M steps of the full schedule
        sigmas = schedule(settings, steps, None if fitted is None else fitted.latents.sigma)
        yield draw_one(name, networks[name], fitted, sigmas, noise)


def steps_for(fitted: Fitted | None, settings: DemoSettings) -> tuple[int, ...]:
    """Heun steps to try: the common ones, and for DPM-OT its own M."""
    own = () if fitted is None else (fitted.last_steps,)
    return tuple(sorted({*settings.heun_steps, *own}))


def draw_one(name: str, network: EDMPrecond, fitted: Fitted | None, sigmas: Tensor, noise: Tensor) -> Drawn:
    """Samples of one row; sigmas start where the method starts."""
    steps = len(sigmas) - 1
    if fitted is None:
        samples = sample_heun(network, float(sigmas[0]) * noise, sigmas)
        return Drawn("heun", name, None, evaluations(steps), samples, None)
    drawn = sample_dpm_ot(network, fitted.potential, noise, sigmas, steps, latents=fitted.latents)
    return Drawn("dpm_ot", name, fitted.last_steps, evaluations(steps), drawn.samples, drawn.starts)


def measure_all(
    drawn: list[Drawn], data: Data, settings: DemoSettings, progress: bool
) -> list[dict[str, Any]]:
    """The rows of the table."""
    return [
        measure(one, data, settings) for one in tqdm(drawn, "measuring", disable=not progress, leave=False)
    ]


def measure(drawn: Drawn, data: Data, settings: DemoSettings) -> dict[str, Any]:
    """One row of the table."""
    found = figures(
        drawn.samples,
        data.held_out.images,
        train=data.train.images,
        held_out=data.held_out.images,
        classifier=data.classifier,
        threshold=settings.mixture_threshold,
    )
    row = {key: getattr(drawn, key) for key in ("method", "network", "last_steps", "evaluations")}
    return row | found


def draw(seed: int, rows: int, dim: int) -> Tensor:
    return torch.as_tensor(normal(seed, 0, rows, dim, stream=Stream.SAMPLE))


class Clock:
    """Seconds of each stage, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now
