"""What to measure before believing a map, a sampler or a model: on given features, nothing is downloaded."""

from brenier.metrics.features import Classifier, train_classifier
from brenier.metrics.frechet import frechet_distance
from brenier.metrics.maps import MarginalError, marginal_error, transport_cost
from brenier.metrics.memorisation import Memorisation, memorisation
from brenier.metrics.modes import mode_mixture_ratio
from brenier.metrics.paths import Curvature, curvature
from brenier.metrics.support import PrecisionRecall, precision_recall

__all__ = [
    "Classifier",
    "Curvature",
    "MarginalError",
    "Memorisation",
    "PrecisionRecall",
    "curvature",
    "frechet_distance",
    "marginal_error",
    "memorisation",
    "mode_mixture_ratio",
    "precision_recall",
    "train_classifier",
    "transport_cost",
]
