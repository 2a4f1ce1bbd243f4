"""OTT-JAX's SemidiscreteSolver as a solver of the benchmark; compilation is not counted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from brenier.solve import Potential

from .judge import Answer
from .problems import Case


@dataclass(frozen=True)
class OttSettings:
    """What SemidiscreteSolver lets one choose; rates of sgd in units of n·τ, of adam in units of τ.

    Over K steps, s = step/K:
    schedule   "cosine" from rate to 0; "linear" from rate at s ≤ 1/4 to rate/200 at s = 3/4 (the tutorial's);
               "power" rate/√(1 + step/decay)
    epsilon    temperature in units of τ, falling as max(least, (1 + batches of n samples)^−epsilon_exponent)
    memory     share of the run that the exponential average of potentials remembers; 0 for the library's 0.99
    """

    batch: int
    optimizer: str
    rate: float
    schedule: str
    epsilon: float = 0.0
    epsilon_exponent: float = 0.25
    least_epsilon: float = 0.0
    memory: float = 0.0
    momentum: float = 0.0
    decay: float = 4.0


def schedule_of(settings: OttSettings, rate: float, steps: int) -> Any:
    import jax.numpy as jnp
    import optax

    if settings.schedule == "cosine":
        return optax.cosine_decay_schedule(rate, steps)
    if settings.schedule == "linear":
        return optax.linear_schedule(rate, rate / 200, max(1, steps // 2), steps // 4)
    return lambda step: rate / jnp.sqrt(1 + step / settings.decay)


def optimizer_of(case: Case, settings: OttSettings, steps: int) -> Any:
    import optax

    unit = case.temperature
    if settings.optimizer == "adam":
        return optax.adam(schedule_of(settings, settings.rate * unit, steps))
    schedule = schedule_of(settings, settings.rate * unit * case.size, steps)
    return optax.sgd(schedule, momentum=settings.momentum or None)


def epsilon_of(case: Case, settings: OttSettings) -> Any:
    """ε as a function of the step; 0 throughout where no temperature is asked for."""
    import jax.numpy as jnp

    unit = case.temperature

    def epsilon(step: Any, target: Any) -> Any:
        shrink = jnp.maximum(1.0, step * settings.batch / case.size) ** -settings.epsilon_exponent
        return target + unit * jnp.maximum(settings.epsilon * shrink, settings.least_epsilon)

    return epsilon


def solve(case: Case, settings: OttSettings, samples: int, seed: int = 0) -> Answer:
    """Run OTT-JAX for about that many samples, hard at the end or soft all the way as the settings say."""
    import jax
    import jax.numpy as jnp
    from ott.geometry import costs, semidiscrete_pointcloud
    from ott.problems.linear import semidiscrete_linear_problem
    from ott.solvers.linear.semidiscrete import SemidiscreteSolver

    steps = max(1, round(samples / settings.batch))
    geometry = semidiscrete_pointcloud.SemidiscretePointCloud(
        jax.random.normal, jnp.asarray(case.targets), epsilon=0.0, cost_fn=costs.NegDotProduct()
    )
    problem = semidiscrete_linear_problem.SemidiscreteLinearProblem(geometry)
    options: dict[str, Any] = {}
    if settings.epsilon > 0:
        options["epsilon_scheduler"] = epsilon_of(case, settings)
    if settings.memory > 0:
        options["potential_ema"] = min(1.0, 1 / (settings.memory * steps))
    solver = SemidiscreteSolver(
        num_iterations=steps,
        batch_size=settings.batch,
        optimizer=optimizer_of(case, settings, steps),
        error_eval_every=steps,  # its own error estimate costs next to nothing this way
        error_batch_size=2,
        error_num_repeats=1,
        threshold=-1.0,
        **options,
    )
    key = jax.random.key(seed)
    compiled = jax.jit(lambda key, problem: solver(key, problem).g).lower(key, problem).compile()
    began = time.perf_counter()
    dual = np.asarray(compiled(key, problem), dtype=np.float64)
    seconds = time.perf_counter() - began
    return Answer(Potential.from_dual_g(dual, case.targets, cost="neg_dot"), steps * settings.batch, seconds)
