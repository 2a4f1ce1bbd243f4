"""Beside torchmetrics and torch-fidelity, where they are installed: the same numbers, through their own network too."""

from pathlib import Path

import pytest
import torch
from brenier.metrics import fid, frechet_distance, kernel_distance, load_inception, precision_recall
from torch import Tensor

PACKAGES = {"torch-fidelity": "torch_fidelity", "torchmetrics": "torchmetrics"}


def features(seed: int, shift: float = 0.0) -> Tensor:
    return shift + torch.randn(60, 24, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_frechet_distance_is_that_of_torchmetrics() -> None:
    compute = pytest.importorskip("torchmetrics.image.fid")._compute_fid
    real, fake = features(0), 1.3 * features(1, 0.4)
    theirs = compute(real.mean(0), real.T.cov(), fake.mean(0), fake.T.cov())
    assert frechet_distance(real, fake) == pytest.approx(float(theirs), rel=1e-6)


def test_the_kernel_distance_is_that_of_torch_fidelity() -> None:
    module = pytest.importorskip("torch_fidelity.metric_kid")
    real, fake = features(0), 1.3 * features(1, 0.4)
    wanted = {"kid_subsets": 1, "kid_subset_size": 60, "kid_kernel": "poly", "kid_kernel_poly_degree": 3}
    wanted |= {"kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1, "rng_seed": 0, "verbose": False}
    theirs = module.kid_features_to_metric(real, fake, **wanted)[module.KEY_METRIC_KID_MEAN]
    assert kernel_distance(real, fake).value == pytest.approx(theirs, rel=1e-6)


def test_precision_and_recall_are_those_of_torch_fidelity() -> None:
    module = pytest.importorskip("torch_fidelity.metric_prc")
    real, fake = features(0).float(), 1.1 * features(1, 0.2).float()
    wanted = {"prc_neighborhood": 3, "prc_batch_size": 10, "save_cpu_ram": False, "verbose": False}
    theirs = module.prc_features_to_metric(fake, real, **wanted)  # since 0.4 the generated ones come first
    ours = precision_recall(real, fake, k=3)
    assert ours.precision == pytest.approx(theirs[module.KEY_METRIC_PRECISION], abs=1e-6)
    assert ours.recall == pytest.approx(theirs[module.KEY_METRIC_RECALL], abs=1e-6)


@pytest.mark.slow  # a network of 24 million weights, twice
@pytest.mark.parametrize("package", PACKAGES)
def test_their_network_reads_weights_from_a_file(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(PACKAGES[package])
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

    class Unread(module.FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: object, **__: object) -> None:
            """Leave the weights as they were drawn."""

    monkeypatch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
    torch.manual_seed(0)
    torch.save(Unread("inception-v3-compat", ["2048"]).state_dict(), tmp_path / "weights.pth")
    inception = load_inception(tmp_path / "weights.pth", package=package, batch=2)
    images = torch.randint(0, 256, (5, 3, 32, 32), generator=torch.Generator().manual_seed(1)).byte()
    found = inception.features(images)
    assert found.shape == (5, 2048)
    torch.testing.assert_close(inception.features(images[3:]), found[3:], rtol=1e-3, atol=1e-4)
    assert fid(images, images, inception) == pytest.approx(0, abs=1e-4)
    assert package in inception.name
