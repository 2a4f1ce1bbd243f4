"""The demo's text: every sentence that names a figure is made from the run record."""

from __future__ import annotations

from typing import Any

from brenier.report.tables import NETWORKS, method_name

Row = dict[str, Any]


def pick(record: dict[str, Any], method: str, **wanted: Any) -> list[Row]:
    """Rows of the table of one method, and of the network, M or evaluations asked for."""
    return [r for r in record["rows"] if r["method"] == method and all(r[k] == v for k, v in wanted.items())]


def best(rows: list[Row], figure: str = "frechet_features") -> Row:
    return min(rows, key=lambda row: row[figure])


def middle(record: dict[str, Any]) -> int:
    """The evaluations that pictures and headlines compare at: the middle one tried."""
    steps = record["settings"]["heun_steps"]
    return int(2 * steps[len(steps) // 2] - 1)


def named(row: Row) -> str:
    return f"{method_name(row)}, {NETWORKS[row['network']]}"


def measured(fit: Row) -> str:
    """χ² on noise that the fit did not use."""
    return f"{fit['marginal_error']['chi_square']:.3f} ± {fit['marginal_error']['stderr']:.3f}"


def headline(record: dict[str, Any]) -> str:
    """A few lines for the terminal and the README."""
    count, fits = middle(record), record["fits"]
    rows = [row for row in record["rows"] if row["evaluations"] == count]
    lines = [
        f"Fréchet distance of features at {count} evaluations, share closer to a training image than expected:"
    ]
    lines += [f"  {named(row):28} {row['frechet_features']:7.2f}  {row['share_closer']:4.0%}" for row in rows]
    real = record["real"]
    lines.append(
        f"  {'training images themselves':28} {real['frechet_features']:7.2f}  {real['share_closer']:4.0%}"
    )
    lines += [
        f"potential at M = {steps} (σ = {fit['sigma']:.3g}): {'converged' if fit['converged'] else 'NOT converged'}, "
        f"{fit['samples'] / fit['n']:.0f} noises per target, {fit['seconds']:.1f} s, χ² = {measured(fit)}"
        for steps, fit in fits.items()
    ]
    lines.append(f"{sum(record['seconds'].values()):.0f} s in all")
    return "\n".join(lines)


def cards(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures at the top of the page: value, what it is, beside what."""
    count = middle(record)
    edm, aot = (pick(record, "heun", network=name, evaluations=count)[0] for name in ("independent", "aot"))
    near, far = record["settings"]["last_steps"][0], record["settings"]["last_steps"][-1]
    few = 2 * record["settings"]["heun_steps"][0] - 1
    late, early = (
        pick(record, "dpm_ot", network="independent", last_steps=m, evaluations=few)[0] for m in (near, far)
    )
    fit = record["fits"][str(far)]
    return [
        (
            f"{edm['frechet_features']:.1f} → {aot['frechet_features']:.1f}",
            f"Fréchet distance at {count} evaluations: EDM, then EDM trained on AOT pairs",
            f"{record['real']['frechet_features']:.1f} for real images",
        ),
        (
            f"{early['frechet_features']:.1f}",
            f"Fréchet distance of DPM-OT at {few} evaluations, M = {far}",
            f"{early['share_closer']:.0%} of its samples are close to stored images; "
            f"{late['share_closer']:.0%} at M = {near}",
        ),
        (
            f"χ² = {fit['marginal_error']['chi_square']:.3f}",
            "error of the map's cell masses, squared and relative",
            f"± {fit['marginal_error']['stderr']:.3f}, after {fit['samples'] / fit['n']:.0f} noises per target, "
            f"{fit['seconds']:.1f} s",
        ),
        (
            f"{sum(record['seconds'].values()):.0f} s",
            "for everything on this page",
            f"one thread, {record['data']['train']} training images",
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
        f"{data['train'] + data['held_out']} {data['name']}: {data['train']} to train on, {data['held_out']} held "
        f"out. Two copies of one small network were trained for {settings['train_steps']} steps of "
        f"{settings['batch']} images; one saw independent noise (EDM), the other noise that was re-ordered within "
        f"pools of {settings['pool']} to lie closest to its images (AOT).",
        f"Features come from our own classifier, a {data['classifier']}. Distances between such features are not "
        f"FID and compare with no published figure.",
    ]
    if settings["quick"]:
        words.append(
            "This was a quick run: every stage ran once at a small size, and the figures mean little."
        )
    return words


def fitting(record: dict[str, Any]) -> list[str]:
    """The potentials: what χ² is, what was reached, what the floor says."""
    words = [
        "A potential gives every target a cell of noise that is sent to it. χ² compares the masses of the cells "
        "with those wanted, 1/n each; it is 0 in mean at the optimum, and its square root is the relative error of "
        "a mass. The dashed line n/N is what counting winners among N noises can reach."
    ]
    for steps, fit in record["fits"].items():
        state = "converged" if fit["converged"] else "did not converge"
        again = fit["marginal_error"]
        words.append(
            f"M = {steps}: the fit {state} after {fit['samples'] / fit['n']:.0f} noises per target in "
            f"{fit['seconds']:.1f} s. On {again['samples']} noises that it did not use, χ² is {measured(fit)}, "
            f"{again['chi_square'] * fit['samples'] / fit['n']:.2f} times the floor. The map moves noise by "
            f"{fit['cost']:.1f} in mean square; targets drawn at random would cost {fit['cost_unpaired']:.1f}."
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
        order = "lower" if aot["frechet_features"] < edm["frechet_features"] else "higher"
        words.append(
            f"Plain Heun at {count} evaluations: {edm['frechet_features']:.2f} with EDM, {aot['frechet_features']:.2f} "
            f"with AOT ({order}). Mode mixture: {edm['mode_mixture']:.1%} and {aot['mode_mixture']:.1%}, against "
            f"{record['real']['held_out_mode_mixture']:.1%} for held-out images."
        )
    return [*words, lowest(record), mismatch(record)]


def lowest(record: dict[str, Any]) -> str:
    found = best(pick(record, "dpm_ot"))
    return (
        f"The lowest distance of DPM-OT is {found['frechet_features']:.2f}, at M = {found['last_steps']} and "
        f"{found['evaluations']} evaluations with {NETWORKS[found['network']]}; {found['share_closer']:.0%} of those "
        f"samples lie close to a stored image. Read quality together with memorisation, below."
    )


def mismatch(record: dict[str, Any]) -> str:
    """DPM-OT starts from independently noised images, which an AOT network was not trained on."""
    far = record["settings"]["last_steps"][-1]
    edm, aot = (
        pick(record, "dpm_ot", last_steps=far, network=name)[-1]["frechet_features"] for name in NETWORKS
    )
    return (
        f"DPM-OT's latents are images with independent noise. EDM was trained on such, AOT on noise paired with its "
        f"image. At M = {far} DPM-OT ends at {edm:.2f} with EDM and at {aot:.2f} with AOT; that mismatch is a likely "
        f"reason, which was not tested apart."
    )


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
        row = pick(record, "dpm_ot", last_steps=steps, network="independent")[-1]
        words.append(
            f"DPM-OT at M = {steps} starts from training images with noise of σ = "
            f"{record['fits'][str(steps)]['sigma']:.2g} (their own spread is {record['data']['spread']:.2g}). Its "
            f"samples lie {row['nearest_ratio']:.2f} times as far from the nearest training image as held-out digits "
            f"do, and {row['share_closer']:.0%} of them are closer than 95% of held-out digits (5% expected without "
            f"memorisation): {verdict(row)}."
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
        "All masses are equal, so a converged map draws every training image equally often: it does not decide "
        "which image is drawn, only from which noise. That is what couplings and interpolation need; it adds no "
        "quality by itself.",
        f"Fréchet distances from {settings['samples']} samples and {data['held_out']} references are biased upwards. "
        f"The floor here is {record['real']['frechet_features']:.2f}, the distance of the training images to the "
        f"held-out ones; a method that copies the training set reaches it.",
        f"The classifier was trained on the training images and is surer of them: their mode mixture is "
        f"{record['real']['mode_mixture']:.1%}, that of held-out images {record['real']['held_out_mode_mixture']:.1%}. "
        f"Samplers that return stored images look good by it for that reason.",
        f"Both networks share one schedule, σ from {settings['sigma_max']:g} to {settings['sigma_min']:g} with ρ = 7, "
        f"chosen for this data and searched for neither. With schedules tuned for each, the gap at few evaluations "
        f"can be smaller.",
        f"One seed, one small network, 8 x 8 images: differences of a few percent are noise. The classifier is right "
        f"on {data['classifier_accuracy']:.0%} of images that it was not trained on.",
    ]
