"""Any first-order diffusers scheduler as a reverse process whose last steps can be run alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from brenier.diffusion.process import Level, Model, StepNoise, check_last_steps
from brenier.errors import InputError

Generators = torch.Generator | list[torch.Generator] | None


@dataclass(eq=False)
class SchedulerProcess:
    """A scheduler set to some inference steps: a ReverseProcess for sample_dpm_ot.

    scheduler : DDPM, DDIM, DPMSolverMultistep, EulerDiscrete, FlowMatchEulerDiscrete or another that makes one
        step per timestep and can noise samples (add_noise or scale_noise)
    num_inference_steps : of the whole schedule
    generator : of the scheduler's own noise, one or a list of one per sample, as in diffusers
    eta : of DDIM
    each : called as each(step, timestep, x) after every step; what it returns replaces x unless None
    bar : a progress bar around the timesteps

    The model is called as model(x, t) on inputs scaled as the scheduler scales them, and predicts what the scheduler is
    configured for. The start level is asked of the scheduler itself: it is linear, x = scale·y + sigma·ε, so
    noising 1 by 0 and 0 by 1 gives both numbers, whatever its parametrisation.

    Refused are schedulers of second order, and those that build on the slopes of steps before (LMS, PNDM): they have
    none where the last M steps begin. Raises InputError.
    """

    scheduler: Any
    num_inference_steps: int
    generator: Generators = None
    eta: float = 0.0
    each: Callable[[int, Any, Tensor], Tensor | None] | None = None
    bar: Callable[[Any], Any] | None = None
    stochastic = False  # it draws from its own generator

    def __post_init__(self) -> None:
        noising = hasattr(self.scheduler, "add_noise") or hasattr(self.scheduler, "scale_noise")
        looks_back = any(hasattr(self.scheduler, slopes) for slopes in ("derivatives", "ets"))
        if getattr(self.scheduler, "order", 1) != 1 or not noising or looks_back:
            raise InputError(
                "scheduler",
                expected="one step per timestep (order 1) that can begin anywhere, and add_noise or scale_noise",
                got=type(self.scheduler).__name__,
                remedy="use DDIM, DPMSolverMultistep or Euler",
            )
        if getattr(self.scheduler.config, "use_dynamic_shifting", False):
            raise InputError(
                "scheduler",
                expected="use_dynamic_shifting=False",
                got="True",
                remedy="for images of one size, from_config(config, use_dynamic_shifting=False, shift=exp(mu)) has "
                "nearly its levels",
            )
        whole = isinstance(self.num_inference_steps, int) and self.num_inference_steps >= 1
        if not whole or not 0 <= self.eta <= 1:
            raise InputError(
                "num_inference_steps and eta",
                expected="an integer ≥ 1 and a number from 0 to 1",
                got=f"{self.num_inference_steps!r} and {self.eta!r}",
            )

    @property
    def steps(self) -> int:
        try:
            self.scheduler.set_timesteps(self.num_inference_steps)
        except (ValueError, ZeroDivisionError) as error:
            got = f"{self.num_inference_steps}: {error}"
            raise InputError(
                "num_inference_steps", expected="what the scheduler can make", got=got
            ) from error
        return len(self.scheduler.timesteps)

    def start(self, last_steps: int) -> Level:
        self.rewind(last_steps)
        one, zero = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
        return Level(float(self.noised(one, zero, last_steps)), float(self.noised(zero, one, last_steps)))

    def evaluations(self, last_steps: int) -> int:
        return last_steps

    def run(
        self,
        model: Model,
        x: Tensor,
        last_steps: int,
        *,
        noise: StepNoise | None,  # noqa: ARG002  # the generator's
        progress: bool,
    ) -> Tensor:
        self.rewind(last_steps, x.device)
        bar = self.bar or (lambda times: tqdm(times, desc="DPM-OT", disable=not progress, leave=False))
        for step, time in enumerate(bar(self.scheduler.timesteps[-last_steps:])):
            scaled = self.scheduler.scale_model_input(x, time) if self.scales else x
            x = self.scheduler.step(model(scaled, time), time, x, **self.extra).prev_sample
            changed = None if self.each is None else self.each(step, time, x)
            x = x if changed is None else changed
        return x

    def rewind(self, last_steps: int, device: torch.device | None = None) -> None:
        """Set the scheduler to the beginning of the last M steps."""
        check_last_steps(
            last_steps, self.steps
        )  # sets the timesteps, and with them empties multistep memories
        if device is not None:
            self.scheduler.set_timesteps(self.num_inference_steps, device=device)
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(len(self.scheduler.timesteps) - last_steps)

    def noised(self, y: Tensor, epsilon: Tensor, last_steps: int) -> Tensor:
        time = self.scheduler.timesteps[-last_steps].reshape(1).cpu()
        found: Tensor = (
            self.scheduler.add_noise(y, epsilon, time)
            if hasattr(self.scheduler, "add_noise")
            else self.scheduler.scale_noise(y, time, epsilon)
        )
        return found

    @property
    def scales(self) -> bool:
        return hasattr(self.scheduler, "scale_model_input")

    @property
    def extra(self) -> dict[str, Any]:
        """What of generator and eta this scheduler's step takes."""
        taken = inspect.signature(self.scheduler.step).parameters
        offered = {"generator": self.generator, "eta": self.eta}
        return {name: value for name, value in offered.items() if name in taken}
