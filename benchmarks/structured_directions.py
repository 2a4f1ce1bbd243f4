"""What structured directions cost in accuracy: χ² after the same steps with dense and with structured subspaces.

    python benchmarks/structured_directions.py [--save]

Judged by exactly normal draws in full dimension. --save writes the table of docs/scaling.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from brenier.engine import prepare
from brenier.solve import solver
from brenier.solve.check import Check, independent_check
from brenier.solve.placement import Placement
from brenier.solve.problem import Problem, build_problem
from brenier.solve.sampling import SamplingPlan, SubspaceSampler
from marked_pages import replace_part
from tabulate import tabulate

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
TARGETS, DIMENSION, STEPS, JUDGED = 3000, 4096, 60, 0.03
SUBSPACES = (32, 128)
SEEDS = (0, 1)


def power_law(generator: torch.Generator) -> torch.Tensor:
    deviations = 3 * torch.arange(1, DIMENSION + 1).float() ** -0.75
    smooth = torch.randn(TARGETS, DIMENSION, generator=generator) * deviations
    return smooth + 0.3 * torch.randn(TARGETS, DIMENSION, generator=generator)


def five_values(generator: torch.Generator) -> torch.Tensor:
    places = torch.randint(0, DIMENSION, (TARGETS, 5), generator=generator)
    values = 3 * torch.randn(TARGETS, 5, generator=generator)
    return torch.zeros(TARGETS, DIMENSION).scatter_(1, places, values)


def one_value(generator: torch.Generator) -> torch.Tensor:
    targets = torch.zeros(TARGETS, DIMENSION)
    targets[torch.arange(TARGETS), torch.randperm(DIMENSION, generator=generator)[:TARGETS]] = 3.0
    return targets


def few_ones(generator: torch.Generator) -> torch.Tensor:
    return (torch.rand(TARGETS, DIMENSION, generator=generator) < 0.02).float()


SETS: dict[str, Callable[[torch.Generator], torch.Tensor]] = {
    "power law plus noise": power_law,
    "five values each": five_values,
    "one value each": one_value,
    "2% ones": few_ones,
}


def chi_square(problem: Problem, subspace: int, structured: bool, seed: int) -> Check:
    """The averaged potential's, after STEPS steps with no direction apart."""
    run = solver.begin(problem, solver.Settings(0.05, 1 << 40, seed, Placement(), False, None))
    plan = SamplingPlan(subspace, 0, 0.0, structured=structured)
    run.plan, run.sampler = plan, SubspaceSampler(problem.targets, plan, None, seed)
    for _ in range(STEPS):
        run.state = solver.step(run)
    judge = prepare(solver.resident(problem.targets))
    return independent_check(judge, run.state.average, problem.masses, tol=JUDGED, seed=77, first=0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--save", action="store_true")
    save, rows = parser.parse_args().save, []
    for name, make in SETS.items():
        problem = build_problem(make(torch.Generator().manual_seed(0)))
        for subspace in SUBSPACES:
            row: list[object] = [name, subspace]
            for structured in (False, True):
                checks = [chi_square(problem, subspace, structured, seed) for seed in SEEDS]
                row.append(", ".join(f"{check.error:.4f} ± {check.error_stderr:.4f}" for check in checks))
            rows.append(row)
            print(row, flush=True)
    heads = ["targets", "subspace", "χ² with dense directions", "χ² with structured directions"]
    table = tabulate(rows, heads, tablefmt="github")
    print(table)
    if save:
        replace_part(PAGE, "structured", f"{TARGETS:,} × {DIMENSION:,}, {STEPS} steps:\n\n{table}")


if __name__ == "__main__":
    main()
