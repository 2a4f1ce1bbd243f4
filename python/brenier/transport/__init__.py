"""The potential at work: training couplings, the extended map."""

from brenier.transport.coupling import Coupling, IndependentCoupling, PairSource, PooledCoupling
from brenier.transport.extended import Blend, Extension, TopTargets, top_targets

__all__ = [
    "Blend",
    "Coupling",
    "Extension",
    "IndependentCoupling",
    "PairSource",
    "PooledCoupling",
    "TopTargets",
    "top_targets",
]
