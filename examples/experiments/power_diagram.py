"""Exact power diagrams in the plane: every cell is a polygon, clipped half-plane by half-plane."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Cell:
    """{x in the box : ⟨x, y_i⟩ + h_i is largest}: corners (k, 2) counter-clockwise, and edges shared with others."""

    corners: np.ndarray
    neighbours: dict[int, np.ndarray] = field(default_factory=dict)


def power_diagram(targets: np.ndarray, heights: np.ndarray, half_width: float) -> list[Cell]:
    """The cells of targets (n, 2) and heights (n,) inside the square [-half_width, half_width]²; O(n²) clips."""
    return [one_cell(number, targets, heights, half_width) for number in range(len(targets))]


def one_cell(number: int, targets: np.ndarray, heights: np.ndarray, half_width: float) -> Cell:
    w = half_width
    corners = [np.array(corner) for corner in ((-w, -w), (w, -w), (w, w), (-w, w))]
    owners = [-1, -1, -1, -1]  # whose half-plane the edge from corner k to corner k + 1 belongs to
    for other in range(len(targets)):
        if other != number:
            # ⟨x, y_i − y_j⟩ + h_i − h_j ≥ 0
            normal, offset = targets[number] - targets[other], heights[number] - heights[other]
            corners, owners = clip(corners, owners, normal, float(offset), other)
    cell = Cell(np.array(corners).reshape(-1, 2))
    for place, owner in enumerate(owners):
        if owner >= 0:
            cell.neighbours[owner] = np.stack([corners[place], corners[(place + 1) % len(corners)]])
    return cell


def clip(
    corners: list[np.ndarray], owners: list[int], normal: np.ndarray, offset: float, owner: int
) -> tuple[list[np.ndarray], list[int]]:
    """The part of a convex polygon where ⟨x, normal⟩ + offset ≥ 0 (Sutherland and Hodgman 1974)."""
    kept: list[np.ndarray] = []
    names: list[int] = []
    values = [float(corner @ normal) + offset for corner in corners]
    for place, (corner, value) in enumerate(zip(corners, values, strict=True)):
        after = (place + 1) % len(corners)
        if value >= 0:
            kept.append(corner)
            names.append(owners[place])
        if (value >= 0) != (values[after] >= 0):
            share = value / (value - values[after])
            kept.append(corner + share * (corners[after] - corner))
            # leaving the half-plane starts the new edge; entering it continues the old one
            names.append(owner if value >= 0 else owners[place])
    return kept, names


def gaussian_mass(corners: np.ndarray, points: int = 24) -> float:
    """The standard normal mass of a convex polygon around or beside the origin, to about 1e-10.

    By Green's theorem with the field x·(1 − e^{−r²/2})/(2π r²), whose divergence is the density:
    Σ over edges ∫ (x × dx)·(1 − e^{−r²/2})/(2π r²), by Gauss–Legendre quadrature on pieces no longer than ½.
    """
    if len(corners) < 3:
        return 0.0
    nodes, weights = np.polynomial.legendre.leggauss(points)
    total = 0.0
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        cross, length = float(a[0] * b[1] - a[1] * b[0]), float(np.linalg.norm(b - a))
        pieces = max(1, math.ceil(2 * length))
        t = ((np.arange(pieces)[:, None] + (nodes + 1) / 2) / pieces).ravel()
        r2 = np.square(a + t[:, None] * (b - a)).sum(axis=1)
        kernel = np.where(r2 > 1e-12, -np.expm1(-r2 / 2) / np.maximum(r2, 1e-12), 0.5)
        total += cross * float((np.tile(weights, pieces) / (2 * pieces) * kernel).sum())
    return total / (2 * math.pi)
