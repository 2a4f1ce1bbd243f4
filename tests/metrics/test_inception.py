"""FID goes by the weights that the user gives; the network itself is another package's."""

import sys
import types
from pathlib import Path

import pytest
import torch
from brenier.errors import FileError, InputError, MissingPackageError
from brenier.metrics import frechet_distance, kernel_distance
from brenier.metrics.inception import Inception, as_pixels, fid, kid, load_inception
from torch import Tensor, nn


class Stub(nn.Module):
    """Four numbers of an image, as torch-fidelity returns features: in a tuple."""

    def __init__(self, name: str, features: list[str], feature_extractor_weights_path: str) -> None:
        super().__init__()
        assert (name, features) == ("inception-v3-compat", ["2048"])
        self.load_state_dict_from = feature_extractor_weights_path
        self.layer = nn.Linear(12, 4, bias=False)
        self.layer.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=True))

    def forward(self, x: Tensor) -> tuple[Tensor]:
        assert x.dtype == torch.uint8
        return (self.layer(x.flatten(1).float() / 255),)


@pytest.fixture
def inception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inception:
    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = Stub
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    weights = tmp_path / "weights.pth"
    torch.save(nn.Linear(12, 4, bias=False).state_dict(), weights)
    return load_inception(weights, batch=7)


def images(seed: int) -> Tensor:
    return torch.randint(0, 256, (20, 3, 2, 2), generator=torch.Generator().manual_seed(seed)).byte()


def test_fid_and_kid_are_the_distances_of_its_features(inception: Inception) -> None:
    real, fake = images(0), images(1)
    features = inception.features(real), inception.features(fake)
    assert features[0].shape == (20, 4)
    assert fid(real, fake, inception) == frechet_distance(*features)
    assert kid(real, fake, inception) == kernel_distance(*features)
    assert fid(real, real, inception) == pytest.approx(0, abs=1e-9)
    assert "weights.pth" in inception.name


def test_floats_in_minus_one_to_one_are_the_stored_pixels(inception: Inception) -> None:
    stored = images(0)
    assert torch.equal(as_pixels(stored.float() / 127.5 - 1), stored)
    assert torch.equal(inception.features(stored.float() / 127.5 - 1), inception.features(stored))


def test_missing_weights_missing_packages_and_other_files_are_said(
    tmp_path: Path, inception: Inception
) -> None:
    with pytest.raises(FileError, match="no such file"):
        load_inception(tmp_path / "nothing.pth")
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(FileError, match="Inception weights"):
        load_inception(tmp_path / "other.pth")
    torch.save({"code": Path.cwd}, tmp_path / "code.pth")
    with pytest.raises(FileError, match="Inception weights"):
        load_inception(tmp_path / "code.pth")
    with pytest.raises(InputError, match="package"):
        load_inception(tmp_path / "other.pth", package="tensorflow")
    if "torchmetrics" not in sys.modules:
        with pytest.raises(MissingPackageError, match="torchmetrics"):
            load_inception(tmp_path / "other.pth", package="torchmetrics")
    assert inception.batch == 7


@pytest.mark.parametrize(
    "bad", [torch.zeros(2, 1, 4, 4), torch.zeros(2, 3, 4), torch.full((2, 3, 4, 4), 200.0)]
)
def test_what_is_no_image_is_refused(bad: Tensor) -> None:
    with pytest.raises(InputError, match="images"):
        as_pixels(bad)
