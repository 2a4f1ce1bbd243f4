"""The three questions that the DPM-OT paper leaves open: cost, conditions, sensitivity."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import brenier
import lab
import torch
from brenier.data import NoisedLatents
from brenier.diffusion import edm_sigmas, evaluations, sample_dpm_ot, sample_heun
from brenier.errors import NotConvergedWarning
from brenier.metrics import marginal_error, memorisation, mode_mixture_ratio
from torch import Tensor

SIDE = 8  # of a colour patch: d = 192
CASES = (  # n, side, σ of the latents
    *((count, SIDE, 1.0) for count in (500, 1000, 2000, 4000)),
    *((1000, side, 1.0) for side in (4, 16, 32)),
    *((1000, SIDE, sigma) for sigma in (0.1, 0.0)),
)
PER_TARGET = (1, 2, 4, 8, 32)
RATES = (0.003, 0.03, 0.3, 3.0)
CHECK_SEED, SAMPLE_SEED = 101, 202


def fit(latents: NoisedLatents, seed: int, tol: float = 0.05, per_target: int | None = None) -> Any:
    """A potential, converged or at the end of its samples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConvergedWarning)
        budget = None if per_target is None else per_target * len(latents)
        targets = latents.materialise()
        return brenier.fit(targets, tol=tol, max_samples=budget, seed=seed, progress=False).potential


# ---- cost against n and d


def costs(seeds: Sequence[int], quick: bool) -> list[dict[str, Any]]:
    """Samples and CPU seconds until χ² ≤ 0.05, for noised patches of the photographs, or 100 noises per target."""
    return [one_cost(*case, seed) for case in (CASES[:2] if quick else CASES) for seed in seeds]


def one_cost(count: int, side: int, sigma: float, seed: int) -> dict[str, Any]:
    targets = NoisedLatents(random_patches(count, side, seed), sigma=sigma, seed=seed).materialise()
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConvergedWarning)
        result = brenier.fit(targets, tol=0.05, max_samples=100 * count, seed=seed, progress=False)
    return {
        "n": count,
        "d": targets.shape[1],
        "sigma": sigma,
        "seed": seed,
        "cpu_seconds": time.process_time() - began,
        "samples": result.samples,
        "checks": result.check_samples,
        "chi_square": result.error,
        "converged": result.converged,
    }


