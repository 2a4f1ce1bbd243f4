"""Curvature and straightness: how far sampling paths are from what one evaluation could follow."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brenier.diffusion.heun import sample_heun
from brenier.diffusion.loss import Denoiser
from brenier.diffusion.schedules import check_sigmas
from brenier.errors import InputError


@dataclass(frozen=True)
class Curvature:
    """Means over samples, in squared units of the data."""

    total: float  # Σ_i ‖D_{i+1} − D_i‖²
    per_step: Tensor  # float64 (steps,): the terms of the sum
    sigmas: Tensor  # float64 (steps + 1,): term i lies between sigmas[i] and sigmas[i+1]
    samples: int

    def bins(self, edges: Tensor) -> Tensor:
        """The sum over steps whose higher level lies in (edges[j], edges[j+1]]: float64 (len(edges) − 1,).

        Raises InputError for edges that do not ascend.
        """
        bounds = torch.as_tensor(edges, dtype=torch.float64)
        if bounds.ndim != 1 or len(bounds) < 2 or not (bounds.diff() > 0).all():
            raise InputError("edges", expected="at least two levels, ascending", got=str(bounds.tolist()))
        place = torch.bucketize(self.sigmas[:-1], bounds) - 1
        count = len(bounds) - 1
        inside = (place >= 0) & (place < count)
        return torch.zeros(count, dtype=torch.float64).index_add_(0, place[inside], self.per_step[inside])


def curvature(denoiser: Denoiser, x: Tensor, sigmas: Tensor | None = None) -> Curvature:
    """Σ_i ‖D(x_{i+1}; σ_{i+1}) − D(x_i; σ_i)‖² along Heun paths, averaged over samples (design, section 5).

    It is 0 exactly when the denoised prediction never changes, that is for straight paths, where one
    evaluation would do. It depends on the grid (twice the steps give about half): compare on one grid, with
    fixed noise.

    denoiser : D(x, σ)
    x : (N, ...) at level sigmas[0], N ≥ 1
    sigmas : (steps + 1,) decreasing and > 0; None is 64 geometric steps from 80 to 0.002

    Returns Curvature. Raises InputError.
    """
    grid, levels = path_grid(x, sigmas)
    _, states = sample_heun(denoiser, x, grid, trajectory=True)
    terms, before = [], None
    with torch.no_grad():
        for state, sigma in zip(states, levels, strict=True):
            denoised = denoiser(state, sigma)
            if before is not None:
                terms.append(float((denoised - before).double().square().flatten(1).sum(dim=1).mean()))
            before = denoised
    steps = torch.tensor(terms, dtype=torch.float64)
    return Curvature(float(steps.sum()), steps, grid.cpu(), len(x))


@dataclass(frozen=True)
class Straightness:
    """Means over samples: `value` in squared units of the data, `relative` without unit; 0 for straight paths."""

    value: float  # ∫ ‖v_t − s‖² dt
    stderr: float
    relative: float  # value / ‖s‖²
    samples: int


def straightness(denoiser: Denoiser, x: Tensor, sigmas: Tensor | None = None) -> Straightness:
    """∫₀¹ ‖dz/dt − s‖² dt along Heun paths in flow-matching form, s = (z₁ − z₀)/(t₁ − t₀) the path's own chord.

    z_t = x/(1 + σ) and t = σ/(1 + σ) turn x = y + σε into (1 − t)·y + t·ε (Liu et al. 2022, eq. 6, for the rectified
    flow's straightness S); then dz/dt = (x − D(x; σ))/t − x. Unlike curvature it hardly depends on the grid.

    denoiser, x, sigmas : as in curvature

    Returns Straightness. Raises InputError.
    """
    grid, levels = path_grid(x, sigmas)
    _, states = sample_heun(denoiser, x, grid, trajectory=True)
    t = torch.tensor([sigma / (1 + sigma) for sigma in levels], dtype=torch.float64)
    z = [
        (state / (1 + sigma)).flatten(1).double()
        for state, sigma in ((states[0], levels[0]), (states[-1], levels[-1]))
    ]
    chord = (z[0] - z[1]) / float(t[0] - t[-1])
    off = torch.stack(
        [
            (velocity(denoiser, state, sigma) - chord).square().sum(dim=1)
            for state, sigma in zip(states, levels, strict=True)
        ]
    )
    each = torch.trapezoid(off.flip(0), t.flip(0).to(off.device), dim=0)
    relative = each / chord.square().sum(dim=1).clamp_min(torch.finfo(torch.float64).tiny)
    spread = float(each.std()) / len(each) ** 0.5 if len(each) > 1 else float("nan")
    return Straightness(float(each.mean()), spread, float(relative.mean()), len(each))


@torch.no_grad()
def velocity(denoiser: Denoiser, x: Tensor, sigma: float) -> Tensor:
    """dz/dt of the path through x at level σ, float64 (N, d)."""
    denoised = denoiser(x, sigma).flatten(1).double()
    rows = x.flatten(1).double()
    return (rows - denoised) * ((1 + sigma) / sigma) - rows


def path_grid(x: Tensor, sigmas: Tensor | None) -> tuple[Tensor, list[float]]:
    """The grid of a path's levels, all > 0, as a tensor and as numbers; None is 64 geometric steps from 80 to 0.002."""
    default = torch.logspace(1.9030899869919435, -2.6989700043360187, 65, dtype=torch.float64)
    grid = default if sigmas is None else torch.as_tensor(sigmas, dtype=torch.float64)
    levels = check_sigmas(grid)
    if levels[-1] == 0 or len(x) == 0:
        raise InputError(
            "sigmas and x",
            expected="levels > 0 and at least one sample",
            got=f"a last level of {levels[-1]:g} and {len(x)} samples",
            remedy="leave out the last level of edm_sigmas: sigmas[:-1]",
        )
    return grid, levels
