"""What the demo does, in numbers: one record for the full run, one for the quick one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoSettings:
    """All that decides the demo's numbers, besides the machine's rounding."""

    seed: int = 0
    held_out: int = 500  # digits set aside: the reference of all quality figures
    width: int = 256
    depth: int = 3
    train_steps: int = 3000
    batch: int = 128
    pool: int = 512  # pairs per assignment (AOT)
    learning_rate: float = 2e-3
    schedule_steps: int = 18  # of the full schedule, σ from 80 to 0.002, ρ = 7
    last_steps: tuple[int, ...] = (5, 10)  # M: DPM-OT starts at the level with M steps to go
    heun_steps: tuple[int, ...] = (3, 5, 9)  # 5, 9 and 17 evaluations
    tol: float = 0.05  # χ² of the potentials
    max_samples_per_target: int = 4000
    check_per_target: int = 16  # noises of the independent marginal error
    samples: int = 1000  # drawn for every row of the table
    curvature_samples: int = 256
    classifier_epochs: int = 60
    mixture_threshold: float = 0.11  # λ for 10 classes


def settings_for(seed: int, quick: bool) -> DemoSettings:
    """The demo's settings; the quick ones run every stage once at a size where figures mean little."""
    if not quick:
        return DemoSettings(seed=seed)
    return DemoSettings(
        seed=seed,
        width=64,
        depth=1,
        train_steps=60,
        held_out=200,
        samples=100,
        curvature_samples=16,
        tol=0.5,
        max_samples_per_target=64,
        check_per_target=4,
        classifier_epochs=5,
    )
