"""Fitting a Brenier potential: problem, start, sampling, steps, checks, result."""

from brenier.solve.check import Check, chi_square
from brenier.solve.fitting import fit
from brenier.solve.potential import Potential
from brenier.solve.result import FitResult, Record, Status

__all__ = ["Check", "FitResult", "Potential", "Record", "Status", "chi_square", "fit"]
