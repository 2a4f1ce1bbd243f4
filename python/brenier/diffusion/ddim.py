"""DDIM and DDPM steps for models that preserve variance: x_t = √ᾱ_t·y + √(1 − ᾱ_t)·ε."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from brenier.diffusion.loss import Denoiser
from brenier.diffusion.process import (
    Level,
    Model,
    Seeds,
    StepNoise,
    check_last_steps,
    run_process,
    same_shape,
)
from brenier.diffusion.schedules import check_sigmas
from brenier.errors import InputError

Prediction = Literal["epsilon", "sample", "v_prediction"]  # as diffusers calls them


@dataclass(frozen=True, eq=False)
class VPSchedule:
    """Timesteps t_1 > … > t_S of a model with signal shares ᾱ_t, and how its steps are made: a ReverseProcess.

    ŷ = (x − √(1−ᾱ_t) ε̂)/√ᾱ_t,   σ² = η² (1−ᾱ_s)/(1−ᾱ_t) (1 − ᾱ_t/ᾱ_s)
    x ← √ᾱ_s ŷ + √(1−ᾱ_s−σ²) ε̂ + σ z,  s the next timestep, ᾱ = 1 after the last  (Song et al. 2021, eq. 12)

    η = 0 is DDIM, η = 1 is DDPM with its smaller variance (Ho et al. 2020).

    alphas_cumprod : ᾱ, (T,), decreasing within (0, 1)
    timesteps : (S,) whole numbers from T − 1 to 0, decreasing; what the model is called with
    eta : η from 0 to 1
    prediction : what the model predicts: "epsilon" (ε), "sample" (y) or "v_prediction" (√ᾱ ε − √(1−ᾱ) y)

    The last M steps begin at timesteps[-M], where x = √ᾱ·y + √(1−ᾱ)·ε. Raises InputError.
    """

    alphas_cumprod: Tensor
    timesteps: Tensor
    eta: float = 0.0
    prediction: Prediction = "epsilon"

    def __post_init__(self) -> None:
        for name in ("alphas_cumprod", "timesteps"):
            if not isinstance(getattr(self, name), Tensor):
                raise InputError(name, expected="a tensor", got=type(getattr(self, name)).__name__)
        check_alphas(self.alphas_cumprod)
        check_timesteps(self.timesteps, len(self.alphas_cumprod))
        if not 0 <= self.eta <= 1:
            raise InputError("eta", expected="a number from 0 to 1", got=repr(self.eta))
        if self.prediction not in ("epsilon", "sample", "v_prediction"):
            raise InputError(
                "prediction", expected="epsilon, sample or v_prediction", got=repr(self.prediction)
            )

    @classmethod
    def linear(
        cls,
        steps: int,
        *,
        train_steps: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        eta: float = 0.0,
        prediction: Prediction = "epsilon",
    ) -> VPSchedule:
        """DDPM's β_t rising linearly, ᾱ_t = Π(1 − β), and timesteps evenly from T − 1 to 0. Raises InputError."""
        betas = torch.linspace(beta_start, beta_end, train_steps, dtype=torch.float64)
        check_last_steps(steps, train_steps)
        times = torch.linspace(train_steps - 1, 0, steps, dtype=torch.float64).round().long()
        return cls((1 - betas).cumprod(0), times, eta, prediction)

    @classmethod
    def from_sigmas(cls, sigmas: Tensor, *, eta: float = 0.0) -> VPSchedule:
        """The levels of a VE or EDM schedule seen from here: ᾱ = 1/(1 + σ²), one timestep for each σ > 0.

        sigmas : decreasing, a last 0 is left out. noise_of(denoiser, schedule) is the model that goes with it.
        """
        levels = torch.tensor([level for level in check_sigmas(sigmas) if level > 0], dtype=torch.float64)
        return cls(1 / (1 + levels.flip(0) ** 2), torch.arange(len(levels) - 1, -1, -1), eta)

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    @property
    def steps(self) -> int:
        return len(self.timesteps)

    def start(self, last_steps: int) -> Level:
        return self.level(int(self.timesteps[-check_last_steps(last_steps, self.steps)]))

    def level(self, timestep: int) -> Level:
        """√ᾱ_t and √(1 − ᾱ_t)."""
        alpha = float(self.alphas_cumprod[timestep])
        return Level(math.sqrt(alpha), math.sqrt(1 - alpha))

    def evaluations(self, last_steps: int) -> int:
        return last_steps

    def run(
        self, model: Model, x: Tensor, last_steps: int, *, noise: StepNoise | None, progress: bool
    ) -> Tensor:
        times = [int(time) for time in self.timesteps]
        first, model = self.steps - last_steps, same_shape(model)
        name = "DDPM" if self.eta == 1 else "DDIM"
        for step in tqdm(range(first, self.steps), desc=name, disable=not progress, leave=False):
            alpha = float(self.alphas_cumprod[times[step]])
            after = float(self.alphas_cumprod[times[step + 1]]) if step + 1 < self.steps else 1.0
            clean, epsilon = self.split(x, model(x, times[step]), times[step])
            spread = self.eta * math.sqrt((1 - after) / (1 - alpha) * (1 - alpha / after))
            x = math.sqrt(after) * clean + math.sqrt(max(0.0, 1 - after - spread**2)) * epsilon
            if spread > 0:
                assert noise is not None  # the callers see to it
                x = x + spread * noise(1 + step, x)
        return x

    def split(self, x: Tensor, predicted: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        """ŷ and ε̂ of a model's answer at x_t."""
        level = self.level(timestep)
        if self.prediction == "epsilon":
            return (x - level.sigma * predicted) / level.scale, predicted
        if self.prediction == "v_prediction":
            return level.scale * x - level.sigma * predicted, level.scale * predicted + level.sigma * x
        return predicted, (x - level.scale * predicted) / level.sigma


def sample_ddim(
    model: Model,
    x: Tensor,
    schedule: VPSchedule,
    *,
    seeds: Seeds | None = None,
    last_steps: int | None = None,
    progress: bool = False,
) -> Tensor:
    """The last M steps (all, if None) of DDIM from x at their first timestep (Song et al. 2021).

    model : called as model(x, t), t an int; what it predicts is said in the schedule
    x : (N, ...): noise for the whole schedule, √ᾱ·y + √(1−ᾱ)·ε at timesteps[-M] for a part
    seeds : (N,), needed for η > 0; the noise of sample k comes from seed k alone

    Returns (N, ...), without gradients; x is not changed. Raises InputError.
    """
    return run_process(schedule, model, x, last_steps, seeds, progress)


def sample_ddpm(
    model: Model,
    x: Tensor,
    schedule: VPSchedule,
    *,
    seeds: Seeds,
    last_steps: int | None = None,
    progress: bool = False,
) -> Tensor:
    """As sample_ddim with η = 1: DDPM's ancestral sampling over the timesteps of the schedule (Ho et al. 2020)."""
    return run_process(dataclasses.replace(schedule, eta=1.0), model, x, last_steps, seeds, progress)


def noise_of(denoiser: Denoiser, schedule: VPSchedule) -> Model:
    """A denoiser D(x; σ) as the model ε̂(x_t, t) of a schedule: σ = √(1−ᾱ)/√ᾱ, ε̂ = (x_t/√ᾱ − D)/σ."""

    def predict(x: Tensor, timestep: int) -> Tensor:
        level = schedule.level(timestep)
        sigma = level.sigma / level.scale
        return (x / level.scale - denoiser(x / level.scale, sigma)) / sigma

    return predict


def check_alphas(alphas: Tensor) -> None:
    falls = alphas.ndim == 1 and len(alphas) >= 1 and bool((alphas.diff() < 0).all())
    if not (falls and float(alphas[-1]) > 0 and float(alphas[0]) < 1):
        raise InputError(
            "alphas_cumprod",
            expected="(T,), strictly decreasing within (0, 1)",
            got=f"{tuple(alphas.shape)}: {alphas.reshape(-1)[:4].tolist()} …",
        )


def check_timesteps(timesteps: Tensor, train_steps: int) -> None:
    whole = timesteps.ndim == 1 and len(timesteps) >= 1 and not timesteps.is_floating_point()
    falls = whole and bool((timesteps.diff() < 0).all())
    if not (falls and int(timesteps[-1]) >= 0 and int(timesteps[0]) < train_steps):
        raise InputError(
            "timesteps",
            expected=f"whole numbers from {train_steps - 1} to 0, strictly decreasing",
            got=f"{timesteps.dtype}: {timesteps.reshape(-1)[:8].tolist()}",
        )
