"""Optimally paired noise in a training loop of accelerate's: the pairs come from a PairedPool, the rest is yours.

accelerate launch examples/train_with_accelerate.py
"""

import torch
from accelerate import Accelerator
from brenier.data import load_digits
from brenier.diffusion import MLP, EDMPrecond, draw_sigma, edm_loss
from brenier.pair import PairedPool

accelerator = Accelerator()
images = load_digits().images
pairs = PairedPool(images, pool=512, batch=64)  # deals its pools to the ranks that accelerate has started
denoiser = EDMPrecond(MLP(64, 128, 2), float(images.std()))
module, optimizer = accelerator.prepare(denoiser, torch.optim.Adam(denoiser.parameters(), lr=1e-3))
module.sigma_data = denoiser.sigma_data  # edm_loss asks the wrapped module for it
for step, batch in zip(range(200), pairs, strict=False):
    y, epsilon = batch.data.to(accelerator.device), batch.noise.to(accelerator.device)
    loss = edm_loss(module, y, epsilon, draw_sigma(len(y)).to(accelerator.device))
    accelerator.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    if step % 50 == 0:
        accelerator.print(f"step {step}, loss {loss.item():.3f}")
