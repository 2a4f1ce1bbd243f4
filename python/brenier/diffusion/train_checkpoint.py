"""A training on disk: written whole, digested, the last two kept; resuming continues with the same bits."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialise
from torch import Tensor

from brenier.data.atomic import write_bytes
from brenier.diffusion.training import Training
from brenier.engine.checks import as_tensor
from brenier.errors import FileError, InputError
from brenier.solve.checkpoint import previous, require_same
from brenier.solve.fingerprint import fingerprint
from brenier.solve.potential_file import digest_of, read_tensors
from brenier.transport.coupling import PairSource
from brenier.types import Array

FORMAT = "brenier.training.1"


class Checkpoint:
    """The file of one training; what the path held before stays beside it as .previous."""

    def __init__(
        self, path: str | os.PathLike[str], data: Mapping[str, Array], training: Training, pairs: PairSource
    ):
        self.path, self.training, self.pairs = Path(path), training, pairs
        if "counts" in pairs.moving and training.ranks.world > 1 and "counts" in pairs.state_dict():
            raise InputError("checkpoint", expected="none with balance on several ranks", got=str(path))
        heights = getattr(getattr(pairs, "potential", None), "heights", None)
        seen = dict(data) if heights is None else {**data, "heights": heights}
        self.identity = {
            "data": {name: fingerprint(as_tensor(value, name))[:32] for name, value in seen.items()},
            "network": {name: list(value.shape) for name, value in training.denoiser.state_dict().items()},
            "pairs": {name: value for name, value in pairs.state_dict().items() if name not in pairs.moving},
            "settings": dataclasses.asdict(training.settings),
            "world": training.ranks.world,
        }

    def write(self, seconds: float) -> None:
        """Save the training; by rank 0 alone, since all ranks hold the same."""
        if self.training.ranks.rank:
            return
        tensors, position = tensors_of(self.training), self.pairs.state_dict()
        moved = {name: value for name, value in position.items() if isinstance(value, Tensor)}
        tensors |= {f"pairs.{name}": value.cpu().contiguous() for name, value in moved.items()}
        state = {
            "identity": self.identity,
            "done": self.training.done,
            "pairs": {name: value for name, value in position.items() if name not in moved},
            "pairing_seconds": self.pairs.seconds,
            "seconds": seconds,
        }
        text = json.dumps(state)
        content = serialise(tensors, {"format": FORMAT, "digest": digest_of(tensors, text), "run": text})
        if self.path.exists() and undamaged(self.path):
            os.replace(self.path, previous(self.path))
        write_bytes(self.path, content)

    def restore(self) -> float:
        """Put training and pairs where the file left them; returns the seconds spent, 0 where there is no file.

        Falls back to the previous file if the last is damaged. Raises FileError if neither can be read, InputError
        for a checkpoint of another network, data, coupling or settings.
        """
        failure: FileError | None = None
        for file in (self.path, previous(self.path)):
            try:
                found = read(file) if file.exists() else None
            except FileError as error:
                failure = error
                continue
            if found is not None:
                return self._resume(*found)
        if failure is not None:
            raise failure
        return 0.0

    def _resume(self, tensors: dict[str, Tensor], saved: dict[str, Any]) -> float:
        require_same(saved["identity"], json.loads(json.dumps(self.identity)))
        training = self.training
        training.denoiser.load_state_dict(under(tensors, "weights."))
        training.average.load_state_dict(under(tensors, "average."))
        training.optimizer.load_state_dict(optimizer_state(training, under(tensors, "adam.")))
        training.losses, training.done = tensors["losses"].tolist(), saved["done"]
        self.pairs.load_state_dict(saved["pairs"] | under(tensors, "pairs."))
        self.pairs.seconds = saved["pairing_seconds"]
        return float(saved["seconds"])


def tensors_of(training: Training) -> dict[str, Tensor]:
    """Weights, average, moments and losses; copies, since tied weights share memory and the file may not."""
    found = {f"weights.{name}": value for name, value in training.denoiser.state_dict().items()}
    found |= {f"average.{name}": value for name, value in training.average.state_dict().items()}
    for number, moments in training.optimizer.state_dict()["state"].items():
        found |= {f"adam.{number}.{name}": value for name, value in moments.items()}
    found["losses"] = torch.tensor(training.losses, dtype=torch.float64)
    return {name: value.detach().cpu().clone().contiguous() for name, value in found.items()}


def optimizer_state(training: Training, moments: dict[str, Tensor]) -> dict[str, Any]:
    """The optimiser's own form of moments named number.name."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in moments.items():
        number, moment = name.split(".", 1)
        state.setdefault(int(number), {})[moment] = value
    return training.optimizer.state_dict() | {"state": state}


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def undamaged(path: Path) -> bool:
    try:
        read(path)
    except FileError:
        return False
    return True


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state; raises FileError for anything but a whole checkpoint of a training."""
    tensors, metadata = read_tensors(path)
    digest = digest_of(tensors, metadata.get("run", ""))
    if metadata.get("format") != FORMAT or metadata.get("digest") != digest:
        raise FileError(str(path), expected=f"an undamaged checkpoint ({FORMAT})", got="other content")
    return tensors, json.loads(metadata["run"])
