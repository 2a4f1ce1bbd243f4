"""Fit a potential to handwritten digits, send noise through it, and save it: the whole library in one screen.

python examples/fit_and_transport.py
"""

import brenier
import torch

digits = brenier.data.load_digits().images  # (1797, 64) in [-1, 1]
result = brenier.fit(digits, tol=0.05)
print(result.summary())

noise = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
print("targets of eight noises:", result.potential.assign(noise).tolist())

result.potential.save("digits.safetensors")
again = brenier.Potential.load("digits.safetensors")
assert torch.equal(again.assign(noise), result.potential.assign(noise))
