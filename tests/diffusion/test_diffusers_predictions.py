"""Every scheduler in every prediction and spacing of timesteps: known data, noised and denoised, comes back."""

from itertools import product
from typing import Any

import pytest
import torch

pytest.importorskip("diffusers")

from brenier.diffusion.diffusers import DPMOTPipeline, SchedulerProcess
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from helpers.hub import ExactNetwork, map_for
from helpers.mixture import apart

MIXTURE = apart(distance=3.2, spread=0.06)
DATA, PARTS = MIXTURE.draw(40)
SHAPE, STEPS = (1, 2, 2), 50
STABLE_DIFFUSION = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
KINDS: dict[str, Any] = {
    "ddpm": lambda **given: DDPMScheduler(clip_sample=False, **given),
    "ddim": lambda **given: DDIMScheduler(clip_sample=False, **given),
    "dpm_solver": DPMSolverMultistepScheduler,
    "euler": EulerDiscreteScheduler,
}
GRID = product(KINDS, ("epsilon", "v_prediction", "sample"), ("leading", "trailing", "linspace"))
CASES: dict[str, Any] = {
    f"{kind}-{prediction}-{spacing}": KINDS[kind](prediction_type=prediction, timestep_spacing=spacing)
    for kind, prediction, spacing in GRID
} | {
    "flow-shift-1": FlowMatchEulerDiscreteScheduler(),
    "flow-shift-3": FlowMatchEulerDiscreteScheduler(shift=3.0),
    "flow-karras": FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True),
    "ddim-zero-terminal": DDIMScheduler(
        rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing", clip_sample=False
    ),
    "euler-stable-diffusion": EulerDiscreteScheduler(
        timestep_spacing="leading", steps_offset=1, **STABLE_DIFFUSION
    ),
    "dpm_solver-third-order": DPMSolverMultistepScheduler(solver_order=3),
    "dpm_solver-stochastic": DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++"),
    "euler-ancestral": EulerAncestralDiscreteScheduler(),
    "unipc": UniPCMultistepScheduler(),
}  # fmt: skip
NOISY = ("ddpm", "dpm_solver-stochastic", "euler-ancestral")


def last_steps(scheduler: Any) -> int:
    """M whose start lies nearest to σ = 0.3 of the scale: above the spread, below the distance of the parts."""
    process = SchedulerProcess(scheduler, STEPS)
    levels = [process.start(last) for last in range(1, process.steps + 1)]
    return 1 + min(range(len(levels)), key=lambda k: abs(levels[k].sigma - 0.3 * levels[k].scale))


@pytest.mark.parametrize("name", CASES)
def test_noised_data_comes_back_whatever_is_predicted(name: str) -> None:
    scheduler = CASES[name]
    last = last_steps(scheduler)
    network = ExactNetwork(MIXTURE, scheduler, scheduler.config.get("prediction_type", "epsilon"))
    pipe = DPMOTPipeline(network, scheduler, map_for(scheduler, STEPS, last, DATA, SHAPE))
    pipe.set_progress_bar_config(disable=True)
    noise = torch.randn(40, *SHAPE, generator=torch.Generator().manual_seed(0))
    drawn = pipe(40, noise=noise, generator=torch.Generator().manual_seed(1), output_type="latent").images
    indices = pipe.ot_map.potential().assign(noise.flatten(1))
    own, data = MIXTURE.centres[PARTS[indices]], DATA[indices]
    off, wanted = (drawn.flatten(1) - own) / MIXTURE.spread, (data - own) / MIXTURE.spread
    assert (
        0.45 < off.std() < 1.35
    )  # of the mixture's own spread: a wrong scale or a step too few leaves noise
    if not name.startswith(NOISY):  # a deterministic path also brings back which sample it was
        assert (off - wanted).std() < 1.3
        assert torch.corrcoef(torch.stack([off.flatten(), wanted.flatten()]))[0, 1] > 0.2
    level, config = network.level(network.calls[0]), pipe.ot_map.config
    assert level.sigma / level.scale == pytest.approx(config.sigma / config.scale, rel=2e-3)
    assert len(network.calls) == last
