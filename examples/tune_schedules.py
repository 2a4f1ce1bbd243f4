"""Find the best ρ for every number of evaluations of trained networks, and plot quality against evaluations.

brenier train digits.npy --out edm.safetensors
brenier train digits.npy --coupling aot --out aot.safetensors
python examples/tune_schedules.py digits.npy edm.safetensors aot.safetensors --sigma-max 20 --out curves.png
"""

import argparse
from pathlib import Path

import torch
from brenier.data import load_array
from brenier.data.atomic import write_bytes
from brenier.data.noise import Stream, normal
from brenier.diffusion import ScheduleSearch, search_schedule
from brenier.diffusion.search import RHOS
from brenier.diffusion.store import load_network
from brenier.metrics import frechet_distance
from brenier.report.plots import COLOURS, Chart, Line, png
from tabulate import tabulate

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument(
    "images", type=Path, help="the reference: training images, so that held-out ones stay unseen"
)
parser.add_argument("networks", type=Path, nargs="+", help="files of brenier train")
parser.add_argument(
    "--steps", type=int, nargs="+", default=[3, 4, 5, 6, 8, 10, 14, 18], help="Heun steps to try"
)
parser.add_argument("--rhos", type=float, nargs="+", default=list(RHOS))
parser.add_argument("--sigma-min", type=float, default=0.002)
parser.add_argument("--sigma-max", type=float, default=80.0)
parser.add_argument("--samples", type=int, default=1000)
parser.add_argument("--seed", type=int, default=404, help="of the noise; report on another")
parser.add_argument(
    "--slack", type=float, default=0.05, help="how much worse the recommended schedule may be"
)
parser.add_argument("--out", type=Path, default=Path("schedules.png"))


def search(path: Path, options: argparse.Namespace, reference: torch.Tensor) -> ScheduleSearch:
    """All trials of one network, in Fréchet distances of pixels."""
    noise = torch.as_tensor(
        normal(options.seed, 0, options.samples, reference.shape[1], stream=Stream.SAMPLE)
    )
    return search_schedule(
        load_network(path).denoiser, noise, lambda samples: frechet_distance(reference, samples),
        steps=options.steps, rhos=options.rhos, sigma_min=options.sigma_min, sigma_max=options.sigma_max,
    )  # fmt: skip


def line(path: Path, found: ScheduleSearch, colour: str) -> Line:
    curve = found.curve()
    return Line(path.stem, [t.evaluations for t in curve], [t.quality for t in curve], colour, "-", "o")


def main() -> None:
    options = parser.parse_args()
    reference = load_array(options.images).array.float()
    lines = []
    for path, colour in zip(options.networks, COLOURS, strict=False):
        found = search(path, options, reference)
        print(path)
        body = [[trial.evaluations, trial.steps, trial.rho, trial.quality] for trial in found.curve()]
        print(tabulate(body, ["evaluations", "steps", "ρ", "Fréchet distance, pixels"], floatfmt=".4g"))
        best = found.best(slack=options.slack)
        print(f"cheapest within {options.slack:.0%}: {best.steps} steps, ρ = {best.rho:g}\n")
        lines.append(line(path, found, colour))
    label = "Fréchet distance, pixels"
    write_bytes(options.out, png(Chart(lines, "evaluations, ρ tuned for each", label, y_log=True)))


if __name__ == "__main__":
    main()
