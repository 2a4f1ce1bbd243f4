"""Pair a training batch with its noise, as AOT does: the images keep their order, the noise is re-ordered.

python examples/pair_a_batch.py
"""

import brenier
import torch

images = brenier.data.load_digits().images[:512]
noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
pairing = brenier.pair(images, noise)
paired = noise[pairing.permutation]  # paired[i] belongs to images[i]
print(
    f"mean squared distance {pairing.cost_before:.1f} → {pairing.cost:.1f} in {1e3 * pairing.seconds:.1f} ms"
)
print(pairing.status)
