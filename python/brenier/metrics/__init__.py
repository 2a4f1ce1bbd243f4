"""What to measure before believing a map, a sampler or a model: on given features, nothing is downloaded."""

from brenier.metrics.features import Classifier, train_classifier
from brenier.metrics.frechet import frechet_distance
from brenier.metrics.inception import Inception, fid, kid, load_inception
from brenier.metrics.kernel import KernelDistance, kernel_distance
from brenier.metrics.leak import ConditionLeak, condition_leak
from brenier.metrics.maps import MarginalError, marginal_error, transport_cost
from brenier.metrics.memorisation import Memorisation, memorisation
from brenier.metrics.modes import mode_mixture_ratio
from brenier.metrics.paths import Curvature, Straightness, curvature, straightness
from brenier.metrics.support import DensityCoverage, PrecisionRecall, density_coverage, precision_recall
from brenier.metrics.wasserstein import Wasserstein, wasserstein

__all__ = [
    "Classifier",
    "ConditionLeak",
    "Curvature",
    "DensityCoverage",
    "Inception",
    "KernelDistance",
    "MarginalError",
    "Memorisation",
    "PrecisionRecall",
    "Straightness",
    "Wasserstein",
    "condition_leak",
    "curvature",
    "density_coverage",
    "fid",
    "frechet_distance",
    "kernel_distance",
    "kid",
    "load_inception",
    "marginal_error",
    "memorisation",
    "mode_mixture_ratio",
    "precision_recall",
    "straightness",
    "train_classifier",
    "transport_cost",
    "wasserstein",
]
