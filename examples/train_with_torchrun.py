"""Train on several processes with checkpoints; kill it and start it again, and it ends with the same weights.

torchrun --nproc-per-node 2 examples/train_with_torchrun.py
"""

import os

import torch
import torch.distributed as dist
from brenier.data import load_digits
from brenier.diffusion import MLP, train_edm

dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
device = f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu"
result = train_edm(
    MLP(64, 128, 2),
    load_digits().images,
    coupling="aot",
    steps=400,
    batch=64,  # of each rank
    device=device,
    checkpoint="training.safetensors",
    checkpoint_every=100,
    resume=True,
)
if dist.get_rank() == 0:
    print(result.summary())
dist.destroy_process_group()
