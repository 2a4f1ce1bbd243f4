"""What the families of samplers share: levels, reverse processes, and noise by seed."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from brenier.data.noise import Stream, normal
from brenier.engine.checks import require_finite
from brenier.errors import BrenierError, InputError

Model = Callable[[Tensor, Any], Tensor]
"""A network at a noise level: a denoiser D(x, σ), a score s(x, σ) or a prediction of noise ε(x, t)."""

Seeds = Iterable[int] | Tensor
"""A whole number per sample."""

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
    if not (isinstance(x, Tensor) and x.ndim >= 2 and x.is_floating_point()):
        got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise InputError("x", expected="a floating-point tensor of samples (N, ...)", got=got)
    require_finite(x.detach(), "x")
    return x


def check_drawn(samples: Tensor) -> Tensor:
    """What a sampler made, as given; raises BrenierError where a number in it is not finite."""
    spoiled = torch.nonzero(~samples.isfinite().flatten(1).all(dim=1))[:, 0]
    if len(spoiled):
        raise BrenierError(
            "samples",
            expected="finite numbers",
            got=f"NaN or Inf in {len(spoiled)} of {len(samples)}, number {int(spoiled[0])} first",
            remedy="look for such numbers in the model's weights and answers, and at the step sizes",
        )
    return samples


def same_shape(model: Model) -> Model:
    """The model, whose answers must have the shape of what it is given: others would be broadcast."""

    def checked(x: Tensor, level: Any) -> Tensor:
        found = model(x, level)
        if found.shape != x.shape:
            raise InputError(
                "model", expected=f"an answer of shape {tuple(x.shape)}", got=str(tuple(found.shape))
            )
        return found

    return checked


def whole_seeds(seeds: Seeds) -> list[int]:
    """Seeds as integers; raises InputError for other numbers."""
    given = seeds.tolist() if isinstance(seeds, Tensor) else list(seeds)
    try:
        return [operator.index(seed) for seed in given]
    except TypeError as error:
        raise InputError("seeds", expected="whole numbers", got=str(given[:4])) from error


def seeded_noise(seeds: Seeds) -> StepNoise:
    """Noise whose row k is number j of seed k alone (stream SAMPLE), whatever the other seeds and their count.

    Number 0 is a sample's first noise (`first_noise`), 1, 2, ... are for the steps.
    """
    own = whole_seeds(seeds)

    def draw(number: int, x: Tensor) -> Tensor:
        if len(own) != len(x):
            raise InputError("seeds", expected=f"one per sample, {len(x)}", got=str(len(own)))
        d = math.prod(x.shape[1:])
        rows = [normal(seed, number, 1, d, stream=Stream.SAMPLE) for seed in own]
        return torch.cat(rows).to(x).reshape(x.shape) if rows else torch.empty_like(x)

    return draw


def first_noise(seeds: Seeds, shape: int | tuple[int, ...]) -> Tensor:
    """Standard normal noise (N, *shape), float32, row k from seed k alone: what a sampler with seeds starts from."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    own = whole_seeds(seeds)
    return seeded_noise(own)(0, torch.empty(len(own), *sizes))


def run_process(
    process: ReverseProcess,
    model: Model,
    x: Tensor,
    last_steps: int | None,
    seeds: Seeds | None,
    progress: bool,
) -> Tensor:
    """The last M steps (all, if None) of a process from x at their start level, without gradients.

    Raises InputError, and BrenierError where NaN or Inf came out.
    """
    check_samples(x)
    last = process.steps if last_steps is None else last_steps
    process.start(last)  # M is checked before anything is drawn
    if process.stochastic and seeds is None:
        raise InputError(
            "seeds", expected="one seed per sample", got="None", remedy="pass seeds=range(len(x)), say"
        )
    noise = None if seeds is None else seeded_noise(seeds)
    with torch.no_grad():
        return check_drawn(process.run(model, x, last, noise=noise, progress=progress))
