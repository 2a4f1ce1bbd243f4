"""POT's ot.semidiscrete.solve_semidiscrete (torch back end) as a solver of the benchmark."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from brenier.solve import Potential

from .judge import Answer
from .problems import Case


@dataclass(frozen=True)
class PotSettings:
    """Everything that solve_semidiscrete lets one choose; rates in units of n·τ, temperatures in units of τ.

    With ``inner_product`` the metric is −⟨x, y⟩, whose dual is h itself: a better start than g = 0 under
    the squared distance, and a cheaper step. Otherwise the metric is POT's own squared distance, where the
    same rates and temperatures count double. ``double`` runs in float64: at small ε torch's float32 exp
    underflows, which is slow (digits at 180 samples per target: 10 s against 31 s on one core).
    """

    batch: int
    rate: float
    rate_exponent: float
    epsilon: float
    epsilon_exponent: float
    least_epsilon: float = 0.0
    average: bool = True
    inner_product: bool = True
    double: bool = False


def negative_products(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return -(x @ y.T)


def arguments(case: Case, settings: PotSettings | None) -> dict[str, Any]:
    """Keyword arguments of solve_semidiscrete; none for POT's defaults."""
    if settings is None:
        return {}
    unit = case.temperature * (1 if settings.inner_product else 2)
    return {
        "metric": negative_products if settings.inner_product else None,
        "batch_size": settings.batch,
        "lr0": settings.rate * case.size * unit,
        "lr_exponent": settings.rate_exponent,
        "decreasing_reg_initial_eps": settings.epsilon * unit,
        "decreasing_reg_exponent": settings.epsilon_exponent,
        "decreasing_reg": settings.epsilon > 0,
        "reg": settings.least_epsilon * unit,
        "polyak_average": settings.average,
    }


def solve(case: Case, settings: PotSettings | None, samples: int, seed: int = 0) -> Answer:
    """Run POT for about that many samples; None means its defaults (batches of 32)."""
    from ot.semidiscrete import solve_semidiscrete

    batch = settings.batch if settings else 32
    steps = max(1, round(samples / batch))
    targets = torch.from_numpy(case.targets).to(
        torch.float64 if settings and settings.double else torch.float32
    )
    options = arguments(case, settings)
    torch.manual_seed(seed)
    began = time.perf_counter()
    dual = solve_semidiscrete(targets, "normal", max_iter=steps, **options)
    seconds = time.perf_counter() - began
    cost = "neg_dot" if settings and settings.inner_product else "sqeuclidean"
    return Answer(Potential.from_dual_g(dual.double(), targets, cost=cost), steps * batch, seconds)
