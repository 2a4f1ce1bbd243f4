"""DPM-OT with one network and three families of samplers: Heun, annealed Langevin dynamics, DDIM.

python examples/dpm_ot_families.py     (trains a small network on the digits first: about half a minute)
"""

import brenier
import torch
from brenier.data import NoisedLatents, load_digits
from brenier.diffusion import (
    MLP,
    LangevinSchedule,
    VPSchedule,
    edm_sigmas,
    noise_of,
    sample_dpm_ot,
    score_of,
    start_level,
    train_edm,
)
from brenier.metrics import memorisation

digits = load_digits().images  # (1797, 64) in [-1, 1]
train, held_out = digits[:1297], digits[1297:]
denoiser = train_edm(MLP(64, width=128, depth=2), train, steps=1500, progress=False).denoiser

vp = VPSchedule.from_sigmas(edm_sigmas(20))  # a model of your own: VPSchedule(alphas_cumprod, timesteps)
families = {  # the model in the form that each sampler takes, the schedule, and M
    "heun": (denoiser, edm_sigmas(20), 7),
    "langevin": (score_of(denoiser), LangevinSchedule.geometric(10.0, 0.02, 60), 30),
    "ddim": (noise_of(denoiser, vp), vp, 7),
}
for name, (model, schedule, last_steps) in families.items():
    level = start_level(schedule, last_steps)  # the latents lie where the last M steps begin
    latents = NoisedLatents(train, sigma=level.sigma, scale=level.scale)
    potential = brenier.fit(latents.materialise(), progress=False).potential
    seeds = range(200)  # image k depends on seed k alone, whatever the batch
    drawn = sample_dpm_ot(
        model, potential, None, schedule, last_steps, latents=latents, fresh=True, seeds=seeds
    )
    found = memorisation(drawn.samples, train, held_out)
    print(f"{name:9s} from σ = {level.sigma / level.scale:.2f}: {found.summary()}")
assert torch.isfinite(drawn.samples).all()
