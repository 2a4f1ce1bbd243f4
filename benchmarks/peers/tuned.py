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

    settings: PotSettings | OttSettings | None  # None for the defaults of POT
    start: float


TUNED: dict[tuple[str, str, float], Tuned] = {
    ("POT", "digits", 0.02): Tuned(PotSettings(128, 0.75, 0.9, 1.25, 0.35, double=True), 44),  # 0.0190 at 43
    ("POT", "digits", 0.005): Tuned(
        PotSettings(128, 0.75, 0.9, 1.25, 0.35, double=True), 190
    ),  # 0.0047 at 207
    ("OTT-JAX", "digits", 0.02): Tuned(
        OttSettings(128, "adam", 0.08, "power", 1.1, 0.4, memory=0.15, decay=7), 53
    ),  # 0.0193 at 55
    ("OTT-JAX", "digits", 0.005): Tuned(
        OttSettings(128, "adam", 0.05, "power", 1.0, 0.35, memory=0.2, decay=7), 250
    ),  # 0.0048 at 271
    ("POT", "mixture", 0.05): Tuned(PotSettings(256, 1.1, 0.8, 1.6, 0.3), 16),  # 0.049 at 16
    ("OTT-JAX", "mixture", 0.05): Tuned(
        OttSettings(1024, "sgd", 0.11, "power", 0.757, 0.25, memory=0.15, decay=9.8), 24
    ),  # 0.0496 at 24
    ("POT", "tiny", 0.2): Tuned(PotSettings(32, 0.75, 0.9, 1.25, 0.35), 6),
    ("OTT-JAX", "tiny", 0.2): Tuned(OttSettings(32, "adam", 0.05, "power", 1.1, 0.4, memory=0.2, decay=7), 8),
}
