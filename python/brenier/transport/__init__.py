"""The potential at work: training couplings."""

from brenier.transport.coupling import Coupling, IndependentCoupling, PairedPool, PairSource

__all__ = ["Coupling", "IndependentCoupling", "PairSource", "PairedPool"]
