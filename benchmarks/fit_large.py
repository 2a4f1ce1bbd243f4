"""A fit larger than memory: images generated on disk, fitted with noise on the fly, killed and resumed.

    python benchmarks/fit_large.py --folder /tmp/large --save          # 70,000 × 196,608 uint8, 13.8 GB
    python benchmarks/fit_large.py --folder /tmp/large --save --skip-unbroken    # only killed and resumed
    python benchmarks/fit_large.py --folder /tmp/large --scale 0.05 --max-memory 2GiB    # 3,500 × 49,152

Runs of ``brenier fit`` in processes of their own: one unbroken, one killed in the middle (SIGKILL, not before its
first checkpoint) and resumed. Printed for each: time, peak resident memory, χ², and of the killed one the steps and
draws in the checkpoint that it left; and whether both have the same heights. --skip-unbroken compares with the digest
in benchmarks/results/fit_large.json, which an unbroken run of the same settings wrote.
--scale s: s · 70,000 targets; below 0.1 the images are of 128 × 128, below 0.005 of 64 × 64 pixels.
--save writes that file and the table of docs/scaling.md. The fits' progress lines go to FOLDER/*.log.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from brenier.errors import FileError
from brenier.report.record import new_record, write_record
from brenier.solve import checkpoint
from large_images import generate
from marked_pages import replace_part
from safetensors.numpy import load_file
from tabulate import tabulate

TARGETS = 70_000
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "fit_large.json"
PAGE = ROOT / "docs" / "scaling.md"


@dataclass(frozen=True)
class Ended:
    """One process: how it ended, how long it took, its largest resident set, what it printed."""

    code: int
    seconds: float
    peak: int
    said: str


def shape_of(scale: float) -> tuple[int, int, int, int]:
    side = 256 if scale >= 0.1 else 128 if scale >= 0.005 else 64
    return max(8, round(scale * TARGETS)), 3, side, side


def command(data: Path, out: Path, given: argparse.Namespace) -> list[str]:
    options = ["--sigma", str(given.sigma), "--tol", str(given.tol), "--max-memory", given.max_memory]
    options += ["--checkpoint", f"{out}.state", "--resume", "--value-range", "-1..1", "--json"]
    program = [sys.executable, "-m", "brenier.cli.main"]
    return [*program, "fit", str(data), "--out", f"{out}.safetensors", *options]


def run(line: list[str], log: Path, kill_after: float | None = None) -> Ended:
    """The process; killed after so many seconds, as soon as it has written a checkpoint, if it is still at work."""
    began = time.perf_counter()
    with log.open("a") as progress, log.with_suffix(".out").open("w+") as said:
        process = subprocess.Popen(line, stdout=said, stderr=progress, text=True)
        if kill_after is not None:
            time.sleep(kill_after)
            while not log.with_suffix(".state").exists() and not has_ended(process.pid):
                time.sleep(0.1)
            os.kill(process.pid, signal.SIGKILL)  # not send_signal, which would wait for one that has ended
        _, status, usage = os.wait4(process.pid, 0)
        said.seek(0)
        text = said.read()
    return Ended(os.waitstatus_to_exitcode(status), time.perf_counter() - began, usage.ru_maxrss * 1024, text)


def has_ended(process: int) -> bool:
    """Whether it has, leaving its status to be waited for."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def row_of(name: str, ended: Ended) -> dict[str, Any]:
    record = json.loads(ended.said) if ended.said else {}
    return {
        "run": name,
        "exit": ended.code,
        "seconds": round(ended.seconds, 1),
        "peak MiB": round(ended.peak / 2**20),
        "χ²": record.get("error"),
        "standard error": record.get("error_stderr"),
        "draws": record.get("samples"),
        "traffic": record.get("traffic"),
        "summary": record.get("summary"),
    }


def digest(potential: Path) -> str:
    """SHA-256 of the heights, or nothing where the fit wrote none."""
    if not potential.exists():
        return ""
    return hashlib.sha256(load_file(potential)["heights"].tobytes()).hexdigest()


def killed_and_resumed(data: Path, given: argparse.Namespace, after: float) -> list[dict[str, Any]]:
    out = given.folder / "broken"
    killed = row_of("killed", run(command(data, out, given), out.with_suffix(".log"), after))
    state = left_in(Path(f"{out}.state"))
    killed |= {"checkpoint at the kill": bool(state), **state}
    shown(killed)
    return [killed, shown(row_of("resumed", run(command(data, out, given), out.with_suffix(".log"))))]


def left_in(state: Path) -> dict[str, Any]:
    """How far the checkpoint is that a killed fit has left, which is where it will be resumed."""
    for file in (state, checkpoint.previous(state)):  # a kill may come between its renaming and the new one
        with contextlib.suppress(FileError):
            found = checkpoint.read(file)[1]["state"]
            return {"steps at the kill": found["step"], "draws at the kill": found["samples"]}
    return {}