def random_patches(count: int, side: int, seed: int) -> Tensor:
    """Colour patches (count, 3·side²) at random places of both photographs, in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    images = lab.photographs()
    cut = []
    for number in range(count):
        image = images[number % 2]
        top, left = (int(torch.randint(size - side + 1, (), generator=generator)) for size in image.shape[:2])
        cut.append(image[top : top + side, left : left + side].reshape(-1))
    return torch.stack(cut)


# ---- conditional generation


def conditional(data: lab.Lab, seed: int, quick: bool, train: Callable[..., Any]) -> list[dict[str, Any]]:
    """A network that knows the class: plain, with a potential per class, and with one whose target gives the class."""
    network = train(data, seed, quick, conditional=True)
    count = 200 if quick else 500
    noise = lab.draw(seed + SAMPLE_SEED, count, 64)
    labels = data.labels[torch.arange(count) * len(data.labels) // count]
    rows = [plain_row(data, network, noise, labels, steps) for steps in (3, 5, 10)]
    for last in (5, 10):
        sigma = float(edm_sigmas(18, lab.SIGMA_MIN, lab.SIGMA_MAX)[-(last + 1)])
        latents = NoisedLatents(data.train, sigma=sigma, seed=seed)
        found = brenier.fit(latents.materialise(), labels=data.labels, tol=0.05, seed=seed, progress=False)
        one = fit(latents, seed)
        for steps in dict.fromkeys((3, last)):
            per_class = Told(found.potential.assign(noise, labels))
            rows.append(
                mapped_row(data, network, noise, labels, per_class, latents, steps, "a potential per class")
            )
            indices = torch.as_tensor(one.assign(noise))
            told = data.labels[indices]
            rows.append(
                mapped_row(data, network, noise, told, Told(indices), latents, steps, "one potential")
            )
    return [row | {"seed": seed} for row in rows]


class Told:
    """A map whose answers for this noise are known."""

    def __init__(self, indices: Tensor) -> None:
        self.indices = torch.as_tensor(indices)

    def assign(self, x: Tensor) -> Tensor:
        assert len(x) == len(self.indices)
        return self.indices


def plain_row(data: lab.Lab, network: Any, noise: Tensor, labels: Tensor, steps: int) -> dict[str, Any]:
    sigmas = edm_sigmas(steps, lab.SIGMA_MIN, lab.SIGMA_MAX)
    samples = sample_heun(lambda x, s: network(x, s, labels), lab.SIGMA_MAX * noise, sigmas)
    return condition_figures(data, samples, labels) | {
        "how": "plain Heun, ρ = 7",
        "sigma": lab.SIGMA_MAX,
        "evaluations": evaluations(steps),
    }


def mapped_row(
    data: lab.Lab,
    network: Any,
    noise: Tensor,
    labels: Tensor,
    potential: Any,
    latents: NoisedLatents,
    steps: int,
    how: str,
) -> dict[str, Any]:
    sigmas = edm_sigmas(steps, lab.SIGMA_MIN, latents.sigma)
    drawn = sample_dpm_ot(
        lambda x, s: network(x, s, labels), potential, noise, sigmas, steps, latents=latents
    )
    return condition_figures(data, drawn.samples, labels) | {
        "how": f"DPM-OT, {how}",
        "sigma": latents.sigma,
        "evaluations": evaluations(steps),
    }


def condition_figures(data: lab.Lab, samples: Tensor, labels: Tensor) -> dict[str, Any]:
    """Quality, whether the class came out, and copying."""
    right = data.classifier.probabilities(samples).argmax(dim=1) == labels
    near = memorisation(samples, data.train, data.held_out)
    return {
        "frechet": data.quality(samples, data.held_out),
        "class_right": float(right.double().mean()),
        "nearest_ratio": near.ratio,
        "share_closer": near.share_closer,
    }


# ---- sensitivity to samples and step size


def samples_used(data: lab.Lab, network: Any, seed: int, quick: bool) -> list[dict[str, Any]]:
    """Map error and quality against the noises used for fitting, at two start levels."""
    rows = []
    for last in (5, 10):
        sigma = float(edm_sigmas(18, lab.SIGMA_MIN, lab.SIGMA_MAX)[-(last + 1)])
        latents = NoisedLatents(data.train, sigma=sigma, seed=seed)
        noise = lab.draw(seed + SAMPLE_SEED, 200 if quick else 500, 64)
        flat = brenier.Potential.of(latents.materialise(), torch.zeros(len(latents), dtype=torch.float64))
        fits = {0: flat} | {
            count: fit(latents, seed, 1e-9, count) for count in (PER_TARGET[:1] if quick else PER_TARGET)
        }
        for per_target, potential in fits.items():
            sigmas = edm_sigmas(last, lab.SIGMA_MIN, sigma)
            drawn = sample_dpm_ot(network, potential, noise, sigmas, last, latents=latents)
            mixed = mode_mixture_ratio(data.classifier.probabilities(drawn.samples))
            row = {"M": last, "per_target": per_target, "chi_square": map_error(potential, seed)}
            row |= {
                "frechet": data.quality(drawn.samples, data.held_out),
                "mode_mixture": mixed,
                "seed": seed,
            }
            rows.append(row | {"targets_used": len(drawn.indices.unique()) / len(drawn.indices)})
    return rows


def map_error(potential: Any, seed: int) -> float:
    """χ² on fresh noise, 16 per target."""
    count = len(potential.targets)
    winners = torch.as_tensor(
        potential.assign(lab.draw(seed + CHECK_SEED, 16 * count, potential.targets.shape[1]))
    )
    return marginal_error(torch.bincount(winners, minlength=count)).chi_square


def step_sizes(data: lab.Lab, seed: int, quick: bool) -> list[dict[str, Any]]:
    """Adam on hard counts, as published, with 64 noises per target in batches of n, for step sizes across decades."""
    rows = []
    for sigma in (0.0, 1.0):
        targets = NoisedLatents(data.train, sigma=sigma, seed=seed).materialise()
        for rate in RATES[:1] if quick else RATES:
            heights = adam_heights(targets, rate, 2 if quick else 64, seed)
            error = map_error(brenier.Potential.of(targets, heights), seed)
            rows.append({"sigma": sigma, "rate": rate, "chi_square": error, "seed": seed})
        ours = fit(NoisedLatents(data.train, sigma=sigma, seed=seed), seed, 1e-9, 64)
        rows.append({"sigma": sigma, "rate": None, "chi_square": map_error(ours, seed), "seed": seed})
    return rows


def adam_heights(targets: Tensor, rate: float, steps: int, seed: int) -> Tensor:
    """Heights after `steps` Adam steps (β = 0.9, 0.5 as in the paper's code family) on counted masses, from 0."""
    count = len(targets)
    heights = torch.zeros(count, requires_grad=True)
    optimizer = torch.optim.Adam([heights], lr=rate, betas=(0.9, 0.5))
    centred = targets - targets.mean(dim=0)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        noise = torch.randn(count, targets.shape[1], generator=generator)
        winners = brenier.assign(noise, centred, heights.detach())
        heights.grad = torch.bincount(winners, minlength=count) / count - 1 / count
        optimizer.step()
    return heights.detach().double()
