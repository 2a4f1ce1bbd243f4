"""The Brenier potential: targets, heights, and the map they define."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from brenier.engine import PreparedTargets, assign, checks, prepare
from brenier.errors import InputError
from brenier.solve import potential_file
from brenier.solve.centring import subtract
from brenier.solve.fingerprint import fingerprint
from brenier.solve.problem import ACCEPTED, build_problem
from brenier.types import Array

COSTS = ("sqeuclidean", "half_sqeuclidean", "neg_dot")
ROWS = 8192


@dataclass(frozen=True, eq=False)
class Potential:
    """u_h(x) = max_i ⟨x, y_i⟩ + h_i; its gradient x ↦ y_winner is the transport map.

    targets : (n, d) as given to fit, not copied: do not change them
    heights : (n,) float64 in units of the score, -inf for targets without mass
    centre : (d,) the mean that is subtracted from the targets before scoring (it changes no winner).
    POT calls the cost's dual ``g``, OTT ``g`` too; see dual_g and from_dual_g.
    """

    targets: Tensor
    heights: Tensor
    centre: Tensor
    masses: Tensor
    info: dict[str, Any] = field(default_factory=dict)
    engine: str | None = None
    _format: ClassVar[str] = potential_file.FORMAT
    _prepared: list[PreparedTargets] = field(default_factory=list, repr=False, compare=False)

    def __repr__(self) -> str:
        n, d = self.targets.shape
        return f"Potential(n={n}, d={d}, error={self.info.get('error')})"

    def prepared(self) -> PreparedTargets:
        """Centred targets packed for the engine, made at first use and kept."""
        if not self._prepared:
            centred, _ = subtract(self.targets.cpu(), self.centre.numpy())
            self._prepared.append(prepare(centred.to(self.targets.device), engine=self.engine))
        return self._prepared[0]

    def assign(self, x: Array) -> Any:
        """The index of the target that wins each noise: argmax_i ⟨x_j, y_i⟩ + h_i, lowest index on ties.

        x : (N, d) or (N, ...) flattening to d; float16, bfloat16, float32 or float64 (rounded to float32).
        Returns int64 (N,), an array where x is one. Raises InputError.
        """
        winners = assign(self._noise(x), self.prepared(), self._device_heights())
        return winners if isinstance(x, Tensor) else winners.numpy()

    def transport(self, x: Array) -> Any:
        """The map: the winning target of each noise, (N, d) in the targets' dtype."""
        noise = self._noise(x)
        winners = assign(noise, self.prepared(), self._device_heights())
        return like(x, self.targets[winners])

    def value(self, x: Array) -> Any:
        """u_h(x) in float64, (N,)."""
        noise = self._noise(x)
        _, scores = assign(noise, self.prepared(), self._device_heights(), return_scores=True)
        values = scores + noise.double() @ self.centre.to(noise.device)
        return values if isinstance(x, Tensor) else values.numpy()

    def dual_g(self, cost: str = "sqeuclidean") -> Tensor:
        """The Kantorovich dual of the targets, float64 (n,), up to a constant.

        "sqeuclidean", c = ‖x − y‖² (POT ot.semidiscrete, OTT SqEuclidean):  g_i = 2 h_i + ‖y_i‖²
        "half_sqeuclidean", c = ½‖x − y‖²:  ψ_i = h_i + ½‖y_i‖²
        "neg_dot", c = −⟨x, y⟩ (OTT NegDotProduct):  g_i = h_i
        """
        squares = squared_norms(self.targets).to(self.heights.device)
        return {
            "sqeuclidean": 2 * self.heights + squares,
            "half_sqeuclidean": self.heights + squares / 2,
            "neg_dot": self.heights.clone(),
        }[known_cost(cost)]

    @classmethod
    def from_dual_g(
        cls, g: Array, targets: Array, *, cost: str = "sqeuclidean", weights: Array | None = None
    ) -> Potential:
        """The potential of a dual found by POT or OTT; the inverse of dual_g."""
        matrix = checks.as_matrix(targets, "targets", dtypes=ACCEPTED)
        dual = checks.heights(g, len(matrix), matrix.device, "g")
        squares = squared_norms(matrix)
        heights = {
            "sqeuclidean": (dual - squares) / 2,
            "half_sqeuclidean": dual - squares / 2,
            "neg_dot": dual,
        }[known_cost(cost)]
        return cls.of(matrix, heights, weights)

    @classmethod
    def of(cls, targets: Array, heights: Array, weights: Array | None = None, **info: Any) -> Potential:
        """A potential from targets and heights; weights are the masses wanted, equal if None."""
        matrix = checks.as_matrix(targets, "targets", dtypes=ACCEPTED)
        problem = build_problem(matrix, weights)
        h = checks.heights(heights, len(matrix), matrix.device)
        masses = np.zeros(len(matrix))
        has_mass = problem.members >= 0
        owners, first = np.unique(problem.members[has_mass], return_index=True)
        masses[np.flatnonzero(has_mass)[first]] = problem.masses[owners]
        return cls(matrix, h, torch.from_numpy(problem.centre), torch.from_numpy(masses), info)

    def to(self, device: str | torch.device) -> Potential:
        """The same potential with targets and heights on another device."""
        try:
            targets, heights = self.targets.to(device), self.heights.to(device)
        except (RuntimeError, AssertionError, TypeError) as error:
            raise InputError("device", expected="a torch device of this machine", got=str(error)) from error
        return Potential(targets, heights, self.centre, self.masses, self.info, self.engine)

    def save(self, path: str | os.PathLike[str], *, include_targets: bool = True) -> None:
        """Write a safetensors file with JSON metadata: a digest of the tensors, a fingerprint of the targets.

        Without the targets the file is small, and load needs them. Raises FileError; leaves no half file.
        """
        self.write(path, include_targets, {})

    def write(self, path: str | os.PathLike[str], include_targets: bool, beside: dict[str, Tensor]) -> str:
        """The file of save with other tensors beside its own; returns its digest."""
        tensors = self._tensors(include_targets) | beside
        return potential_file.write(path, tensors, self._fingerprint(), self.info, self._format)

    @classmethod
    def load(cls, path: str | os.PathLike[str], targets: Array | None = None) -> Potential:
        """Read what save wrote, checking digest and fingerprint; raises FileError or InputError."""
        given = None if targets is None else checks.as_matrix(targets, "targets", dtypes=ACCEPTED)
        tensors, matrix, info = potential_file.read(path, given)
        return cls(matrix, tensors["heights"], tensors["centre"], tensors["masses"], info)

    def _fingerprint(self) -> str:
        return fingerprint(self.targets)

    def _tensors(self, include_targets: bool) -> dict[str, Tensor]:
        tensors = {"heights": self.heights, "centre": self.centre, "masses": self.masses}
        if include_targets:
            tensors["targets"] = self.targets
        return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}

    def _device_heights(self) -> Tensor:
        return self.heights.to(self.targets.device)

    def _noise(self, x: Array) -> Tensor:
        return as_noise(x, self.targets.shape[1])


def as_noise(x: Array, dimension: int) -> Tensor:
    """Noise (N, d) from (N, ...), float64 rounded to float32; raises InputError."""
    tensor = checks.as_tensor(x, "x")
    if tensor.ndim > 2:
        tensor = tensor.flatten(1)
    matrix = checks.as_matrix(tensor, "x", dtypes=ACCEPTED)
    if matrix.shape[1] != dimension:
        raise InputError("x", expected=f"d = {dimension} as the targets", got=f"d = {matrix.shape[1]}")
    return matrix.float() if matrix.dtype == torch.float64 else matrix


def like(x: Array, images: Tensor) -> Any:
    """A tensor where x is one, else an array; numpy has no bfloat16."""
    if isinstance(x, Tensor):
        return images
    return (images.float() if images.dtype == torch.bfloat16 else images).numpy()


def known_cost(cost: str) -> str:
    if cost not in COSTS:
        raise InputError("cost", expected="one of " + ", ".join(COSTS), got=repr(cost))
    return cost


def squared_norms(targets: Tensor) -> Tensor:
    """‖y_i‖² in float64, in blocks of rows."""
    return torch.cat(
        [targets[lo : lo + ROWS].double().square().sum(1) for lo in range(0, len(targets), ROWS)]
    )
