"""The potential at work: training couplings."""

from brenier.transport.coupling import Coupling, IndependentCoupling, PairSource, PooledCoupling

__all__ = ["Coupling", "IndependentCoupling", "PairSource", "PooledCoupling"]
