"""The page's section on E1, from its record."""

from __future__ import annotations

from typing import Any

import lab
from brenier.report.plots import Chart, Line, png
from e1_settings import ARMS, BATCH, DEPTH, POOL, SAMPLES, TRAIN_STEPS, WIDTH

FEW = 15  # evaluations, up to which the paper's gain is looked for


def of_arm(record: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return [row for row in record["rows"] if row["arm"] == key]


def curve(
    record: dict[str, Any], key: str, kind: str, figure: str = "frechet"
) -> dict[int, dict[str, float]]:
    """Mean and spread over seeds by number of evaluations."""
    rows = of_arm(record, key)
    counts = sorted(int(count) for count in rows[0][kind])
    return {count: lab.spread(row[kind][str(count)][figure] for row in rows) for count in counts}


def charts(record: dict[str, Any]) -> dict[str, bytes]:
    name = record["data"]
    return {
        f"e1_quality_{name}.png": png(quality_chart(record), 6.4, 4.2),
        f"e1_curvature_{name}.png": png(curvature_chart(record), 6.4, 3.8),
    }


def quality_chart(record: dict[str, Any]) -> Chart:
    lines = []
    for key, arm in ARMS.items():
        found = curve(record, key, "tuned")
        means, errors = ([value[part] for value in found.values()] for part in ("mean", "sd"))
        lines.append(Line(arm.name, list(map(float, found)), means, arm.colour, arm.style, "o", errors))
    ticks = [float(count) for count in found]
    label = "Fréchet distance, features"
    return Chart(lines, "evaluations of the network, ρ tuned for each", label, y_log=True, x_ticks=ticks)


def curvature_chart(record: dict[str, Any]) -> Chart:
    lines = []
    for key, arm in ARMS.items():
        rows = of_arm(record, key)
        per_step = [[float(v) for v in row["curvature_per_step"]] for row in rows]
        means = [sum(column) / len(column) for column in zip(*per_step, strict=True)]
        sigmas = [float(v) for v in rows[0]["curvature_sigmas"]][:-1]
        lines.append(Line(arm.name, sigmas, means, arm.colour, arm.style))
    label = "squared change of D per step"
    return Chart(lines, "noise level σ", label, x_log=True, reverse_x=True, y_from_zero=True)


def section(record: dict[str, Any]) -> str:
    """The part of docs/experiments.md about this record."""
    name = record["data"]
    flag = "" if name == "digits" else " --data patches"
    counts = list(curve(record, "aot", "tuned"))
    quality = lab.table(
        ["evaluations", *map(str, counts)],
        [
            [arm.name, *[lab.shown(v) for v in curve(record, key, "tuned").values()]]
            for key, arm in ARMS.items()
        ],
    )
    rhos = lab.table(
        ["ρ", *map(str, counts)],
        [[arm.name, *[chosen(record, key, count) for count in counts]] for key, arm in ARMS.items()],
    )
    costs = lab.table(
        ["", "curvature", "straightness", "Σ‖y − ε‖² per pair", "class told from noise", "chance", "CPU s"],
        [cost_row(record, key) for key in ARMS],
    )
    return f"""## E1. Couplings in training: {name}

`python examples/experiments/e1_couplings.py{flag}`

One MLP ({WIDTH} wide, {DEPTH} residual layers), {TRAIN_STEPS} steps of {BATCH} pairs, pools of {POOL}; the same
weights and budget for every coupling. "Classes" networks are told the class. Schedules: Heun, ρ tuned per coupling and
number of evaluations for each seed, against training images on other noise. {SAMPLES} samples a figure; as many
training images score {lab.shown(record["floor"])}.

Does the paper's gain at few evaluations appear? {answer(record)}

Seed by seed, at equal evaluations:

{verdict(record)}

![Quality against evaluations](experiments/e1_quality_{name}.png)

Fréchet distance in features, schedule tuned:

{quality}

The ρ that was found, seed by seed:

{rhos}

![Curvature](experiments/e1_curvature_{name}.png)

Curvature is Σ‖D_i+1 − D_i‖² over 64 geometric steps from σ = {lab.SIGMA_MAX:g}, straightness ∫‖v − chord‖² dt. "Class
told from noise" is `condition_leak` of 4,096 pairs: what a network that knows the class sees in training and not in
sampling. CPU seconds are of training with pairing and, for semidiscrete, fitting the potential.

{costs}"""


def chosen(record: dict[str, Any], key: str, count: int) -> str:
    """The tuned ρ of every seed."""
    return ", ".join(f"{row['schedule'][str(count)]:g}" for row in of_arm(record, key))


def cost_row(record: dict[str, Any], key: str) -> list[str]:
    rows = of_arm(record, key)
    take = lambda figure: lab.shown(lab.spread(figure(row) for row in rows))  # noqa: E731
    return [
        ARMS[key].name,
        take(lambda row: row["curvature"]),
        take(lambda row: row["straightness"]["value"]),
        take(lambda row: row["pair_cost"]),
        f"{lab.shown(lab.spread(100 * row['leak']['accuracy'] for row in rows), '.1f')}%",
        f"{lab.shown(lab.spread(100 * row['leak']['chance'] for row in rows), '.1f')}%",
        lab.shown(lab.spread(row["train_seconds"] for row in rows), ".1f"),
    ]


def verdict(record: dict[str, Any]) -> str:
    """Does the gain at few evaluations appear? In words made from the record."""
    pairs = [
        ("aot", "independent"),
        ("semidiscrete", "independent"),
        ("c2ot_classes", "independent_classes"),
        ("aot_classes", "independent_classes"),
    ]
    return "\n".join(compare(record, ours, base) for ours, base in pairs)


def answer(record: dict[str, Any]) -> str:
    """One word, and what it rests on: AOT against independent pairs."""
    gains = all_gains(record, "aot", "independent")
    few = {count: found for count, found in gains.items() if count <= FEW}
    wins = sum(min(found) > 0 for found in few.values())
    word = "Yes" if wins == len(few) else "In part" if wins else "No"
    many = split({count: found for count, found in gains.items() if count > FEW})
    return (
        f"**{word}.** The paper's shows at 11 and 15. Here, up to {FEW}, AOT is {'; '.join(split(few))}. With more "
        f"it is {'; '.join(many)}."
    )


def compare(record: dict[str, Any], ours: str, base: str) -> str:
    """Where one arm beats another in every seed, and where it loses in every seed."""
    parts = "; ".join(split(all_gains(record, ours, base)))
    return f"- **{ARMS[ours].name} against {ARMS[base].name}** (mean gain in Fréchet distance): {parts}."


def all_gains(record: dict[str, Any], ours: str, base: str) -> dict[int, list[float]]:
    """By number of evaluations, each seed's gain in Fréchet distance as a share of the other arm's."""
    pairs = list(zip(of_arm(record, ours), of_arm(record, base), strict=True))
    counts = list(curve(record, ours, "tuned"))
    return {count: [1 - curve_value(x, count) / curve_value(y, count) for x, y in pairs] for count in counts}


def split(gains: dict[int, list[float]]) -> list[str]:
    """Those better in every seed, those worse in every seed, and the others, in words."""
    better, worse, tied = [], [], []
    for count, found in gains.items():
        words = f"{count} ({100 * sum(found) / len(found):+.0f}%)"
        (better if min(found) > 0 else worse if max(found) < 0 else tied).append(words)
    heads = (("better in every seed at", better), ("worse in every seed at", worse), ("undecided at", tied))
    return [f"{head} {', '.join(words)}" for head, words in heads if words]


def curve_value(row: dict[str, Any], count: int) -> float:
    return float(row["tuned"][str(count)]["frechet"])
