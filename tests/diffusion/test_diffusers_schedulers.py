"""Known data, noised to t_M and denoised by each scheduler with the exact network, comes back."""

import math
from typing import Any

import pytest
import torch

pytest.importorskip("diffusers")

from brenier.data import NoisedLatents
from brenier.diffusion import sample_dpm_ot, start_level
from brenier.diffusion.diffusers import DPMOTPipeline, SchedulerProcess
from brenier.errors import InputError
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
)
from helpers.hub import ExactNetwork, map_for
from helpers.mixture import apart

MIXTURE = apart(distance=3.2, spread=0.06)
DATA, PARTS = MIXTURE.draw(40)
SHAPE = (1, 2, 2)
STEPS = 50

SCHEDULERS: dict[str, tuple[Any, int]] = {  # and last steps, to σ/scale of about 0.3
    "ddpm": (DDPMScheduler(clip_sample=False), 6),
    "ddim": (DDIMScheduler(clip_sample=False), 6),
    "ddim_v": (DDIMScheduler(clip_sample=False, prediction_type="v_prediction"), 6),
    "ddim_trailing": (DDIMScheduler(clip_sample=False, timestep_spacing="trailing"), 6),
    "dpm_solver": (DPMSolverMultistepScheduler(), 6),
    "dpm_solver_karras": (DPMSolverMultistepScheduler(use_karras_sigmas=True), 12),
    "dpm_solver_y": (DPMSolverMultistepScheduler(prediction_type="sample"), 6),
    "euler": (EulerDiscreteScheduler(), 6),
    "euler_karras": (EulerDiscreteScheduler(use_karras_sigmas=True), 12),
    "flow": (FlowMatchEulerDiscreteScheduler(), 11),
    "flow_shifted": (FlowMatchEulerDiscreteScheduler(shift=3.0), 5),
}


def pipeline(name: str) -> DPMOTPipeline:
    scheduler, last = SCHEDULERS[name]
    network = ExactNetwork(MIXTURE, scheduler, scheduler.config.get("prediction_type", "epsilon"))
    pipe = DPMOTPipeline(network, scheduler, map_for(scheduler, STEPS, last, DATA, SHAPE))
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("name", SCHEDULERS)
def test_noised_data_comes_back(name: str) -> None:
    pipe = pipeline(name)
    last = SCHEDULERS[name][1]
    noise = torch.randn(40, *SHAPE, generator=torch.Generator().manual_seed(0))
    drawn = pipe(40, noise=noise, generator=torch.Generator().manual_seed(1), output_type="latent").images
    indices = pipe.ot_map.potential().assign(noise.flatten(1))
    centres = MIXTURE.centres[PARTS[indices]]
    off = (drawn.flatten(1) - centres).std() / MIXTURE.spread
    assert 0.45 < off < 1.35, off  # of the mixture's own spread: a wrong scale or a step too few leaves noise
    if name != "ddpm":  # a deterministic path also brings back which sample it was
        data = DATA[indices]
        assert (drawn.flatten(1) - data).std() < 1.3 * MIXTURE.spread
        moved = torch.corrcoef(
            torch.stack([(drawn.flatten(1) - centres).flatten(), (data - centres).flatten()])
        )
        assert moved[0, 1] > 0.05
    assert len(pipe.unet.calls) == last
    level = pipe.unet.level(pipe.unet.calls[0])
    ratio = pipe.ot_map.config.sigma / pipe.ot_map.config.scale
    assert level.sigma / level.scale == pytest.approx(ratio, rel=2e-3)  # DPM-Solver rounds its timesteps
    assert 0.15 < ratio < 0.45