def shown(row: dict[str, Any]) -> dict[str, Any]:
    print({name: value for name, value in row.items() if name != "summary"}, flush=True)
    return row


def earlier(settings: dict[str, Any]) -> dict[str, Any]:
    """The saved record of the same settings, or nothing."""
    record = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    same = ("shape", "sigma", "tol")
    return record if all(record.get("settings", {}).get(name) == settings[name] for name in same) else {}


def measure(data: Path, given: argparse.Namespace, record: dict[str, Any]) -> None:
    """Fills in rows and the verdict on the bits."""
    before, whole = earlier(record["settings"]), given.folder / "whole"
    rows = [row for row in before.get("rows", []) if row["run"] == "unbroken"]
    record["heights"] = before.get("heights", "")
    if not given.skip_unbroken:
        rows = [shown(row_of("unbroken", run(command(data, whole, given), whole.with_suffix(".log"))))]
        record["heights"] = digest(whole.with_suffix(".safetensors"))
    middle = given.kill_after or (rows[0]["seconds"] / 2 if rows else 300.0)
    rows += killed_and_resumed(data, given, middle)
    resumed = digest(given.folder / "broken.safetensors")
    same = resumed == record["heights"] if record["heights"] and resumed else "nothing to compare with"
    record |= {"rows": rows, "same bits": same, "heights": record["heights"] or resumed}


def page(record: dict[str, Any]) -> str:
    """The measured part of docs/scaling.md."""
    settings, columns = record["settings"], ("run", "seconds", "peak MiB", "χ²", "draws", "draws at the kill")
    rows = [[shorter(row.get(name)) for name in columns] for row in record["rows"]]
    head = (
        f"`{settings['command']}`, {record['date'][:10]}, {record['machine']['processor']}, "
        f"{record['machine']['cores']} cores: {settings['shape'][0]:,} × {np.prod(settings['shape'][1:]):,} uint8 "
        f"({settings['bytes'] / 1e9:.1f} GB on disk), σ = {settings['sigma']}, tol = {settings['tol']}, "
        f"max_memory = {settings['max_memory']}; load average before: {settings['load']}.\n\n"
    )
    table = tabulate(rows, headers=columns, tablefmt="github", disable_numparse=True)
    last = record["rows"][-1]["summary"] or "No result."
    bits = {True: "the same", False: "NOT the same"}.get(record["same bits"], record["same bits"])
    verdict = f"Bits of the resumed run's heights against the unbroken run's: {bits}. Resumed run:"
    left = "*Draws at the kill*: those in the checkpoint that was left, from which the resumed run went on."
    return f"{head}{table}\n\n{left} {verdict}\n\n```\n{last}\n```"


def shorter(value: Any) -> str:
    if value is None:
        return ""
    return (
        f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def generated_apart(path: Path, shape: tuple[int, ...]) -> None:
    """In a process of its own: the pages that it maps would count for the peak of every process started after."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(generate, path, shape).result()


def arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--folder", type=Path, required=True, help="where the data and potentials go")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--sigma", type=float, default=0.3)
    parser.add_argument("--tol", type=float, default=0.05)
    parser.add_argument("--max-memory", default="6GiB")
    parser.add_argument("--skip-unbroken", action="store_true", help="only killed and resumed")
    parser.add_argument("--kill-after", type=float, help="seconds [default: half of the unbroken run]")
    parser.add_argument("--save", action="store_true")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    given.folder.mkdir(parents=True, exist_ok=True)
    shape = shape_of(given.scale)
    data = given.folder / f"images_{'x'.join(map(str, shape))}.npy"
    if not data.exists():
        began = time.perf_counter()
        partial = data.with_suffix(".partial")
        generated_apart(partial, shape)
        partial.rename(data)
        print(f"generated in {time.perf_counter() - began:.0f} s")
    print(
        f"{shape[0]:,} × {np.prod(shape[1:]):,} uint8, {data.stat().st_size / 2**20:,.0f} MiB on disk",
        flush=True,
    )
    for stale in [*given.folder.glob("whole.*"), *given.folder.glob("broken.*")]:
        stale.unlink()
    line = " ".join(["python benchmarks/fit_large.py", *sys.argv[1:]])
    settings = {"command": line, "shape": list(shape), "bytes": data.stat().st_size, "sigma": given.sigma}
    settings["load"] = round(os.getloadavg()[0], 1)
    record = new_record("fit_large", settings | {"tol": given.tol, "max_memory": given.max_memory})
    measure(data, given, record)
    print(page(record))
    if given.save:
        write_record(RESULTS, record)
        replace_part(PAGE, "fit_large", page(record))


if __name__ == "__main__":
    main()
