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
    ("POT", "digits", 0.02): Tuned(PotSettings(128, 0.533, 0.9, 1.25, 0.35), 50),  # 0.0197 at 50
    ("POT", "digits", 0.005): Tuned(PotSettings(128, 0.533, 0.9, 1.25, 0.35), 200),
    ("OTT-JAX", "digits", 0.02): Tuned(
        OttSettings(64, "adam", 0.0253, "power", 0.85, 0.4, memory=0.2, decay=70), 50
    ),  # 0.0206 at 50
    ("OTT-JAX", "digits", 0.005): Tuned(
        OttSettings(128, "adam", 0.0316, "power", 0.84, 0.4, memory=0.2, decay=28), 220
    ),  # 0.0063 at 180
    ("POT", "mixture", 0.05): Tuned(PotSettings(1024, 0.512, 0.8, 1.29, 0.3), 36),  # 0.0376 at 48
    ("OTT-JAX", "mixture", 0.05): Tuned(
        OttSettings(2048, "sgd", 0.22, "power", 0.757, 0.15, memory=0.15, decay=4.88), 32
    ),  # 0.0444 at 36
    ("POT", "tiny", 0.2): Tuned(PotSettings(32, 0.5, 0.9, 1.25, 0.35), 12),
    ("OTT-JAX", "tiny", 0.2): Tuned(
        OttSettings(32, "adam", 0.03, "power", 0.85, 0.4, memory=0.2, decay=16), 12
    ),
}
