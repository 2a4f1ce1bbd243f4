"""The demo's text: every sentence that names a figure is made from the run record."""

from __future__ import annotations

from typing import Any

from brenier.report.tables import NETWORKS

Row = dict[str, Any]


def pick(record: dict[str, Any], method: str, **wanted: Any) -> list[Row]:
    """Rows of the table of one method, and of the network, M or evaluations asked for."""
    return [r for r in record["rows"] if r["method"] == method and all(r[k] == v for k, v in wanted.items())]


def best(rows: list[Row], figure: str = "frechet_features") -> Row:
    return min(rows, key=lambda row: row[figure])


def headline(record: dict[str, Any]) -> str:
    """A few lines for the terminal and the README."""
    few = record["settings"]["heun_steps"][0] * 2 - 1
    plain = {row["network"]: row for row in pick(record, "heun", evaluations=few)}
    lines = [f"Fréchet distance of features at {few} evaluations ({record['settings']['samples']} samples):"]
    lines += [f"  plain Heun, {NETWORKS[name]}: {row['frechet_features']:.2f}" for name, row in plain.items()]
    for row in pick(record, "dpm_ot", evaluations=few, network="independent"):
        lines.append(
            f"  DPM-OT, M = {row['last_steps']}, EDM: {row['frechet_features']:.2f}, and "
            f"{row['share_closer']:.0%} of its "
            f"samples lie closer to a training image than 95% of held-out images do"
        )
    lines.append(f"  training images themselves: {record['real']['frechet_features']:.2f}")
    for steps, fit in record["fits"].items():
        lines.append(
            f"potential at M = {steps} (σ = {fit['sigma']:.3g}): "
            f"{'converged' if fit['converged'] else 'NOT converged'}, "
            f"χ² = {fit['error']:.3f} ± {fit['error_stderr']:.3f} after {fit['samples'] / fit['n']:.0f} "
            "samples per target"
        )
    lines.append(f"{sum(record['seconds'].values()):.0f} s in all")
    return "\n".join(lines)


