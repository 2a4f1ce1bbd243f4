"""E4: the papers' recipes on stand-ins of the same shape, to prove that every line of them executes.

python examples/experiments/e4_recipes.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import lab
from tqdm import tqdm

EXAMPLES = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(EXAMPLES))
import recipe  # noqa: E402

RECIPES = ("cifar10_aot", "cifar10_aot_conditional", "cifar10_dpm_ot", "celeba_dpm_ot", "ffhq_dpm_ot")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run every recipe on crops of the photographs in its own shape, at a size where figures mean nothing."""
    rows = []
    for name in tqdm(RECIPES[:1] if options.quick else RECIPES, "E4"):
        with tempfile.TemporaryDirectory() as folder:
            chosen = argparse.Namespace(
                recipe=EXAMPLES / "recipes" / f"{name}.toml", images=None, held_out=None, labels=None,
                checkpoint=None, network=None, inception=None, out=Path(folder), device=None, seed=0, stand_in=True,
            )  # fmt: skip
            body = tomllib.loads(chosen.recipe.read_text())
            record = recipe.run_recipe(recipe.reduced(body), chosen)
        kept = {key: record[key] for key in ("evaluations", "seconds")}
        rows.append(
            {"name": name, "title": body["title"], "shape": body["image_shape"], "compare": body["compare"]}
            | kept
        )
    return {"rows": rows, "pictures": {}}


def section(record: dict[str, Any]) -> str:
    """The part of docs/experiments.md about the recipes."""
    rows = [
        [f"[`{row['name']}.toml`](../examples/recipes/{row['name']}.toml)", row["title"],
         " x ".join(map(str, row["shape"])), str(row["evaluations"]), row["compare"]]
        for row in record["rows"]
    ]  # fmt: skip
    heads = ["recipe", "what", "shape", "evaluations", "to be compared with"]
    return f"""## E4. Recipes for CIFAR-10, CelebA and FFHQ

`python examples/recipe.py examples/recipes/cifar10_aot.toml --images YOUR.npy --inception WEIGHTS --out runs/aot`

The papers' settings as configuration files, run on your own copy of the data; each prints the published figure that it
is to be compared with, and where it differs from the paper. No such run was made here: below, each recipe ran on
{recipe.SMALL["images"]} crops of the two photographs in the same shape, with a tiny network
(`python examples/experiments/e4_recipes.py`). That proves that every line executes, and nothing else; DPM-OT recipes
then run 2 levels instead of 10, which is the number of evaluations shown.

{lab.table(heads, rows)}"""


if __name__ == "__main__":
    lab.command("e4_recipes", run)
