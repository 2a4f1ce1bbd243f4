"""A potential whose targets stay where they are: every call reads them once, tile by tile."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from brenier.data.latents import read_rows
from brenier.data.sources import ArraySource, LatentSource, open_source
from brenier.engine import assign
from brenier.engine.ranks import Ranks
from brenier.errors import InputError
from brenier.solve import potential_file
from brenier.solve.first_pass import centred_source
from brenier.solve.potential import Potential, known_cost
from brenier.solve.streamed import StreamedTargets
from brenier.types import Array

COLUMNS = 32  # directions a pass, which a potential does not project on


class StreamedPotential(Potential):
    """A Potential over a latent source; methods and answers are those of Potential, in full dimension.

    ``targets`` is the source. Each call of assign, transport or value reads all targets once, so large batches
    pay; the winner is the exact one, lowest index on ties.
    """

    streamed: StreamedTargets

    @classmethod
    def over(
        cls, streamed: StreamedTargets, *tensors: Tensor, info: dict[str, Any], engine: str | None
    ) -> Any:
        """heights, centre and masses follow the targets."""
        heights, centre, masses = tensors
        source: Any = streamed.source
        potential = cls(source, heights, centre, masses, info, engine)
        object.__setattr__(potential, "streamed", streamed)
        return potential

    def prepared(self) -> Any:
        raise InputError(
            "targets", expected="targets in memory", got="a source", remedy="fit its rows as a tensor"
        )

    def assign(self, x: Array) -> Any:
        winners, _ = self._best(x)
        return winners if isinstance(x, Tensor) else winners.numpy()

    def transport(self, x: Array) -> Any:
        """The winning targets, (N, d) float32."""
        images = read_rows(self.streamed.source, self._best(x)[0])
        return images if isinstance(x, Tensor) else images.numpy()

    def value(self, x: Array) -> Any:
        values = self._best(x)[1] + self._noise(x).double() @ self.centre
        return values if isinstance(x, Tensor) else values.numpy()

    def dual_g(self, cost: str = "sqeuclidean") -> Tensor:
        share = {"sqeuclidean": (2, 1), "half_sqeuclidean": (1, 0.5), "neg_dot": (1, 0)}[known_cost(cost)]
        if share[1] == 0:
            return self.heights.clone()
        centre = self.streamed.centre.double()
        squares = [(tile.double() + centre).square().sum(1) for _, _, tile in self.streamed.tiles()]
        return share[0] * self.heights + share[1] * torch.cat(squares)

    def to(self, device: str | torch.device) -> Potential:
        if torch.device(device).type != "cpu":
            raise InputError("device", expected="cpu, for targets are streamed", got=str(device))
        return self

    def save(self, path: str | os.PathLike[str], *, include_targets: bool = False) -> None:
        """Write heights, centre, masses and the fingerprint of the source, never the targets."""
        if include_targets:
            raise InputError("include_targets", expected="False for streamed targets", got="True")
        self.write(path, include_targets, {})

    @classmethod
    def load(cls, path: str | os.PathLike[str], targets: Any = None) -> Potential:
        """Read what save wrote, over the source it was fitted to (two passes to know it again)."""
        if targets is None:
            raise InputError("targets", expected="the source this potential was fitted to", got="None")
        source: LatentSource = open_source(targets)
        masses = potential_file.masses_in(
            path, len(source)
        )  # the centre is that of the masses it was fitted to
        streamed, _ = centred_source(source, masses.numpy(), COLUMNS, Ranks())
        tensors, info = potential_file.read_checked(path, streamed.fingerprint, len(source))
        streamed.centre = tensors["centre"].float()
        vectors = (tensors[name] for name in ("heights", "centre", "masses"))
        potential: Potential = cls.over(streamed, *vectors, info=info, engine=None)
        return potential

    @classmethod
    def of_resident(cls, potential: Potential, source: LatentSource) -> Potential:
        """A potential whose targets are in memory, over the source that they came from: they may be let go."""
        masses = potential.masses.numpy()
        streamed, _ = centred_source(ArraySource(potential.targets), masses, COLUMNS, Ranks())
        streamed.source = source
        vectors = potential.heights, streamed.centre.double(), potential.masses
        over: Potential = cls.over(streamed, *vectors, info=potential.info, engine=potential.engine)
        return over

    def _fingerprint(self) -> str:
        return self.streamed.fingerprint

    def _best(self, x: Array) -> tuple[Tensor, Tensor]:
        """Winners and float64 scores over all tiles; an earlier tile keeps a tie."""
        noise = self._noise(x).cpu()
        winners = torch.full((len(noise),), -1, dtype=torch.int64)
        scores = torch.full((len(noise),), -torch.inf, dtype=torch.float64)
        for lo, hi, tile in self.streamed.tiles():
            local, best = assign(noise, tile, self.heights[lo:hi].contiguous(), return_scores=True)
            ahead = best > scores
            winners[ahead], scores[ahead] = local[ahead] + lo, best[ahead]
        return winners, scores
