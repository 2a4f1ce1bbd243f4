"""Pairs a second of brenier.Coupling, exact and in subspaces; what subspaces and balancing do to how often data come.

    python benchmarks/coupling.py [--targets 4000] [--dimension 3072] [--save]

Image-like targets, fitted to χ² ≤ 0.05. Per mode: microseconds of processor time a pair; the variance of the wins of
one pass in units of that of as many independent pairs (one subspace's K pairs, and the same number of exact ones),
beside what solve/sampling.py predicts; and how far the counts of 20 pairs a target stray from 20.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path

import brenier
import torch
from brenier.report.record import new_record, write_record
from brenier.solve.sampling import correlation
from fit_ranks import image_like
from tabulate import tabulate

RESULTS = Path(__file__).parent / "results" / "coupling.json"
EACH = 20  # pairs a target
MODES = {
    "exact": {"ahead": 64},
    "exact, balanced": {"ahead": 4, "balance": 0.5},
    "subspaces of 32": {"subspace": 32},
    "subspaces of 128": {"subspace": 128},
}


def measure(name: str, potential: brenier.Potential) -> dict[str, object]:
    n = len(potential.targets)
    pairs = brenier.Coupling(potential, 64, **MODES[name])
    worked = time.process_time()
    indices = torch.cat([index for _, index in islice(pairs, EACH * n // 64)])
    seconds = time.process_time() - worked
    off = torch.bincount(indices, minlength=n).double() - len(indices) * potential.masses
    row = {"mode": name, "microseconds": 1e6 * seconds / len(indices)}
    row |= {"stray_rms": float(off.square().mean().sqrt()), "stray_most": float(off.abs().max())}
    m = MODES[name].get("subspace")
    if m:
        each = pairs.pairs.each
        groups = torch.cat([pairs.pairs.made(number).indices for number in range(3)]).split(each)
        row |= {"pairs_a_subspace": each, "inflation": inflation(groups, n)}
        row["inflation_predicted"] = 1 + correlation(n) * each / (n * m)
    return row


def inflation(groups: tuple[torch.Tensor, ...], n: int) -> float:
    """Σ_i Var of the wins in a group, over that of as many independent pairs."""
    counts = torch.stack([torch.bincount(group, minlength=n) for group in groups]).double()
    shares = counts.mean(0) / len(groups[0])
    return float(counts.var(0).sum() / (len(groups[0]) * (shares * (1 - shares)).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", type=int, default=4000)
    parser.add_argument("--dimension", type=int, default=3072)
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS}")
    asked = parser.parse_args()
    targets = image_like(asked.targets, asked.dimension)
    result = brenier.fit(targets, tol=0.05, progress=False)
    rows = [measure(name, result.potential) for name in MODES]
    print(tabulate(rows, headers="keys", floatfmt=".3g"))
    if asked.save:
        command = (
            f"python benchmarks/coupling.py --targets {asked.targets} --dimension {asked.dimension} --save"
        )
        write_record(
            RESULTS, new_record("coupling", {"command": command}) | {"error": result.error, "rows": rows}
        )


if __name__ == "__main__":
    main()
