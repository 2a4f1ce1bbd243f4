"""The conversion of a pickled EDM network, run on a network of our own that lives in a folder of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from brenier.diffusion import edm_sigmas, sample_heun

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "convert_edm_pickle.py"
THEIRS = """
import torch
class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inward = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.outward = torch.nn.Conv2d(4, 1, 3, padding=1)
        self.label_dim = 0
    def forward(self, x, sigma, class_labels=None):
        sigma = sigma.reshape(-1, 1, 1, 1)
        skip = 0.25 / (sigma**2 + 0.25)
        return skip * x + (1 - skip) * self.outward(self.inward(x / (sigma**2 + 0.25).sqrt()).relu())
"""
SAVE = """
import pickle, sys, torch
sys.path.insert(0, "repository")
from theirs import Network
torch.manual_seed(0)
network = Network()
pickle.dump({"ema": network}, open("net.pkl", "wb"))
x = torch.randn(3, 1, 8, 8)
torch.save([x, network(x, torch.full((3,), 2.0)).detach()], "answer.pt")
"""


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow  # three interpreters, and an export
def test_a_pickled_network_runs_without_its_code_after_conversion(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "theirs.py").write_text(THEIRS)
    assert run(tmp_path, "-c", SAVE).returncode == 0
    command = [str(EXAMPLE), "net.pkl", "net.pt2", "--repository", "repository", "--shape", "1", "8", "8"]
    refused = run(tmp_path, *command)
    assert refused.returncode == 2
    assert "trust" in refused.stderr
    done = run(tmp_path, *command, "--i-trust-this-file")
    assert done.returncode == 0, done.stderr
    exported = torch.export.load(tmp_path / "net.pt2").module()

    def denoiser(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return exported(x, torch.as_tensor(sigma, dtype=x.dtype).expand(len(x)))

    x, answer = torch.load(tmp_path / "answer.pt", weights_only=True)
    torch.testing.assert_close(denoiser(x, 2.0), answer, atol=1e-5, rtol=1e-5)
    assert sample_heun(denoiser, x, edm_sigmas(2, sigma_max=2.0)).isfinite().all()
