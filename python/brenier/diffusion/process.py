"""What the families of samplers share: levels, reverse processes, and noise by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from brenier.data.noise import Stream, normal
from brenier.engine.checks import require_finite
from brenier.errors import InputError

Model = Callable[[Tensor, Any], Tensor]
"""A network at a noise level: a denoiser D(x, σ), a score s(x, σ) or a prediction of noise ε(x, t)."""

StepNoise = Callable[[int, Tensor], Tensor]
"""Draw number j ≥ 1 of the noise of every sample, in the shape of x."""


@dataclass(frozen=True)
class Level:
    """A noise level: the samples there are x = scale·y + sigma·ε."""

    scale: float
    sigma: float

    def matches(self, scale: float, sigma: float) -> bool:
        """Whether that is this level, to a relative 1e-6."""
        pairs = ((self.scale, scale), (self.sigma, sigma))
        return all(math.isclose(own, other, rel_tol=1e-6, abs_tol=1e-12) for own, other in pairs)


class ReverseProcess(Protocol):
    """A model's way from noise to data in steps, of which the last M can be run alone.

    stochastic : whether the steps draw noise
    steps : of the whole schedule; an evaluation count follows from the number run
    """

    @property
    def stochastic(self) -> bool: ...

    @property
    def steps(self) -> int: ...

    def start(self, last_steps: int) -> Level:
        """The level at which the last M steps begin; raises InputError for an M outside the schedule."""

    def evaluations(self, last_steps: int) -> int:
        """Calls of the model by the last M steps."""

    def run(
        self, model: Model, x: Tensor, last_steps: int, *, noise: StepNoise | None, progress: bool
    ) -> Tensor:
        """x at level start(last_steps), denoised; noise is needed where stochastic."""


def check_last_steps(last_steps: int, steps: int) -> int:
    """M as given; raises InputError unless it is a whole number from 1 to the steps of the schedule."""
    whole = isinstance(last_steps, int) and not isinstance(last_steps, bool)
    if not (whole and 1 <= last_steps <= steps):
        raise InputError("last_steps", expected=f"an integer from 1 to {steps}", got=repr(last_steps))
    return last_steps


def check_samples(x: Tensor) -> Tensor:
    """x as given; raises InputError unless it holds finite floating-point samples (N, ...)."""
    if x.ndim < 2 or not x.is_floating_point():
        raise InputError("x", expected="floating-point samples (N, ...)", got=f"{x.dtype} {tuple(x.shape)}")
    require_finite(x, "x")
    return x


def seeded_noise(seeds: Sequence[int] | Tensor) -> StepNoise:
    """Noise whose row k is number j of seed k alone (stream SAMPLE), whatever the other seeds and their count.

    Number 0 is a sample's first noise (`first_noise`), 1, 2, ... are for the steps.
    """
    own = [int(seed) for seed in seeds]

    def draw(number: int, x: Tensor) -> Tensor:
        if len(own) != len(x):
            raise InputError("seeds", expected=f"one per sample, {len(x)}", got=str(len(own)))
        d = math.prod(x.shape[1:])
        rows = [normal(seed, number, 1, d, stream=Stream.SAMPLE) for seed in own]
        return torch.cat(rows).to(x).reshape(x.shape) if rows else torch.empty_like(x)

    return draw


def first_noise(seeds: Sequence[int] | Tensor, shape: int | tuple[int, ...]) -> Tensor:
    """Standard normal noise (N, *shape), float32, row k from seed k alone: what a sampler with seeds starts from."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    return seeded_noise(seeds)(0, torch.empty(len(seeds), *sizes))


def run_process(
    process: ReverseProcess,
    model: Model,
    x: Tensor,
    last_steps: int | None,
    seeds: Sequence[int] | Tensor | None,
    progress: bool,
) -> Tensor:
    """The last M steps (all, if None) of a process from x at their start level, without gradients."""
    check_samples(x)
    last = process.steps if last_steps is None else last_steps
    process.start(last)  # M is checked before anything is drawn
    if process.stochastic and seeds is None:
        raise InputError(
            "seeds", expected="one seed per sample", got="None", remedy="pass seeds=range(len(x)), say"
        )
    noise = None if seeds is None else seeded_noise(seeds)
    with torch.no_grad():
        return process.run(model, x, last, noise=noise, progress=progress)
