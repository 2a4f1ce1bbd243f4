"""What samples of one subspace have in common, and what control variates leave of it.

    python benchmarks/subspace_variance.py [--targets 20000] [--save]      # --save: into docs/scaling.md

Image-like targets of 3,072 dimensions as in fit_scale.py, a fitted potential (χ² ≤ 0.05), ε = τ/2. Each row draws the
great circles of ROUNDS steps, every step in a fresh subspace, and compares Σ_i Var ŵ_i with that of as many independent
draws: as they are, less control variates of order 1, of orders 1 and 2, and of orders 1 to 3 (solve/control.py). The
last column is the model of solve.sampling.inflation.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import brenier
import numpy as np
import torch
from brenier.data.noise import Stream, normal
from brenier.engine import PreparedTargets, prepare
from brenier.engine.circles import circle_candidates, circle_counts
from brenier.solve import solver
from brenier.solve.control import ORDERS, Regression
from brenier.solve.principal import Principal, principal_directions
from brenier.solve.problem import Problem, build_problem
from brenier.solve.sampling import CIRCLE_GAIN, SamplingPlan, SubspaceSampler, inflation
from brenier.types import CIRCLE_POINTS
from circle_variance import masses
from fit_scale import image_like
from marked_pages import replace_part
from tabulate import tabulate

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
DIMENSION, ROUNDS, ALONE = 3072, 24, 8
PLANS = ((32, 0), (64, 0), (16, 16), (32, 16), (64, 16), (32, 32), (16, 64))  # m, r
HEADS = ["m", "principal r", "f", "as drawn", "order 1", "orders 1, 2", "orders 1–3", "model"]


class Measurement:
    """Estimates of the masses from a step's circles, at one potential."""

    def __init__(self, targets: torch.Tensor) -> None:
        self.problem: Problem = build_problem(targets)
        self.centred = solver.resident(self.problem.targets)
        self.heights = brenier.fit(targets, tol=0.05, progress=False).potential.heights.double()
        self.principal: Principal = principal_directions(self.centred)
        self.n, self.batch = len(targets), solver.batch_size(len(targets))
        self.epsilon = 0.5 * float(np.median(self.problem.norms)) / math.sqrt(2 * math.log(self.n))

    def estimate(self, noise: torch.Tensor, targets: PreparedTargets) -> np.ndarray:
        """ŵ, (n,), as in solve/spread.py."""
        found = circle_candidates(noise, targets, self.heights, margin=self.epsilon)
        return masses(circle_counts(found, self.heights, self.epsilon), CIRCLE_POINTS * (len(noise) // 2))

    def independent(self) -> float:
        """Σ Var ŵ of independent draws."""
        targets, rows = prepare(self.centred), []
        for k in range(ALONE):
            noise = normal(5, k * self.batch, self.batch, DIMENSION, stream=Stream.SAMPLE)
            rows.append(self.estimate(noise, targets))
        return spread(np.array(rows))

    def in_subspaces(self, subspace: int, principal: int) -> list[float]:
        """Σ Var ŵ of ROUNDS steps, less none to ORDERS control variates whose slopes come from all of them."""
        plan = SamplingPlan(subspace, principal, 0.0)
        sampler = SubspaceSampler(self.centred, plan, self.principal, 12345)
        found, variates, learned = [], [], Regression()
        for k in range(ROUNDS):
            sampler.begin(k)
            draw = sampler.draw_circles(k * self.batch, self.batch)
            found.append(self.estimate(draw.noise, draw.targets))
            variates.append(sampler.variates(self.problem.norms))
            learned = learned.learned(variates[-1], self.problem.masses, found[-1])
        estimates, spreads = np.array(found), [spread(np.array(found))]
        for order in range(ORDERS):
            surplus = np.array([own[order] for own in variates]) * learned.slopes[order]
            estimates = estimates - self.problem.masses * surplus
            spreads.append(spread(estimates))
        return spreads


def spread(estimates: np.ndarray) -> float:
    return float(estimates.var(axis=0, ddof=1).sum())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", type=int, default=20_000)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    measurement = Measurement(image_like(options.targets, DIMENSION))
    alone, rows = measurement.independent(), []
    for subspace, principal in PLANS:
        share = measurement.principal.residuals[principal]
        ratios = [value / alone for value in measurement.in_subspaces(subspace, principal)]
        model = inflation(measurement.n, subspace, CIRCLE_GAIN * measurement.batch, share)
        rows.append([subspace, principal, round(share, 2), *(round(x, 2) for x in ratios), round(model, 2)])
        print(dict(zip(HEADS, rows[-1], strict=True)), flush=True)
    table = tabulate(rows, HEADS, tablefmt="github")
    if options.save:
        head = f"{options.targets:,} × {DIMENSION:,}, steps of {measurement.batch:,} draws:"
        replace_part(PAGE, "subspace_variance", f"{head}\n\n{table}")


if __name__ == "__main__":
    main()
