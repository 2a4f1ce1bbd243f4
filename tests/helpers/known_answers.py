"""Semi-discrete problems that come with their answer."""

import math

import numpy as np
import torch

GENERATOR_SEED = 20261121


def normal_quantile(p: np.ndarray) -> np.ndarray:
    return torch.special.ndtri(torch.from_numpy(np.asarray(p, dtype=np.float64))).numpy()


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return torch.special.ndtr(torch.from_numpy(np.asarray(x, dtype=np.float64))).numpy()


def line(n: int, masses: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sorted targets on a line, masses, and the exact heights.

    Cells are intervals that end at b_k = Φ⁻¹(ν_1 + … + ν_k), where neighbours' scores are equal:
    h_{k+1} = h_k − b_k (y_{k+1} − y_k).
    """
    generator = np.random.default_rng(GENERATOR_SEED)
    y = np.sort(generator.standard_normal(n))
    masses = np.full(n, 1 / n) if masses is None else masses / masses.sum()
    ends = normal_quantile(np.cumsum(masses)[:-1])
    heights = np.concatenate([[0.0], -np.cumsum(ends * np.diff(y))])
    return y[:, None].astype(np.float32), masses, heights - masses @ heights


def line_masses(y: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Exact cell masses of a potential on sorted targets of a line, by its upper envelope."""
    x = np.concatenate([[-np.inf], normal_quantile((np.arange(400_000) + 0.5) / 400_000)])
    winners = np.empty(len(x) - 1, dtype=np.int64)
    for lo in range(0, len(winners), 20_000):
        points = x[1 + lo : 1 + lo + 20_000]
        winners[lo : lo + 20_000] = (points[:, None] * y[:, 0] + heights).argmax(axis=1)
    return np.bincount(winners, minlength=len(y)) / len(winners)


def product_grid(a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets (u_i, v_j) of equal mass, whose heights separate into those of two lines."""
    u, _, hu = line(a)
    v, _, hv = line(b)
    targets = np.stack(np.meshgrid(u[:, 0], 0.5 * v[:, 0], indexing="ij"), axis=-1).reshape(-1, 2)
    return targets, (hu[:, None] + 0.5 * hv[None, :]).ravel()


def orthogonal(n: int, norm: float) -> np.ndarray:
    """Orthogonal targets of equal norm: by symmetry all heights are equal."""
    return norm * np.eye(n, dtype=np.float32)


def two_targets(mass: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Two targets, masses, and the exact difference h_0 − h_1 = ‖y_0 − y_1‖ Φ⁻¹(ν_0)."""
    targets = np.array([[1.0, 2.0, 0.0], [-1.0, 0.5, 0.0]], dtype=np.float32)
    difference = math.dist(*targets) * float(normal_quantile(np.array(mass)))
    return targets, np.array([mass, 1 - mass]), difference


def image_like(n: int, d: int, seed: int = 0) -> torch.Tensor:
    """Targets whose spectrum falls like 1/k^0.8, plus a little white noise."""
    generator = torch.Generator().manual_seed(GENERATOR_SEED + seed)
    scale = torch.arange(1, d + 1).float().pow(-0.8)
    scale *= math.sqrt(d) / scale.norm()
    return torch.randn(n, d, generator=generator) * scale + 0.1 * torch.randn(n, d, generator=generator)


def chi_square_of(masses: np.ndarray, wanted: np.ndarray) -> float:
    return float(((masses - wanted) ** 2 / wanted).sum())
