"""A training that was killed and resumed ends with the bits of an unbroken one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from brenier.diffusion import MLP, TrainResult, train_edm
from brenier.errors import FileError, InputError
from safetensors import safe_open
from torch import Tensor, nn

IMAGES = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


class Dropped(nn.Module):
    """A network with dropout and a buffer that changes: more to restore than weights."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = MLP(6, 16, 1, seed=2)
        self.dropout = nn.Dropout(0.3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        return self.inner(self.dropout(x), c_noise)


def train(path: Path | None, **changes: object) -> TrainResult:
    options = {"steps": 12, "batch": 8, "pool": 16, "progress": False, "seed": 4, "coupling": "aot"}
    options |= {"checkpoint": path, "checkpoint_every": 4} | changes
    return train_edm(Dropped(), IMAGES, **options)


def equal(first: TrainResult, second: TrainResult) -> bool:
    states = [result.denoiser.state_dict() for result in (first, second)]
    same = all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    return same and torch.equal(first.losses, second.losses)


@pytest.mark.parametrize("coupling", ["independent", "aot"])
@pytest.mark.parametrize("stop", [1, 3, 4, 7, 11])
def test_a_stopped_training_resumes_with_the_same_bits(tmp_path: Path, coupling: str, stop: int) -> None:
    path = tmp_path / "run.safetensors"
    unbroken = train(None, coupling=coupling)
    train(path, coupling=coupling, callback=lambda step, _: step + 1 == stop)
    assert equal(train(path, coupling=coupling, resume=True), unbroken)


def test_resuming_without_a_file_starts_anew_and_a_finished_run_is_returned(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    first = train(path, resume=True)
    steps = []
    again = train(path, resume=True, callback=lambda step, _: steps.append(step))
    assert equal(first, again)
    assert steps == []


KILLED = """
import sys, time, torch
sys.path.insert(0, {folder!r})
from test_train_resume import train
from pathlib import Path
train(Path(sys.argv[1]), checkpoint_every=1, callback=lambda step, loss: time.sleep(0.05))
"""


def test_kill_minus_9_leaves_a_file_that_resumes_with_the_same_bits(tmp_path: Path) -> None:
    path, unbroken = tmp_path / "run.safetensors", train(None, checkpoint_every=1)
    script = KILLED.format(folder=str(Path(__file__).parent))
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 120
    while not path.with_name(path.name + ".previous").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    steps = []
    resumed = train(path, checkpoint_every=1, resume=True, callback=lambda step, _: steps.append(step))
    assert 0 < len(steps) < 12
    assert equal(resumed, unbroken)


def test_a_damaged_file_gives_way_to_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    unbroken = train(None)
    train(path, callback=lambda step, _: step == 9)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    steps = []
    assert equal(train(path, resume=True, callback=lambda step, _: steps.append(step)), unbroken)
    assert steps[0] == 8
    for file in (path, path.with_name(path.name + ".previous")):
        file.write_bytes(b"nothing")
    with pytest.raises(FileError):
        train(path, resume=True)


@pytest.mark.parametrize(
    "changes", [{"seed": 5}, {"lr": 1e-2}, {"coupling": "independent"}, {"steps": 13}, {"accumulate": 2}]
)
def test_another_run_is_not_resumed(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "run.safetensors"
    train(path, callback=lambda step, _: step == 5)
    with pytest.raises(InputError, match="checkpoint"):
        train(path, resume=True, **changes)


def test_the_file_holds_no_code_and_names_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    train(path, steps=2)
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["format"] == "brenier.training.1"


def test_unusable_checkpoint_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="resume"):
        train(None, resume=True)
    with pytest.raises(InputError, match="checkpoint_every"):
        train(tmp_path / "a", checkpoint_every=0)
    with pytest.raises(FileError):
        train(tmp_path / "missing" / "a")
