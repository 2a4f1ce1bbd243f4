"""The search by which the peers were tuned: random settings from stated ranges, at a fixed budget.

    python benchmarks/fit_peers.py --tune POT --problems digits --budget 50 --minutes 5

The settings in tuned.py come from random searches in such ranges (about 50 draws each for digits at 50
samples per target, a handful elsewhere), refined by hand around the best draws, not from one run of this
file; draws were judged with fewer samples of the same judge and the same solver seed, which favours the peers.
The mixture's were found by hand alone, fewer than ten runs a peer near the crossing. The scale of every range is
taken from theory so that few draws are wasted: at the end of a good run the rate is about 1/(H N), and
the Hessian's diagonal H is about 1/(n·τ/2); temperatures are near τ. Peers also get the better of their
starts (h = 0 by the inner-product cost; g = 0 with the squared distance begins far from the optimum).
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np

from . import ott_jax, pot
from .judge import Answer, Judge
from .problems import Case

POT_RANGES = {
    "batch": {"digits": (64, 128, 256, 512), "mixture": (128, 256, 512, 1024)},
    "rate at the end, in units of n τ batch / samples": (0.5, 6.0),
    "rate_exponent": (0.5, 0.6, 2 / 3, 0.75, 0.8, 0.85, 0.9, 1.0),
    "epsilon": (0.3, 3.0),
    "epsilon_exponent": (0.15, 0.25, 0.3, 0.35, 0.4, 0.45),
    "average": (True, False),
}
OTT_RANGES = {
    "batch": {"digits": (64, 128, 256, 512), "mixture": (512, 1024, 2048)},
    "optimizer": ("sgd", "adam"),
    "rate": {"sgd": (0.1, 1.5), "adam": (0.03, 0.3)},
    "schedule": ("cosine", "power", "power"),
    "decay, in batches of n/2 samples": (1, 2, 4, 8, 16),
    "epsilon": (0.4, 1.2),
    "epsilon_exponent": (0.15, 0.25, 0.35, 0.4),
    "memory": (0.1, 0.15, 0.2, 0.3, 0.5),
}


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def choice(rng: np.random.Generator, values: tuple[Any, ...]) -> Any:
    return values[rng.integers(len(values))]


def batches(ranges: dict[str, Any], case: Case) -> tuple[int, ...]:
    return ranges["batch"].get(case.name, ranges["batch"]["digits"])


def draw_pot(rng: np.random.Generator, case: Case, samples: int) -> pot.PotSettings:
    batch, exponent = choice(rng, batches(POT_RANGES, case)), choice(rng, POT_RANGES["rate_exponent"])
    last = log_uniform(rng, *POT_RANGES["rate at the end, in units of n τ batch / samples"])
    return pot.PotSettings(
        batch,
        rate=last * batch / samples * (samples / batch) ** exponent,
        rate_exponent=exponent,
        epsilon=log_uniform(rng, *POT_RANGES["epsilon"]),
        epsilon_exponent=choice(rng, POT_RANGES["epsilon_exponent"]),
        average=choice(rng, POT_RANGES["average"]),
    )


def draw_ott(rng: np.random.Generator, case: Case, _samples: int) -> ott_jax.OttSettings:
    batch, optimizer = choice(rng, batches(OTT_RANGES, case)), choice(rng, OTT_RANGES["optimizer"])
    decay = choice(rng, OTT_RANGES["decay, in batches of n/2 samples"]) * case.size / (2 * batch)
    rate = log_uniform(rng, *OTT_RANGES["rate"][optimizer])
    # Small batches need small steps: adam's in proportion to their noise, sgd's to their share of the data.
    scale = (batch / 512) ** 0.5 if optimizer == "adam" else batch / case.size
    return ott_jax.OttSettings(
        batch,
        optimizer,
        rate=rate * scale,
        schedule=choice(rng, OTT_RANGES["schedule"]),
        epsilon=log_uniform(rng, *OTT_RANGES["epsilon"]),
        epsilon_exponent=choice(rng, OTT_RANGES["epsilon_exponent"]),
        memory=choice(rng, OTT_RANGES["memory"]),
        decay=decay,
    )


def solve(solver: str, case: Case, settings: Any, samples: int, seed: int = 0) -> Answer:
    return {"POT": pot, "OTT-JAX": ott_jax}[solver].solve(case, settings, samples, seed)


def search(solver: str, case: Case, budget: float, seconds: float, seed: int) -> list[dict[str, Any]]:
    """Random settings until the time is over, best first, each judged by a fifth of the usual samples."""
    rng, judge = np.random.default_rng(seed), Judge(dataclasses.replace(case, judged=case.judged // 5))
    draw, samples = {"POT": draw_pot, "OTT-JAX": draw_ott}[solver], round(budget * case.size)
    rows, began = [], time.perf_counter()
    while time.perf_counter() - began < seconds:
        settings = draw(rng, case, samples)
        verdict = judge(solve(solver, case, settings, samples))
        rows.append({"error": verdict.error, "seconds": verdict.seconds, **dataclasses.asdict(settings)})
        print(f"{solver} {case.name} {budget:g}: {verdict.error:.4f} {settings}", flush=True)
    return sorted(rows, key=lambda row: row["error"])
