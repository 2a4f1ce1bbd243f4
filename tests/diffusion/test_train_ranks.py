"""Training under torchrun: two ranks are one process that accumulates two micro-batches."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from brenier import Potential
from brenier.diffusion import MLP, TrainResult, train_edm

IMAGES = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
MAP = Potential.of(IMAGES, torch.zeros(40))
OPTIONS = {"batch": 8, "seed": 4, "progress": False}
SCRIPT = """
import sys, torch, torch.distributed as dist
sys.path.insert(0, {here!r})
from test_train_ranks import IMAGES, MAP, OPTIONS
from brenier.diffusion import MLP, train_edm
dist.init_process_group("gloo")
folder, rank = sys.argv[1], dist.get_rank()
stop = lambda step, loss: step == 2
options = OPTIONS | {{"steps": 5, "checkpoint": f"{{folder}}/run", "checkpoint_every": 2}}
train_edm(MLP(6, 16, 1, seed=2), IMAGES, callback=stop, **options)
dist.barrier()
result = train_edm(MLP(6, 16, 1, seed=2), IMAGES, resume=True, **options)
torch.save([result.losses, *result.denoiser.state_dict().values()], f"{{folder}}/{{rank}}")
paired = train_edm(MLP(6, 16, 1, seed=2), IMAGES, coupling="aot", pool=16, steps=2, **OPTIONS)
torch.save([paired.losses], f"{{folder}}/aot{{rank}}")
mapped = train_edm(MLP(6, 16, 1, seed=2), IMAGES, coupling="semidiscrete", potential=MAP, steps=3, **OPTIONS)
torch.save([mapped.losses, *mapped.denoiser.state_dict().values()], f"{{folder}}/map{{rank}}")
dist.destroy_process_group()
"""


def test_two_ranks_stopped_and_resumed_equal_one_process_bit_for_bit(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*launch, str(script), str(tmp_path)], env=environment, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = {name: torch.load(tmp_path / name, weights_only=True) for name in ("0", "1", "map0", "map1")}
    alone = train_edm(MLP(6, 16, 1, seed=2), IMAGES, steps=5, accumulate=2, **OPTIONS)
    same(found["0"], found["1"], alone)
    mapped = {"coupling": "semidiscrete", "potential": MAP, "accumulate": 2}
    same(found["map0"], found["map1"], train_edm(MLP(6, 16, 1, seed=2), IMAGES, steps=3, **mapped, **OPTIONS))
    aot, other = (torch.load(tmp_path / name, weights_only=True) for name in ("aot0", "aot1"))
    assert torch.equal(aot[0], other[0])


def same(first: list[torch.Tensor], second: list[torch.Tensor], alone: TrainResult) -> None:
    """Both ranks hold the same bits, and but for the order of two sums those of one process."""
    expected = [alone.losses, *alone.denoiser.state_dict().values()]
    for mine, theirs, wanted in zip(first, second, expected, strict=True):
        assert torch.equal(mine, theirs)
        # halving and adding two gradients rounds alike in either order
        torch.testing.assert_close(mine, wanted, rtol=1e-6, atol=1e-7)
