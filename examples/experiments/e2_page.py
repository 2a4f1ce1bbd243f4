"""The page's section on E2, from its record."""

from __future__ import annotations

from typing import Any

import lab
from brenier.report.plots import Chart, Line, png

LOOKS = {  # colour, line and marker
    "Heun": ("red", "--", "s"),
    "DDIM": ("orange", "--", "s"),
    "DPM-Solver++": ("grey", "--", "s"),
    "train targets, stored noise": ("blue", "-", "o"),
    "train targets, fresh noise": ("sky", "-", "o"),
    "held-out targets, stored noise": ("green", "-", "o"),
    "held-out targets, fresh noise": ("purple", "-", "o"),
    "train targets drawn at random, no map": ("orange", ":", "^"),
}


def charts(record: dict[str, Any]) -> dict[str, bytes]:
    return {
        "e2_quality.png": png(chart(record, "frechet", "Fréchet distance, features"), 6.6, 4.6),
        "e2_copies.png": png(chart(record, "nearest_ratio", "distance to the nearest target"), 6.6, 4.6),
        "e2_mixture.png": png(chart(record, "mode_mixture", "mode mixture ratio"), 6.6, 4.6),
    }


def chart(record: dict[str, Any], figure: str, label: str) -> Chart:
    """One figure against evaluations, a line per method."""
    lines = []
    for kind, look in LOOKS.items():
        found = [row for row in of(record["rows"], kind=kind) if not row.get("tail")]
        values = [lab.spread(row[figure] for row in of(found, evaluations=count)) for count in counts(record)]
        means, errors = [value["mean"] for value in values], [value["sd"] for value in values]
        lines.append(Line(kind, [float(count) for count in counts(record)], means, *look, errors))
    ticks = [float(count) for count in counts(record)]
    log = figure != "mode_mixture"
    return Chart(lines, "evaluations of the network", label, x_ticks=ticks, y_log=log, y_from_zero=not log)


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

{cost_answer(record)}

{cost_table(record)}

### Conditional generation

A network that knows the class, and its class asked of every sample. "One potential" takes the class of the target that
the noise is sent to; "a potential per class" is told the class first (`brenier.fit(labels=...)`).

{conditional_answer(record)}

{conditional_table(record)}

### Sensitivity to samples and step size

How well the map must be fitted: noises per target used, χ² of the cell masses, and what the samples show.

{samples_answer(record)}

{samples_table(record)}

Step size: χ² after 64 noises per target by Adam on counted masses from h = 0, as the paper does it, for step sizes
across three decades, and by `brenier.fit`, which has none to choose.

{step_answer(record)}

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
    heads = ["", "M", "evaluations", "Fréchet", "mode mixture", "to nearest target", "closer than 95%",
             "to own target"]  # fmt: skip
    return lab.table(heads, rows)


def reading(record: dict[str, Any]) -> str:
    """Sentences from the record: what to believe."""
    rows = record["rows"]
    stored, random = "train targets, stored noise", "train targets drawn at random, no map"
    low = of(of(rows, kind=stored), M=2, evaluations=3)
    plain = {name: of(rows, kind=name, evaluations=9) for name in ("Heun", "DDIM", "DPM-Solver++")}
    best = min(plain, key=lambda name: lab.spread(row["frechet"] for row in plain[name])["mean"])
    tail = of(rows, kind=stored, M=10, evaluations=9)
    pairs = [
        (a["frechet"], b["frechet"])
        for a, b in zip(of(rows, kind=stored), of(rows, kind=random), strict=True)
    ]
    moved = f"{100 * sum(abs(a - b) / b for a, b in pairs) / len(pairs):.0f}%"
    favoured = f"{sum(a < b for a, b in pairs)} of {len(pairs)}"
    copied, kept = share(low, "share_closer"), share(tail, "share_closer")
    quality, late, early = mean(low, "frechet"), mean(tail, "frechet"), mean(plain[best], "frechet")
    return f"""- Small M: at M = 2 the Fréchet distance is {quality}, and {copied} of the samples are closer to a
  training image than 95% of held-out images are. They are copies; the quality is that of the data.
- Started at σ_10 with 9 evaluations, DPM-OT scores {late} with {kept} so close; the best plain sampler at
  9 evaluations ({best}) scores {early} with {share(plain[best], "share_closer")}.
- Drawing the target at random instead of through the map changes the Fréchet distance by {moved} on average, and the
  map is the better one in {favoured} cases. It decides from which noise an image comes, not which images come: do not
  expect quality from it."""


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


def average(rows: list[dict[str, Any]], figure: str) -> float:
    return lab.spread(row[figure] for row in rows)["mean"]


def growth(rows: list[dict[str, Any]], name: str) -> tuple[str, str]:
    """How many times the CPU seconds grow from the least n or d to the greatest, and how many times that is."""
    least, most = (bound(row[name] for row in rows) for bound in (min, max))
    first, last = (average(of(rows, **{name: value}), "cpu_seconds") for value in (least, most))
    return f"{last / first:.0f}", f"{most / least:.0f}"


def cost_answer(record: dict[str, Any]) -> str:
    rows = of(record["cost"], sigma=1.0)
    used = [row["samples"] / row["n"] for row in rows]
    (by_n, times_n), (by_d, times_d) = growth(of(rows, d=192), "n"), growth(of(rows, n=1000), "d")
    clean = mean(of(record["cost"], sigma=0.0), "chi_square")
    return f"""**Answer.** At σ = 1 the noises per target stay between {min(used):.1f} and {max(used):.1f};
the time grows {by_n} times for {times_n} times the targets and {by_d} times for {times_d} times the dimension. What
costs is targets that are nearly alike: clean patches (σ = 0) are at χ² = {clean} after 100 noises per target."""


def conditional_answer(record: dict[str, Any]) -> str:
    rows = record["conditional"]
    plain = of(rows, how="plain Heun, ρ = 7", evaluations=5)
    mapped = [row for row in of(rows, how="DPM-OT, a potential per class", evaluations=5) if row["sigma"] > 1]
    ours, theirs, close = (
        share(mapped, "class_right"),
        share(plain, "class_right"),
        share(mapped, "share_closer"),
    )
    return f"""**Answer.** It works with one potential per class: at 5 evaluations, started at σ ≈ 1, {ours} of
the samples have the class asked for ({theirs} of plain Heun's, which gains much from more evaluations), and {close} are
closer to a training image than 95% of held-out images."""


def samples_answer(record: dict[str, Any]) -> str:
    rows = of(record["samples"], M=10)
    none, few, many = (mean(of(rows, per_target=count), "frechet") for count in (0, 1, 32))
    return f"""**Answer.** h = 0 is worse ({none} at M = 10); one noise per target already gives {few}, 32 give {many}:
below χ² ≈ 0.05 these samples do not tell potentials apart."""


def step_answer(record: dict[str, Any]) -> str:
    rows = [row for row in record["step_size"] if row["rate"] is not None]
    rates = sorted({row["rate"] for row in rows})
    best = {
        sigma: min(rates, key=lambda rate, s=sigma: average(of(rows, sigma=s, rate=rate), "chi_square"))
        for sigma in sorted({row["sigma"] for row in rows})
    }
    words = ", ".join(f"{rate:g} at σ = {sigma:g}" for sigma, rate in best.items())
    return f"""**Answer.** Adam is sensitive, and to the data too: the best of the tried step sizes is {words}, and a
step ten times larger or smaller costs a multiple of χ²."""


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
