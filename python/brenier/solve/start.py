"""Where the heights begin, and the temperature on which the hard maximum behaves like a softmax.

Two starts cost next to nothing, and the energy E(h) = E[u_h(x)] − ⟨ν, h⟩, measured on a few probes, says
which is better:

- extreme value (design card, fact 1), right when scores are nearly independent, as in high dimension:
      h_i = −σ_i z_i,   σ_i = ‖y_i‖,   z_i = Φ⁻¹(1 − ν_i)
- Gaussian, right when many targets fill few dimensions. If the targets were N(0, Σ), the optimal map from
  N(0, I) would be x ↦ Σ^{1/2} x, whose potential has the conjugate ½ yᵀ Σ^{-1/2} y:
      h_i = −½ y_iᵀ Σ^{-1/2} y_i
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from brenier.data.noise import Stream, normal
from brenier.engine import assign
from brenier.engine.project import project
from brenier.engine.scale import moderate
from brenier.solve.centring import blocks
from brenier.solve.fixed_order import dot, single_threaded
from brenier.solve.placement import Placement
from brenier.solve.principal import spaced_indices
from brenier.solve.problem import Problem
from brenier.solve.streamed import StreamedTargets, resident

PROBES = 1024
GAUSSIAN_DIMENSIONS = 256  # above this the covariance costs more than the start saves
COVARIANCE_TARGETS = 16_384  # evenly spaced targets, enough for a start
LEAST_QUANTILE = 0.8  # keeps the temperature finite when a target holds half of the mass or more
HERE = Placement()
MOST_DEVIATIONS = 38.0  # Φ(−38) is the smallest float64; a single target has mass 1 and z = −∞
LEAST_NORM = 0.1  # of the root-mean-square norm: a target at the centre still needs a temperature


@dataclass(frozen=True)
class Start:
    heights: np.ndarray  # (n,) float64
    temperature: np.ndarray  # (n,) float64, τ_i = σ_i / z_i in units of the score
    kind: str


def temperatures(problem: Problem) -> np.ndarray:
    """τ_i = σ_i / z_i, the spacing of the highest scores around target i (design card, fact 2)."""
    spread = np.sqrt(dot(problem.masses, problem.norms**2)) or 1.0  # a single target has no spread
    norms = np.maximum(problem.norms, LEAST_NORM * spread)
    return norms / np.maximum(quantiles(problem.masses), LEAST_QUANTILE)


def quantiles(masses: np.ndarray) -> np.ndarray:
    """z = Φ⁻¹(1 − ν) by symmetry −Φ⁻¹(ν), which keeps its digits for small ν."""
    return np.clip(-torch.special.ndtri(torch.from_numpy(masses)).numpy(), -MOST_DEVIATIONS, MOST_DEVIATIONS)


def extreme_value_start(problem: Problem) -> np.ndarray:
    return -problem.norms * quantiles(problem.masses)


def gaussian_start(problem: Problem) -> np.ndarray:
    index = spaced_indices(problem.size, COVARIANCE_TARGETS, 0.0)
    weights = np.sqrt(problem.masses[index] / problem.masses[index].sum())
    targets, grown = moderate(resident(problem.targets))
    exact = targets[torch.from_numpy(index)].T * torch.from_numpy(weights)  # float64
    weighted, heavier = moderate(exact)
    with single_threaded():
        variances, axes = torch.linalg.eigh(project(weighted.contiguous(), weighted.contiguous()).double())
    if variances[-1] <= 0:  # all mass at the centre
        return np.full(problem.size, -np.inf)
    deviations = variances.clamp(min=1e-6 * variances[-1].item()).sqrt().numpy()
    along = project(targets, axes.T.float().contiguous())
    heights = np.empty(problem.size)
    for lo, hi in blocks(targets):
        heights[lo:hi] = -0.5 * (along[lo:hi].double().numpy() ** 2 / deviations).sum(axis=1)
    # of the targets as they are: y² has grown with grown², √Σ with heavier · grown
    return heights * heavier / grown


def energy(problem: Problem, heights: np.ndarray, probes: torch.Tensor, place: Placement) -> float:
    """E(h) on the probes, up to their sampling error; convex in h, least at the optimum."""
    targets = place.prepare(resident(problem.targets))
    _, scores = assign(probes.to(place.device), targets, torch.from_numpy(heights), return_scores=True)
    return float(np.mean(scores.cpu().numpy()) - dot(problem.masses, heights))


def tries_gaussian(problem: Problem) -> bool:
    """Whether the covariance is cheap and of full rank."""
    streamed = isinstance(problem.targets, StreamedTargets)
    return not streamed and problem.dimension <= GAUSSIAN_DIMENSIONS and problem.size >= 4 * problem.dimension


def choose_start(problem: Problem, seed: int, place: Placement = HERE) -> Start:
    """The start of lower energy; the Gaussian one is tried where its covariance is cheap and of full rank."""
    temperature = temperatures(problem)
    first = extreme_value_start(problem)
    if not tries_gaussian(problem):
        return Start(first, temperature, "extreme value")
    probes = normal(seed, 0, PROBES, problem.dimension, stream=Stream.PROBE)
    second = gaussian_start(problem)
    if energy(problem, second, probes, place) < energy(problem, first, probes, place):
        return Start(second, temperature, "Gaussian")
    return Start(first, temperature, "extreme value")
