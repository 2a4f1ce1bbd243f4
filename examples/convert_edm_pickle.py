"""Turn a pickled EDM network into a file that runs without its code: you trust the pickle, brenier never reads it.

Unpickling runs whatever the file says. Do it on your own trust, where the repository it was saved from can be imported:

python examples/convert_edm_pickle.py edm-cifar10-32x32-uncond-vp.pkl edm.pt2 \\
    --repository ~/edm --shape 3 32 32 --i-trust-this-file

Afterwards, in any process with torch and no such repository:

    exported = torch.export.load("edm.pt2").module()
    def denoiser(x, sigma):
        return exported(x, torch.as_tensor(sigma, dtype=x.dtype).expand(len(x)))
"""

import argparse
import pickle
import sys
from pathlib import Path

import torch
from torch import Tensor, nn


class Denoiser(nn.Module):
    """D(x, σ) with σ (N,); the class as one-hot rows where the network has classes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.network(x, sigma) if labels is None else self.network(x, sigma, labels)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pickled", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--repository", type=Path, help="whose modules the pickle needs")
    parser.add_argument("--shape", type=int, nargs=3, default=(3, 32, 32), metavar=("C", "H", "W"))
    parser.add_argument("--i-trust-this-file", action="store_true", required=True)
    given = parser.parse_args()
    if given.repository:
        sys.path.insert(0, str(given.repository.expanduser()))
    with given.pickled.open("rb") as file:
        found = pickle.load(file)
    network = found["ema"] if isinstance(found, dict) else found
    denoiser = Denoiser(network.float().cpu().eval().requires_grad_(False))
    inputs = [torch.randn(2, *given.shape), torch.tensor([0.5, 2.0])]
    if getattr(network, "label_dim", 0):
        inputs.append(torch.eye(network.label_dim)[:2])
    shapes = tuple({0: torch.export.Dim("batch", min=1)} for _ in inputs)  # any batch size
    exported = torch.export.export(denoiser, tuple(inputs), dynamic_shapes=shapes)
    torch.export.save(exported, given.out)
    again = torch.export.load(given.out).module()(*inputs)
    worst = float((again - denoiser(*inputs)).abs().max())
    print(f"{given.out}: differs from the pickled network by at most {worst:.2g}")


if __name__ == "__main__":
    main()
