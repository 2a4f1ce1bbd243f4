"""The arms of E1 and the budget they share."""

from __future__ import annotations

from dataclasses import dataclass

STEPS = (3, 4, 5, 6, 8, 12, 18)  # 5 to 35 evaluations
RHOS = (2.0, 6.0, 20.0)
TRAIN_STEPS, BATCH, POOL, WIDTH, DEPTH, LEARNING_RATE = 600, 64, 512, 128, 3, 2e-3
SAMPLES, TUNED_ON = 500, 250
SAMPLE_SEED, TUNE_SEED, PATH_SEED = 202, 404, 303  # added to the seed: noise that nothing else uses


@dataclass(frozen=True)
class Arm:
    """One way of training."""

    name: str
    coupling: str
    conditional: bool
    colour: str

    @property
    def style(self) -> str:
        return "--" if self.conditional else "-"


ARMS = {
    "independent": Arm("independent", "independent", False, "blue"),
    "aot": Arm("AOT", "aot", False, "orange"),
    "semidiscrete": Arm("semidiscrete", "semidiscrete", False, "green"),
    "independent_classes": Arm("independent, classes", "independent", True, "blue"),
    "aot_classes": Arm("AOT over all classes, classes", "aot", True, "orange"),
    "c2ot_classes": Arm("C²OT, classes", "c2ot", True, "purple"),
}
