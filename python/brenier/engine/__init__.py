"""Verbs over (noise, targets, heights), one contract for every engine."""

from brenier.engine.registry import Choice, EngineStatus, choose, engines
from brenier.engine.verbs import PreparedTargets, assign, candidates, prepare

__all__ = [
    "Choice",
    "EngineStatus",
    "PreparedTargets",
    "assign",
    "candidates",
    "choose",
    "engines",
    "prepare",
]
