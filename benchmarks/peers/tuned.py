"""The peers' settings, tuned by hand with peers/tune.py: per problem and per level of χ².

Each line ends with what it reproduced: χ² at that many samples per target, by our judge. brenier has no such
file: it is called with nothing but the targets and the tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass

from .ott_jax import OttSettings
from .pot import PotSettings


@dataclass(frozen=True)
class Tuned:
    """Settings, and the samples per target at which the search for the crossing begins."""

    settings: PotSettings | OttSettings
    start: float


TUNED: dict[tuple[str, str, float], Tuned] = {}
