"""The page's section on E2, from its record."""

from __future__ import annotations

from typing import Any

import lab


def section(record: dict[str, Any]) -> str:
    """The part of docs/experiments.md about DPM-OT."""
    return f"""## E2. DPM-OT against M

`python examples/experiments/e2_dpm_ot.py`

Digits. One network per seed, trained on independent pairs; the full schedule has 18 steps (ρ = 7, σ from
{lab.SIGMA_MAX:g}), DPM-OT runs the last M of them (2M − 1 evaluations) from latents at σ_M. Plain samplers start from
noise with the same number of evaluations, ρ tuned for each on the first seed. Quality is measured against the images
that were not the targets; as many training images score {lab.shown(record["floor"])}. Closeness: the median distance
of a sample to the nearest target image, in units of that of other real images; near 1 is new, near 0 is a copy.

![Samples](experiments/e2_samples.png)

![Quality](experiments/e2_quality.png)

{main_table(record)}

![Copies](experiments/e2_copies.png)

{tail_table(record)}

![Mode mixture](experiments/e2_mixture.png)

The classifier sees mixed modes in {percent(record["mixture_floor"])} of the held-out images themselves.

{reading(record)}

### Cost against n and d

Colour patches from random places of the two photographs, noised at σ, until an independent check proves χ² ≤ 0.05 or
100 noises per target are used. CPU seconds are of one core.

{cost_table(record)}

### Conditional generation

A network that knows the class, and its class asked of every sample. "One potential" takes the class of the target that
the noise is sent to; "a potential per class" is told the class first (`brenier.fit(labels=...)`).

{conditional_table(record)}

### Sensitivity to samples and step size

How well the map must be fitted: noises per target used, χ² of the cell masses, and what the samples show.

{samples_table(record)}

Step size: χ² after 64 noises per target by Adam on counted masses from h = 0, as the paper does it, for step sizes
across three decades, and by `brenier.fit`, which has none to choose.

{step_table(record)}"""


def of(rows: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]


def mean(rows: list[dict[str, Any]], figure: str, form: str = ".2f") -> str:
    values = [row[figure] for row in rows if row.get(figure) is not None]
    return lab.shown(lab.spread(values), form) if values else "–"


def percent(value: dict[str, float]) -> str:
    return f"{100 * value['mean']:.1f} ± {100 * value['sd']:.1f}%"


def share(rows: list[dict[str, Any]], figure: str) -> str:
    return percent(lab.spread(row[figure] for row in rows))


def kinds(record: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["kind"] for row in record["rows"]))


def counts(record: dict[str, Any]) -> list[int]:
    return sorted({row["evaluations"] for row in record["rows"] if not row.get("tail")})


def main_table(record: dict[str, Any]) -> str:
    """Quality by method and evaluations."""
    levels = [f"{float(sigma):.3g}" for sigma in record["levels"].values()]
    heads = ["evaluations", *map(str, counts(record))]
    rows = [["M", *record["levels"]], ["σ_M", *levels]]
    for kind in kinds(record):
        chosen = [row for row in of(record["rows"], kind=kind) if not row.get("tail")]
        rows.append([kind, *[mean(of(chosen, evaluations=count), "frechet") for count in counts(record)]])
    return lab.table(heads, [list(map(str, row)) for row in rows])


def tail_table(record: dict[str, Any]) -> str:
    """Copying and mixture by M, and the short tails from σ_10."""
    rows = []
    for kind in kinds(record):
        own = [row for row in of(record["rows"], kind=kind) if row["M"] is not None]
        for last, steps in sorted({(row["M"], row["evaluations"]) for row in own}):
            found = of(own, M=last, evaluations=steps)
            if last not in (2, 5, 10, 18):
                continue
            cells = [kind, str(last), str(steps), mean(found, "frechet"), share(found, "mode_mixture")]
            rows.append(
                [*cells, mean(found, "nearest_ratio"), share(found, "share_closer"), mean(found, "own_ratio")]
            )
    heads = [
        "",
        "M",
        "evaluations",
        "Fréchet",
        "mode mixture",
        "to nearest target",
        "closer than 95%",
        "to own target",
    ]
    return lab.table(heads, rows)