@pytest.mark.parametrize("name", ["ddim", "dpm_solver", "euler", "flow"])
def test_many_small_steps_follow_the_exact_path(name: str) -> None:
    """One Gaussian N(0, s²): along the ODE, y and ε change x/√(s² a² + b²) not at all."""
    single = type(MIXTURE)(torch.zeros(1, 4), 0.5)
    scheduler = type(SCHEDULERS[name][0]).from_config(SCHEDULERS[name][0].config)
    process = SchedulerProcess(scheduler, 500)
    network = ExactNetwork(single, scheduler)
    level = process.start(200)
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    start = x * (0.25 * level.scale**2 + level.sigma**2) ** 0.5
    end = process.run(lambda x, t: network(x, t).sample, start, 200, noise=None, progress=False)
    torch.testing.assert_close(end, 0.5 * x, rtol=0.03, atol=0)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("off", [-1, 1])
def test_a_map_of_a_neighbouring_timestep_is_refused(name: str, off: int) -> None:
    pipe = pipeline(name)
    with pytest.raises(InputError, match="start level"):
        pipe(2, last_steps=SCHEDULERS[name][1] + off)


def test_the_levels_are_those_of_each_parametrisation() -> None:
    ddim = SchedulerProcess(DDIMScheduler(), 10)
    alpha = float(DDIMScheduler().alphas_cumprod[300])  # leading spacing: 900, …, 300, 200, 100, 0
    assert ddim.start(4).scale == pytest.approx(alpha**0.5)
    assert ddim.start(4).sigma == pytest.approx((1 - alpha) ** 0.5)
    euler = SchedulerProcess(EulerDiscreteScheduler(timestep_spacing="leading"), 10)
    assert euler.start(4).scale == 1
    assert euler.start(4).sigma == pytest.approx(((1 - alpha) / alpha) ** 0.5, rel=1e-5)
    flow = SchedulerProcess(FlowMatchEulerDiscreteScheduler(), 10).start(3)
    assert flow.scale + flow.sigma == pytest.approx(1)


def test_a_scheduler_also_serves_the_plain_sampler() -> None:
    scheduler = DPMSolverMultistepScheduler()
    process, last = SchedulerProcess(scheduler, STEPS), 6
    level = start_level(process, last)
    latents = NoisedLatents(DATA, sigma=level.sigma, scale=level.scale)
    network = ExactNetwork(MIXTURE, scheduler)

    class First:
        def assign(self, x: torch.Tensor) -> torch.Tensor:
            return torch.arange(len(x))

    drawn = sample_dpm_ot(
        lambda x, t: network(x, t).sample, First(), torch.zeros(40, 4), process, last, latents=latents
    )
    assert torch.equal(MIXTURE.nearest(drawn.samples), PARTS)


def test_schedulers_of_second_order_are_refused() -> None:
    with pytest.raises(InputError, match="order 1"):
        SchedulerProcess(HeunDiscreteScheduler(), 10)


@pytest.mark.parametrize("kind", [LMSDiscreteScheduler, PNDMScheduler])
def test_schedulers_that_build_on_earlier_steps_are_refused(kind: Any) -> None:
    with pytest.raises(InputError, match="begin anywhere"):
        SchedulerProcess(kind(), 10)


def test_dynamic_shifting_is_refused_and_the_shift_named_instead_has_nearly_its_levels() -> None:
    dynamic = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    with pytest.raises(InputError, match=r"exp\(mu\)"):
        SchedulerProcess(dynamic, 10)
    dynamic.set_timesteps(10, mu=0.8)
    options = {"use_dynamic_shifting": False, "shift": math.exp(0.8)}
    fixed = FlowMatchEulerDiscreteScheduler.from_config(dynamic.config, **options)
    fixed.set_timesteps(10)
    torch.testing.assert_close(fixed.sigmas, dynamic.sigmas, rtol=0, atol=0.003)


@pytest.mark.parametrize("last", [0, 51, 2.5])
def test_step_counts_outside_of_the_schedule_are_refused(last: int) -> None:
    with pytest.raises(InputError, match=r"^last_steps"):
        pipeline("ddim")(2, last_steps=last)


@pytest.mark.parametrize("steps", [0, 1001, 2.5])
def test_schedules_that_a_scheduler_cannot_make_are_refused(steps: int) -> None:
    with pytest.raises(InputError, match=r"^num_inference_steps"):
        pipeline("ddim")(2, num_inference_steps=steps)
