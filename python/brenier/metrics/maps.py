"""Quality of the transport map itself: its marginal error and its cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brenier.engine.checks import as_matrix, as_tensor, require_finite
from brenier.errors import InputError
from brenier.solve.check import chi_square
from brenier.types import Array


@dataclass(frozen=True)
class MarginalError:
    """The unbiased χ² of cell masses and its standard error; √χ² is their root-mean-square relative error."""

    chi_square: float
    stderr: float
    samples: int


def marginal_error(counts: Array, weights: Array | None = None) -> MarginalError:
    """How far the masses that a map gives its targets are from the masses they should have, without bias.

    χ² = Σ_i c_i(c_i − 1)/ν_i / (N(N−1)) − 1, N = Σ_i c_i: 0 in mean where every target has its mass (design,
    section 1); it can come out below 0. The estimator is the one that `fit` stops by.

    counts : c, (n,) integers: how often each target won N ≥ 2 independent noises not used for fitting
    weights : ν, (n,) ≥ 0; None for equal masses; scaled to sum to 1

    Returns MarginalError; infinite where a target without mass won. Raises InputError.
    """
    wins = check_counts(counts)
    masses = check_masses(weights, len(wins))
    total = int(wins.sum())
    if ((masses == 0) & (wins > 0)).any():
        return MarginalError(float("inf"), 0.0, total)
    present = masses > 0
    error, stderr = chi_square(wins[present].numpy(), masses[present].numpy())
    return MarginalError(error, stderr, total)


def transport_cost(
    noise: Array,
    indices: Array | None = None,
    targets: Array | None = None,
    *,
    potential: Any = None,
) -> float:
    """The mean of ‖x_j − y_g(j)‖² over noise x_j and the target it is sent to; optimal maps have the least.

    noise : x, (N, d), N ≥ 1
    indices, targets : g, int64 (N,), and y, (n, d)
    potential : instead of both: anything with transport(x) -> (N, d), brenier.Potential for one

    Raises InputError.
    """
    x = as_matrix(noise, "noise")
    named = (("indices", indices), ("targets", targets), ("potential", potential))
    if (potential is None) != (indices is not None and targets is not None) or len(x) == 0:
        raise InputError(
            "arguments",
            expected="noise, N ≥ 1, with indices and targets, or with a potential",
            got=f"{len(x)} rows, " + ", ".join(f"{name} {given(value)}" for name, value in named),
        )
    reached = torch.as_tensor(potential.transport(x)) if potential is not None else rows_of(targets, indices)
    if reached.shape != x.shape:
        raise InputError(
            "targets", expected=f"one per noise, {tuple(x.shape)}", got=str(tuple(reached.shape))
        )
    return float((x.double() - reached.to(x.device).double()).square().sum(dim=1).mean())


def rows_of(targets: Any, indices: Any) -> Tensor:
    """targets[indices], both checked."""
    y, places = as_matrix(targets, "targets"), as_tensor(indices, "indices")
    whole = places.ndim == 1 and places.dtype == torch.int64
    if not whole or (len(places) and not (places.min() >= 0 and places.max() < len(y))):
        raise InputError("indices", expected=f"int64 (N,) from 0 to {len(y) - 1}", got=str(places))
    return y[places]


def given(value: Any) -> str:
    return "missing" if value is None else "given"


def check_counts(counts: Array) -> Tensor:
    wins = as_tensor(counts, "counts").cpu()
    if wins.ndim != 1 or wins.is_floating_point() or wins.is_complex() or (wins < 0).any():
        raise InputError("counts", expected="integers ≥ 0, (n,)", got=f"{wins.dtype} {tuple(wins.shape)}")
    if int(wins.sum()) < 2:
        raise InputError("counts", expected="at least 2 samples in all", got=str(int(wins.sum())))
    return wins


def check_masses(weights: Array | None, targets: int) -> Tensor:
    if weights is None:
        return torch.full((targets,), 1 / targets, dtype=torch.float64)
    masses = as_tensor(weights, "weights").cpu().double()
    if masses.shape != (targets,):
        raise InputError(
            "weights",
            expected=f"shape (n,) = ({targets},)",
            got=str(tuple(masses.shape)),
            remedy="pass one mass per target or None for equal masses",
        )
    require_finite(masses, "weights")
    if (masses < 0).any() or float(masses.sum()) <= 0:
        raise InputError("weights", expected="masses ≥ 0, some > 0", got=f"least {float(masses.min()):g}")
    return masses / masses.sum()
