"""The squared Wasserstein distance of noise and targets through a potential, with its duality gap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brenier.engine.checks import as_matrix
from brenier.errors import InputError
from brenier.types import Array


@dataclass(frozen=True)
class Wasserstein:
    """Two estimates that agree at the optimum; all in squared units of the data, except `distance`."""

    cost: float  # E‖x − g(x)‖²: the least cost of reaching the masses that the map really gives
    cost_stderr: float
    dual: float  # at most W₂² in mean, for any heights
    dual_stderr: float
    gap: float  # cost − dual = Σ_i (w_i − ν_i)·g_i: 0 in mean at the optimum
    gap_stderr: float
    samples: int

    @property
    def distance(self) -> float:
        """The lower estimate of W₂, √dual."""
        return math.sqrt(max(0.0, self.dual))

    def summary(self) -> str:
        return (
            f"W₂² ≥ {self.dual:.5g} ± {self.dual_stderr:.2g} by duality, the map costs "
            f"{self.cost:.5g} ± {self.cost_stderr:.2g}; gap {self.gap:.3g} ± {self.gap_stderr:.2g}"
        )


def wasserstein(potential: Any, noise: Array) -> Wasserstein:
    """Primal cost and dual value of W₂²(N(0, I), Σν_i δ_{y_i}), estimated on noise not used for fitting.

    cost = E‖x − y_{i(x)}‖²; dual = E‖x‖² + Σν_i‖y_i‖² − 2(E[u_h(x)] − Σν_i h_i) ≤ W₂² for every h, with equality at the
    optimum (Kantorovich duality; design, section 1). E‖x‖² = d is known and used, as the control variate that it is.

    potential : brenier.Potential, or anything with targets, heights, masses, assign(x) and value(x)
    noise : x, (N, d) standard normal, N ≥ 2

    Returns Wasserstein, its errors being standard errors over the noise. Raises InputError.
    """
    x = as_matrix(noise, "noise")
    if len(x) < 2:
        raise InputError("noise", expected="at least 2 rows", got=str(len(x)))
    winners = torch.as_tensor(potential.assign(x)).to(potential.targets.device)
    masses, heights = (as64(value, potential.targets) for value in (potential.masses, potential.heights))
    used = masses > 0
    if not heights[used].isfinite().all():
        raise InputError(
            "potential", expected="finite heights where targets have mass", got="others: its dual value is −∞"
        )
    squares = potential.targets.double().square().sum(dim=1)
    norms = x.double().square().sum(dim=1).to(squares.device)
    value = torch.as_tensor(potential.value(x)).double().to(squares.device)
    # ‖x − y‖² = ‖x‖² − 2(u − h_i) + ‖y_i‖², with ‖x‖² replaced by its mean in both figures
    cost = x.shape[1] - 2 * (value - heights[winners]) + squares[winners]
    fixed = float((masses[used] * (squares[used] + 2 * heights[used])).sum())
    dual = x.shape[1] + fixed - 2 * value
    cost, dual = (with_control(one, norms, x.shape[1]) for one in (cost, dual))
    return Wasserstein(*mean_and_error(cost), *mean_and_error(dual), *mean_and_error(cost - dual), len(x))


def with_control(values: Tensor, norms: Tensor, dim: int) -> Tensor:
    """Values minus their regression on ‖x‖² − d, whose mean is 0."""
    control = norms - dim
    slope = ((values - values.mean()) * control).mean() / control.square().mean().clamp_min(1e-30)
    return values - slope * control


def mean_and_error(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))


def as64(value: Any, other: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64, device=other.device)
