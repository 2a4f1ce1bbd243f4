"""The first half of DPM-OT: noise through the potential to the noised latents x_M, plain, extended, or by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from brenier.data.latents import NoisedLatents, read_rows
from brenier.data.sources import LatentSource
from brenier.diffusion.process import Level
from brenier.errors import InputError
from brenier.solve.labelled import LabelledPotential
from brenier.transport import Blend, Extension, TopTargets, top_targets
from brenier.types import Array


class Assigner(Protocol):
    """What is needed of a potential: the winning target of each row of noise."""

    def assign(self, x: Tensor) -> Array:
        """int64 indices (N,)."""


@dataclass(frozen=True)
class Starts:
    """Where the last steps begin, and how each sample came there."""

    latents: Tensor  # (N, d): x_M
    indices: Tensor  # (N,) int64: the target of each noise
    blend: Blend | None  # with an extension
    top: TopTargets | None  # with diagnostics


def map_noise(
    potential: Assigner | LabelledPotential,
    noise: Tensor,
    latents: NoisedLatents,
    *,
    labels: Array | None = None,
    extension: Extension | None = None,
    top: int = 0,
    seeds: Sequence[int] | None = None,
) -> Starts:
    """Send noise (N, d) through a potential to latents of its source; arguments as in sample_dpm_ot.

    With an extension the images are blended, x_M = a·Σw_k·y_k + b·Σw_k·ε_k/√Σw_k²: the noise is scaled back to
    the level, from which a plain blend of latents would fall. Raises InputError.
    """
    parts = list(by_class(potential, noise, labels))
    winners = torch.empty(len(noise), dtype=torch.int64)
    for rows, own, members in parts:
        winners[rows] = placed(torch.as_tensor(own.assign(noise[rows])).cpu(), members)
    found = gathered(parts, len(noise), lambda own, rows: top_targets(own, noise[rows], top)) if top else None
    if extension is None or not parts:
        starts = latents.take(winners, seeds=seeds).to(noise.device)
        return Starts(starts, winners.to(noise.device), None, found)
    blended = gathered(parts, len(noise), lambda own, rows: extension.blend(own, noise[rows]))
    starts = blend_latents(latents, blended, seeds).to(noise.device)
    return Starts(starts, winners.to(noise.device), blended, found)


Part = tuple[Tensor, Any, Tensor | None]


def by_class(potential: Any, noise: Tensor, labels: Array | None) -> Iterator[Part]:
    """For each class its rows of the noise, its potential, and where its targets stand among all."""
    if (labels is not None) != isinstance(potential, LabelledPotential):
        raise InputError(
            "labels",
            expected="one per noise for a potential per class, None for any other",
            got=f"{'None' if labels is None else 'labels'} with a {type(potential).__name__}",
            remedy="tell a model the classes of a plain potential's targets by guided(model, labels[assign(noise)])",
        )
    if labels is None:
        yield torch.arange(len(noise)), potential, None
        return
    for label, rows in potential.rows_of(labels, len(noise)):
        yield rows, potential.potentials[label], potential.members[label]


def placed(local: Tensor, members: Tensor | None) -> Tensor:
    """Indices within a class as indices among all targets; -1 stays."""
    return local if members is None else torch.where(local >= 0, members[local.clamp(min=0)], -1)


def gathered(parts: list[Part], rows: int, work: Any) -> Any:
    """The records of all classes as one, in the order of the noise."""
    record: Any = None
    for own_rows, potential, members in parts:
        own = work(potential, own_rows)
        fields = vars(own) | {"indices": placed(own.indices, members)}
        if record is None:
            kind, record = type(own), {}
            for name, value in fields.items():
                record[name] = value.new_empty(rows, value.shape[1])
        for name, value in fields.items():
            record[name][own_rows] = value
    return None if record is None else kind(**record)


def blend_latents(latents: NoisedLatents, blend: Blend, seeds: Sequence[int] | None) -> Tensor:
    """x_M of blended images at the latents' own level, float32 (N, d)."""
    images = noised = 0.0
    if seeds is not None:  # one fresh noise per sample, that of its winner
        first = blend.indices[:, 0]
        fresh = latents.take(first, seeds=seeds) - latents.scale * latents.clean(first)
    for column, weights in zip(blend.indices.T, blend.weights.T.float(), strict=True):
        clean = latents.clean(column)
        share = weights[:, None].to(clean)
        images = images + share * clean
        noised = noised + share * (latents.take(column) - latents.scale * clean)
    length = blend.weights.square().sum(dim=1, keepdim=True).sqrt().to(share)
    return latents.scale * torch.as_tensor(images) + (fresh if seeds is not None else noised / length)


def device_of(potential: Any) -> torch.device:
    """Where a potential takes its noise: with its targets; the CPU for a source of them and anything unknown."""
    some = potential
    if isinstance(potential, LabelledPotential):
        some = next(iter(potential.potentials.values()))
    return getattr(getattr(some, "targets", None), "device", torch.device("cpu"))


def check_start(latents: NoisedLatents, level: Level) -> None:
    """Raise InputError where latents do not lie at the level where sampling starts."""
    if not level.matches(latents.scale, latents.sigma):
        raise InputError(
            "latents",
            expected=f"the start level, scale {level.scale:.9g} and sigma {level.sigma:.9g}",
            got=f"scale {latents.scale:.9g} and sigma {latents.sigma:.9g}",
            remedy="build NoisedLatents with start_level(sigmas, last_steps)'s scale and sigma, and fit to that",
        )


def check_source(latents: NoisedLatents, potential: Any) -> None:
    """Raise InputError where a potential's targets are visibly not these latents: shape, then a few rows."""
    if isinstance(potential, LabelledPotential):
        if sum(map(len, potential.members.values())) != len(latents):
            raise InputError("latents", expected="one per target of all classes", got=str(len(latents)))
        for label, own in potential.potentials.items():
            check_rows(latents, own.targets, potential.members[label])
        return
    targets = getattr(potential, "targets", None)
    if targets is None:
        return
    if tuple(targets.shape) != latents.shape:
        raise InputError("latents", expected=f"shape {tuple(targets.shape)}", got=str(latents.shape))
    check_rows(latents, targets, torch.arange(len(latents)))


def check_rows(latents: NoisedLatents, targets: Tensor | LatentSource, members: Tensor) -> None:
    """Compare up to eight of the targets with the latents at their places."""
    rows = torch.linspace(0, len(targets) - 1, min(8, len(targets))).long()
    fitted = targets[rows.to(targets.device)] if isinstance(targets, Tensor) else read_rows(targets, rows)
    fitted, given = fitted.float().cpu(), latents.take(members[rows]).cpu()
    same = fitted.shape == given.shape
    if not (same and torch.allclose(fitted, given, rtol=1e-2, atol=1e-2 * float(given.abs().max()))):
        raise InputError(
            "latents",
            expected="the targets that the potential was fitted to",
            got="other rows",
            remedy="use the same images, order, sigma and seed",
        )
