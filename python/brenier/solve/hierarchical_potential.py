"""A map of two levels: noise to a part, then to a target of that part."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.engine import PreparedTargets, assign, checks, prepare
from brenier.errors import InputError
from brenier.solve import potential_file
from brenier.solve.centring import subtract
from brenier.solve.parts import grouped
from brenier.solve.potential import Potential, like
from brenier.solve.problem import ACCEPTED
from brenier.types import Array

FORMAT = "brenier.hierarchy.1"


class HierarchicalPotential(Potential):
    """Potentials in two levels, x ↦ argmax_{i in p} ⟨x, y_i⟩ + h_i with p = argmax_q ⟨x, c_q⟩ + H_q.

    coarse : the Potential over the centroids c (P, d) with heights H
    parts : the part of each target, int64 (n,), -1 for those without mass
    heights : (n,), comparable inside a part only

    A valid transport map (its cells have the masses wanted), not the optimal one: it is no gradient of a convex
    function, so value, dual_g and prepared raise InputError. Assigning costs 2 (P + n/P) d operations a noise.
    """

    coarse: Potential
    parts: Tensor
    members: list[Tensor]
    _format = FORMAT

    @classmethod
    def over(
        cls, coarse: Potential, parts: Tensor, targets: Tensor, heights: Tensor, masses: Tensor, **others: Any
    ) -> Any:
        """From its two levels."""
        potential = cls(targets, heights, coarse.centre, masses, **others)
        members = {part: torch.from_numpy(rows) for part, rows in grouped(parts.numpy())}
        own = [members.get(part, torch.empty(0, dtype=torch.int64)) for part in range(len(coarse.targets))]
        for name, value in (("coarse", coarse), ("parts", parts), ("members", own)):
            object.__setattr__(potential, name, value)
        return potential

    def levels(self) -> list[PreparedTargets]:
        """Each part's targets less its centroid, packed for the engine, made at first use and kept."""
        if not self._prepared:
            parts = zip(self.coarse.targets.numpy(), self.members, strict=True)
            made = [self._packed(centroid, rows) for centroid, rows in parts]
            self._prepared[:] = made  # at once: after Ctrl-C, and for other threads, there are all or none
        return self._prepared

    def assign(self, x: Array) -> Any:
        """The target of each noise, int64 (N,), an array where x is one; as in Potential.assign."""
        winners = self._winners(self._noise(x))
        return winners if isinstance(x, Tensor) else winners.numpy()

    def transport(self, x: Array) -> Any:
        return like(x, self.targets[self._winners(self._noise(x))])

    def value(self, x: Array) -> Any:  # noqa: ARG002  as Potential's
        raise no_convex_function("value")

    def dual_g(self, cost: str = "sqeuclidean") -> Tensor:  # noqa: ARG002
        raise no_convex_function("dual_g")

    def prepared(self) -> PreparedTargets:
        raise no_convex_function("prepared")

    def to(self, device: str | torch.device) -> Potential:
        if torch.device(device).type != "cpu":
            raise InputError("device", expected="cpu, for hierarchical potentials", got=str(device))
        return self

    @classmethod
    def load(cls, path: str | os.PathLike[str], targets: Array | None = None) -> Potential:
        """Read what save wrote; as Potential.load."""
        given = None if targets is None else checks.as_matrix(targets, "targets", dtypes=ACCEPTED)
        tensors, matrix, info = potential_file.read(path, given, FORMAT)
        upper, masses = tensors["coarse_heights"], tensors["coarse_masses"]
        coarse = Potential(tensors["centroids"], upper, tensors["centre"], masses)
        vectors = tensors["parts"], matrix, tensors["heights"], tensors["masses"]
        potential: Potential = cls.over(coarse, *vectors, info=info)
        return potential

    def _tensors(self, include_targets: bool) -> dict[str, Tensor]:
        """Both levels."""
        tensors = super()._tensors(include_targets) | {"parts": self.parts, "centroids": self.coarse.targets}
        return tensors | {"coarse_heights": self.coarse.heights, "coarse_masses": self.coarse.masses}

    def _packed(self, centroid: np.ndarray, rows: Tensor) -> PreparedTargets:
        centred, _ = subtract(self.targets[rows], centroid)
        return prepare(centred, engine=self.engine)

    def _winners(self, noise: Tensor) -> Tensor:
        winners = torch.empty(len(noise), dtype=torch.int64)
        for part, rows in grouped(self.coarse.assign(noise).numpy()):
            own, here = self.members[part], torch.from_numpy(rows)
            winners[here] = own[assign(noise[here], self.levels()[part], self.heights[own])]
        return winners


def no_convex_function(what: str) -> InputError:
    return InputError(
        what, expected="the potential of an optimal map", got="a map of two levels", remedy="use brenier.fit"
    )
