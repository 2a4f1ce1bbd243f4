"""Fitting a Brenier potential: problem, start, sampling, steps, checks, result."""

from brenier.solve.check import Check, chi_square
from brenier.solve.fitting import fit
from brenier.solve.hierarchical import fit_hierarchical
from brenier.solve.hierarchical_potential import HierarchicalPotential
from brenier.solve.labelled import LabelledFitResult, LabelledPotential
from brenier.solve.potential import Potential
from brenier.solve.result import FitResult, Record, Status
from brenier.solve.streamed_potential import StreamedPotential

__all__ = [
    "Check",
    "FitResult",
    "HierarchicalPotential",
    "LabelledFitResult",
    "LabelledPotential",
    "Potential",
    "Record",
    "Status",
    "StreamedPotential",
    "chi_square",
    "fit",
    "fit_hierarchical",
]
