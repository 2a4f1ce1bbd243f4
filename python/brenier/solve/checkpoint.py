"""A fit on disk: written whole, digested, the last two kept; resuming continues with the same bits.

Every random number of a fit is a function of the seed and a counter, so the state, the checks made and the
settings are all there is to save.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save as serialise

from brenier.data.atomic import write_bytes
from brenier.errors import FileError, InputError
from brenier.solve.check import Check
from brenier.solve.conditional import ConditionalSampler
from brenier.solve.control import Regression
from brenier.solve.potential_file import digest_of, fingerprint, read_tensors
from brenier.solve.result import Record
from brenier.solve.state import Monitor, State
from brenier.solve.streamed import StreamedTargets

if TYPE_CHECKING:
    from brenier.solve.solver import Run

FORMAT = "brenier.fit.4"
VECTORS = ("heights", "average", "curvature")
SECONDS = 60.0  # between two checkpoints
DIRECTIONS = "structured 1"  # of another kind, a fit would go on with other bits
WIDEST = "widest subspace (max_memory)"  # said of streamed targets only
UPPER = "upper level"  # of fits of two levels only


def identity(run: Run, targets_are: str = "") -> dict[str, Any]:
    """What must agree between a checkpoint and the run that resumes it; targets_are: in place of the fingerprint."""
    masses = fingerprint(torch.from_numpy(run.problem.masses)[:, None])
    targets = run.problem.targets
    own: dict[str, Any] = {}
    if isinstance(targets, StreamedTargets):
        own = {WIDEST: targets.widest, "directions of streamed fits": DIRECTIONS}
    if isinstance(run.sampler, ConditionalSampler):
        own = {UPPER: run.sampler.upper_level[:32]}
    return {
        **own,
        "targets": (targets_are or run.problem.fingerprint)[:32],
        "masses": masses[:32],
        "seed": run.settings.seed,
        "tol": run.settings.tol,
    }


def write(path: Path, run: Run) -> None:
    """Save the run; what the path held before stays beside it as .previous."""
    # copies: the average may be the heights themselves, and safetensors refuses shared memory
    tensors = {name: torch.tensor(getattr(run.state, name)) for name in VECTORS}
    columns = [dataclasses.astuple(record) for record in run.history]
    tensors["history"] = torch.tensor(columns, dtype=torch.float64).reshape(-1, 4)
    text = json.dumps(plain(run))
    content = serialise(tensors, {"format": FORMAT, "digest": digest_of(tensors, text), "run": text})
    if path.exists() and undamaged(path):
        with contextlib.suppress(FileNotFoundError):  # another rank, writing its own, was faster
            os.replace(path, previous(path))
    write_bytes(path, content)


def plain(run: Run) -> dict[str, Any]:
    state = dataclasses.asdict(run.state)
    return {
        "identity": identity(run),
        "state": {name: value for name, value in state.items() if name not in VECTORS},
        "checks": [dataclasses.asdict(check) for check in run.checks],
        "next_check": run.next_check,
        "start": run.start.kind,
        "seconds": run.seconds,
    }


def previous(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


def restore(path: Path, run: Run) -> bool:
    """Put the run where its checkpoint left it; False where there is none.

    Falls back to the previous checkpoint if the last is damaged. Raises FileError if neither can be read,
    InputError for a checkpoint of other targets, masses, seed, tolerance or upper level.
    """
    candidates = [file for file in (path, previous(path)) if file.exists()]
    failure: FileError | None = None
    for file in candidates:
        try:
            tensors, saved = read(file)
        except FileError as error:
            failure = error
            continue
        require_same(saved["identity"], identity(run))
        resume(run, tensors, saved)
        return True
    if failure is not None:
        raise failure
    return False


def undamaged(path: Path) -> bool:
    """Whether a file may take the place of the previous checkpoint."""
    try:
        read(path)
    except FileError:
        return False
    return True


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors, metadata = read_tensors(path)
    digest = digest_of(tensors, metadata.get("run", ""))
    if metadata.get("format") != FORMAT or metadata.get("digest") != digest:
        raise FileError(str(path), expected=f"an undamaged checkpoint ({FORMAT})", got="other content")
    return tensors, json.loads(metadata["run"])


def require_same(saved: dict[str, Any], now: dict[str, Any]) -> None:
    require_same_place(WIDEST in saved, WIDEST in now)
    parts = "parts, " if UPPER in now else ""
    for name, value in now.items():
        if saved.get(name) != value:
            raise InputError(
                "checkpoint",
                expected=f"{name} = {value} as in this fit",
                got=f"{saved.get(name)}",
                remedy=f"resume with the same targets, weights, {parts}seed and tol, or use another checkpoint file",
            )


def require_same_place(streamed_then: bool, streamed_now: bool) -> None:
    """Targets in memory and streamed ones have other bits; which they are depends on memory, not on the targets."""
    if streamed_then != streamed_now:
        kinds = {True: "streamed targets", False: "targets in memory"}
        size = "one so small that they are streamed again" if streamed_then else "a larger one"
        raise InputError(
            "checkpoint",
            expected=f"{kinds[streamed_now]}, as in this fit",
            got=f"{kinds[streamed_then]}, perhaps the same ones",
            remedy=f"resume with the max_memory of the fit that wrote it, or {size}; or use another checkpoint file",
        )


def resume(run: Run, tensors: dict[str, torch.Tensor], saved: dict[str, Any]) -> None:
    vectors: dict[str, Any] = {name: tensors[name].numpy() for name in VECTORS}
    scalars: dict[str, Any] = dict(saved["state"])
    monitor = Monitor(**{name: tuple(value) for name, value in scalars.pop("monitor").items()})
    control = Regression(**{name: tuple(value) for name, value in scalars.pop("control").items()})
    run.state = State(monitor=monitor, control=control, **vectors, **scalars)
    run.checks = [Check(**check) for check in saved["checks"]]
    run.next_check = saved["next_check"]
    run.start = dataclasses.replace(run.start, kind=saved["start"])
    run.seconds_before = saved["seconds"]
    rows = np.asarray(tensors["history"])
    run.history = [Record(int(samples), error, epsilon, s) for samples, error, epsilon, s in rows.tolist()]