def cards(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures at the top of the page: value, what it is, beside what."""
    few = record["settings"]["heun_steps"][0] * 2 - 1
    edm, aot = (pick(record, "heun", network=name, evaluations=few)[0] for name in ("independent", "aot"))
    last, first = str(record["settings"]["last_steps"][0]), record["settings"]["last_steps"][-1]
    fit = record["fits"][last]
    ot = pick(record, "dpm_ot", network="independent", last_steps=int(last), evaluations=few)[0]
    late = pick(record, "dpm_ot", network="independent", last_steps=first, evaluations=few)[0]
    return [
        (
            f"{edm['frechet_features']:.1f} → {aot['frechet_features']:.1f}",
            f"Fréchet distance at {few} evaluations: EDM, then EDM trained on AOT pairs",
            f"{record['real']['frechet_features']:.1f} for real images",
        ),
        (
            f"{ot['frechet_features']:.1f}",
            f"Fréchet distance of DPM-OT at M = {last}, {few} evaluations",
            f"{ot['share_closer']:.0%} of its samples are near-copies by the measure below; "
            f"{late['share_closer']:.0%} at M = {first}",
        ),
        (
            f"{100 * max(fit['error'], 0) ** 0.5:.0f}%",
            f"error of the map's cell masses, root mean square (M = {last})",
            f"{fit['samples'] / fit['n']:.0f} noises per target, {fit['seconds']:.1f} s",
        ),
        (
            f"{sum(record['seconds'].values()):.0f} s",
            "for everything on this page",
            f"{record['machine']['cores']} cores, {record['data']['train']} training images",
        ),
    ]


def all_words(record: dict[str, Any]) -> dict[str, list[str]]:
    """Paragraphs by section."""
    return {
        "setting": setting(record),
        "fit": fitting(record),
        "quality": quality(record),
        "paths": paths(record),
        "memorisation": memorising(record),
        "caveats": caveats(record),
    }


def setting(record: dict[str, Any]) -> list[str]:
    data, settings = record["data"], record["settings"]
    words = [
        f"{data['train'] + data['held_out']} {data['name']}: {data['train']} to train on, {data['held_out']} "
        "held out. "
        f"Two copies of one small network were trained for {settings['train_steps']} steps of "
        f"{settings['batch']} images; "
        "one saw independent noise (EDM), the other noise that was re-ordered within pools of "
        f"{settings['pool']} to lie "
        f"closest to its images (AOT).",
        f"Features come from our own classifier, a {data['classifier']}. Distances between such features are "
        "not FID and "
        f"compare with no published figure.",
    ]
    if settings["quick"]:
        words.append(
            "This was a quick run: every stage ran once at a small size, and the figures mean little."
        )
    return words


def fitting(record: dict[str, Any]) -> list[str]:
    """The potentials: what χ² is, what was reached, what the floor says."""
    words = [
        "A potential gives every target a cell of noise that is sent to it. χ² compares the cells' masses "
        "with those "
        "wanted, 1/n each; it is 0 in mean at the optimum, and its square root is the relative error of a "
        "mass. The dashed "
        "line n/N is what counting winners among N noises can reach."
    ]
    for steps, fit in record["fits"].items():
        state = "converged" if fit["converged"] else "did not converge"
        ratio = fit["error"] * fit["samples"] / fit["n"]
        words.append(
            f"M = {steps}: the fit {state} after {fit['samples'] / fit['n']:.0f} noises per target in "
            f"{fit['seconds']:.1f} s, with χ² = {fit['error']:.4f} ± {fit['error_stderr']:.4f}, "
            f"{ratio:.2f} times the floor. Measured again on {fit['marginal_error']['samples']} other "
            "noises: "
            f"{fit['marginal_error']['chi_square']:.4f} ± {fit['marginal_error']['stderr']:.4f}. The map "
            "moves noise by "
            f"{fit['cost']:.1f} in mean square; sending it to a target at random would cost "
            f"{fit['cost_unpaired']:.1f}."
        )
    return words


def quality(record: dict[str, Any]) -> list[str]:
    """What the curves show, evaluations by evaluations."""
    words = []
    for steps in record["settings"]["heun_steps"]:
        count = 2 * steps - 1
        edm, aot = (
            pick(record, "heun", network=name, evaluations=count)[0] for name in ("independent", "aot")
        )
        winner = "lower" if aot["frechet_features"] < edm["frechet_features"] else "higher"
        words.append(
            f"At {count} evaluations plain Heun scores {edm['frechet_features']:.2f} with EDM and "
            f"{aot['frechet_features']:.2f}, which is {winner}, with AOT; mode mixture is "
            f"{edm['mode_mixture']:.1%} and "
            f"{aot['mode_mixture']:.1%} (held-out images: {record['real']['held_out_mode_mixture']:.1%})."
        )
    found = best(pick(record, "dpm_ot"))
    words.append(
        f"The lowest distance of DPM-OT is {found['frechet_features']:.2f}, at M = {found['last_steps']} and "
        f"{found['evaluations']} evaluations with {NETWORKS[found['network']]}. Read it together with "
        "memorisation, below."
    )
    return words


def paths(record: dict[str, Any]) -> list[str]:
    edm, aot = record["training"]["independent"]["curvature"], record["training"]["aot"]["curvature"]
    verdict = f"{1 - aot / edm:.0%} less" if aot < edm else f"{aot / edm - 1:.0%} more"
    return [
        f"Along a sampling path the network's guess of the final image changes. The summed squared change is "
        f"{edm:.1f} for EDM and {aot:.1f} for AOT, {verdict}: few evaluations are enough where it is small. "
        "Both start "
        f"from the same {record['settings']['curvature_samples']} noises."
    ]


def memorising(record: dict[str, Any]) -> list[str]:
    """What DPM-OT's quality is made of."""
    words = []
    for steps in record["settings"]["last_steps"]:
        rows = pick(record, "dpm_ot", last_steps=steps, network="independent")
        row, sigma = rows[-1], record["fits"][str(steps)]["sigma"]
        words.append(
            f"DPM-OT at M = {steps} starts from training images with noise of σ = {sigma:.2g} (the images' "
            "own spread is "
            f"about 0.75). Its samples lie {row['nearest_ratio']:.2f} times as far from the nearest training "
            "image as "
            f"held-out digits do, and {row['share_closer']:.0%} of them are closer than 95% of held-out "
            "digits are "
            f"(5% expected without memorisation): {verdict(row)}."
        )
    plain = pick(record, "heun", network="independent")[-1]
    words.append(
        f"Plain Heun at {plain['evaluations']} evaluations: {plain['nearest_ratio']:.2f} times, and "
        f"{plain['share_closer']:.0%}: {verdict(plain)}."
    )
    return words


def verdict(row: Row) -> str:
    """Copy, near-copy or neither, by the median distance."""
    if row["nearest_ratio"] < 0.5:
        return "most outputs are stored images, little changed"
    if row["share_closer"] > 0.15:
        return "more outputs than chance allows are close to stored images"
    return "no more copying than between real images"


def caveats(record: dict[str, Any]) -> list[str]:
    """What the figures do not mean."""
    settings, data = record["settings"], record["data"]
    return [
        "All masses are equal, so a converged map draws every training image equally often: it does not "
        "decide which image "
        "is drawn, only from which noise. That is what couplings and interpolation need; it adds no quality "
        "by itself.",
        f"Fréchet distances from {settings['samples']} samples and {data['held_out']} references are biased "
        "upwards. The "
        f"floor here is {record['real']['frechet_features']:.2f}, the distance of the training images to the "
        "held-out "
        f"ones, and a method that copies the training set would reach it.",
        "One seed, one small network, 8 x 8 images: differences of a few percent are noise. The classifier "
        "is right on "
        f"{data['classifier_accuracy']:.0%} of images that it was not trained on.",
    ]