def reading(record: dict[str, Any]) -> str:
    """Sentences from the record: what to believe."""
    rows = record["rows"]
    stored, random = "train targets, stored noise", "train targets drawn at random, no map"
    low = of(of(rows, kind=stored), M=2, evaluations=3)
    plain = {name: of(rows, kind=name, evaluations=9) for name in ("Heun", "DDIM", "DPM-Solver++")}
    best = min(plain, key=lambda name: lab.spread(row["frechet"] for row in plain[name])["mean"])
    tail = of(rows, kind=stored, M=10, evaluations=9)
    gaps = [
        abs(a["frechet"] - b["frechet"]) / b["frechet"]
        for a, b in zip(of(rows, kind=stored), of(rows, kind=random), strict=True)
    ]
    copied, kept = share(low, "share_closer"), share(tail, "share_closer")
    quality, late, early = mean(low, "frechet"), mean(tail, "frechet"), mean(plain[best], "frechet")
    moved = f"{100 * sum(gaps) / len(gaps):.0f}%"
    return f"""- Small M: at M = 2 the Fréchet distance is {quality}, and {copied} of the samples are closer to a
  training image than 95% of held-out images are. They are copies; the quality is that of the data.
- Started at σ_10 with 9 evaluations, DPM-OT scores {late} with {kept} so close; the best plain sampler at
  9 evaluations ({best}) scores {early} with {share(plain[best], "share_closer")}.
- Drawing the target at random instead of through the map changes the Fréchet distance by {moved} on average, in either
  direction: the map decides from which noise an image comes, not which."""


def cost_table(record: dict[str, Any]) -> str:
    rows, cells = record["cost"], []
    for n, d, sigma in dict.fromkeys((row["n"], row["d"], row["sigma"]) for row in rows):
        found = of(rows, n=n, d=d, sigma=sigma)
        per_target = [
            lab.shown(lab.spread(row[f] / n for row in found), ".1f") for f in ("samples", "checks")
        ]
        proved = f"{sum(row['converged'] for row in found)} of {len(found)}"
        figures = [mean(found, "cpu_seconds"), mean(found, "chi_square", ".3f")]
        cells.append([f"{n:,}", f"{d:,}", f"{sigma:g}", *per_target, *figures, proved])
    heads = ["n", "d", "σ", "noises per target", "for checks", "CPU s", "χ² reached", "converged"]
    return lab.table(heads, cells)


def conditional_table(record: dict[str, Any]) -> str:
    rows = record["conditional"]
    cases = list(dict.fromkeys((row["how"], row["sigma"], row["evaluations"]) for row in rows))
    cells = []
    for how, sigma, count in cases:
        found = of(rows, how=how, sigma=sigma, evaluations=count)
        cells.append(
            [how, f"{sigma:.3g}", str(count), mean(found, "frechet"), share(found, "class_right"),
             mean(found, "nearest_ratio"), share(found, "share_closer")]
        )  # fmt: skip
    heads = [
        "",
        "start σ",
        "evaluations",
        "Fréchet",
        "class right",
        "to nearest training image",
        "closer than 95%",
    ]
    return lab.table(heads, cells)


def samples_table(record: dict[str, Any]) -> str:
    rows = record["samples"]
    cells = []
    for last, per_target in dict.fromkeys((row["M"], row["per_target"]) for row in rows):
        found = of(rows, M=last, per_target=per_target)
        label = str(per_target) if per_target else "0 (h = 0)"
        cells.append(
            [str(last), label, mean(found, "chi_square", ".3g"), mean(found, "frechet"), share(found, "mode_mixture"),
             share(found, "targets_used")]
        )  # fmt: skip
    heads = ["M", "noises per target", "χ²", "Fréchet", "mode mixture", "different targets among the samples"]
    return lab.table(heads, cells)


def step_table(record: dict[str, Any]) -> str:
    rows = record["step_size"]
    sigmas = list(dict.fromkeys(row["sigma"] for row in rows))
    rates = list(dict.fromkeys(row["rate"] for row in rows))
    cells = [
        ["`brenier.fit`" if rate is None else f"Adam, {rate:g}",
         *[mean(of(rows, sigma=sigma, rate=rate), "chi_square", ".3g") for sigma in sigmas]]
        for rate in rates
    ]  # fmt: skip
    return lab.table(["step size", *[f"targets at σ = {sigma:g}" for sigma in sigmas]], cells)
