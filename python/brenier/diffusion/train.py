"""EDM training with one switch for how noise meets data."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from brenier.data.atomic import require_writable
from brenier.diffusion.feed import CouplingName, Feed, MicroBatch, make_pairs
from brenier.diffusion.precond import EDMPrecond
from brenier.diffusion.train_checkpoint import Checkpoint
from brenier.diffusion.training import Precision, Settings, Training
from brenier.engine.checks import as_tensor, require_finite
from brenier.engine.ranks import this_rank
from brenier.errors import InputError
from brenier.pair import PairedPool
from brenier.transport.coupling import Assigner, PairSource
from brenier.types import Array


@dataclass(frozen=True)
class TrainResult:
    """A trained denoiser and what its training cost."""

    denoiser: EDMPrecond  # with the averaged (EMA) weights, ready to sample
    losses: Tensor  # (steps,) float32, one per optimiser step
    seconds: float  # wall time, pairing included, with the time before a resume
    pairing_seconds: float  # of which on assignments
    coupling: str
    steps: int

    def summary(self) -> str:
        tail = self.losses[-max(1, self.steps // 10) :].mean()
        return (
            f"{self.steps} steps with {self.coupling} pairs in {self.seconds:.1f} s "
            f"({self.pairing_seconds:.1f} s pairing), last loss {tail:.3f}"
        )


def train_edm(
    network: nn.Module,
    images: Array,
    *,
    coupling: CouplingName | PairSource | PairedPool = "independent",
    potential: Assigner | None = None,
    steps: int,
    batch: int = 64,
    pool: int = 512,
    lr: float = 1e-3,
    ema: float = 0.999,
    sigma_data: float | None = None,
    P_mean: float = -1.2,
    P_std: float = 1.2,
    labels: Tensor | None = None,
    condition: Tensor | None = None,
    accumulate: int = 1,
    precision: Precision = "fp32",
    compile: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1000,
    resume: bool = False,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool = True,
    callback: Callable[[int, float], object] | None = None,
) -> TrainResult:
    """Train a copy of a network as an EDM denoiser: Adam on edm_loss, clipped gradients, averaged weights.

    The pair (ε, y) comes from the coupling, σ is drawn afterwards for each pair (Karras et al. 2022; AOT,
    arXiv 2403.05069). The learning rate rises over the first 2% of the steps, then falls to 0 as a cosine.
    Noise, level and dropout of micro-batch k are functions of (seed, k) alone. Where torch.distributed is
    initialised (torchrun), rank r of W takes micro-batches r, r + W, ... and gradients are averaged: as one process
    with `accumulate` W times as large. Pools are dealt whole: rank r pairs pools r, r + W, ...

    network : module called as network(x, c_noise), x in the shape of the images; it is copied, not changed
    images : (n, ...) float32, float16 or bfloat16
    coupling : "independent"; "aot" (assignments within pools); "semidiscrete" (through `potential`); "c2ot"
        (assignments within pools that leave the noise independent of `condition`, arXiv 2503.10636); or an
        iterator of brenier.transport over (noise, index) or a PairedPool over these images, whose own batch and
        seed then count
    potential : for "semidiscrete": fitted to these images, in this order
    steps, batch, lr : optimiser steps in all, pairs in each micro-batch of each rank, highest learning rate
    pool : for "aot" and "c2ot", pairs per assignment, a multiple of batch
    ema : decay of the averaged weights per step, warmed up as min(ema, (1 + t)/(10 + t))
    sigma_data : None takes the standard deviation of the images
    labels : (n,) for "aot": assign within classes only
    condition : (n,) integer classes or (n, ...) numbers; the network is then called as network(x, c_noise, condition)
    accumulate : micro-batches per step, their gradients averaged
    precision : "bf16" runs the network under autocast, weights and loss stay float32
    compile : through torch.compile
    checkpoint : a file written every `checkpoint_every` steps and at the end, the last two kept
    resume : continue from the checkpoint, if there is one, with the bits of an unbroken run
    seed : of noise, order and levels; the same seed gives the same losses on one machine
    device : None is the network's own
    callback : called as callback(step, loss) after every step; a true result (on any rank's own count: return the
        same on all) stops the training

    Returns TrainResult. Torch's global random state is left as it was. Raises InputError, BrenierError where the
    loss is no longer finite, FileError for a checkpoint that cannot be written or read.
    """
    settings = Settings(steps, lr, ema, P_mean, P_std, seed, accumulate, precision, compile)
    data, ranks = check_images(images), this_rank()
    given = check_condition(condition, len(data))
    pairs = make_pairs(coupling, data.flatten(1), potential, batch, pool, labels, given, seed)
    spread = float(data.std(correction=0)) if sigma_data is None else sigma_data
    training = Training(EDMPrecond(copy.deepcopy(network), spread).to(usable(device)), settings, ranks)
    known = {"images": data, "condition": given, "labels": labels}
    learnt = {name: value for name, value in known.items() if value is not None}
    kept = open_checkpoint(checkpoint, checkpoint_every, resume, learnt, training, pairs)
    with scoped_seed(training.device):
        seconds = run(training, Feed(pairs, ranks), data, given, kept, checkpoint_every, progress, callback)
    losses = torch.tensor(training.losses)
    return TrainResult(training.average, losses, seconds, pairs.seconds, pairs.kind, len(losses))


def run(
    training: Training,
    feed: Feed,
    images: Tensor,
    condition: Tensor | None,
    kept: tuple[Checkpoint, float] | None,
    every: int,
    progress: bool,
    callback: Callable[[int, float], object] | None,
) -> float:
    """Train to the end or until the callback says so; returns the seconds spent, those before a resume included."""
    images = images.to(training.device)
    condition = None if condition is None else condition.to(training.device)
    before, began = (kept[1] if kept else 0.0), time.perf_counter()
    title, quiet = f"training ({feed.pairs.kind})", not progress or training.ranks.rank > 0
    total = training.settings.steps
    bar = tqdm(
        range(training.done, total), title, initial=training.done, total=total, disable=quiet, leave=False
    )
    stop = False
    for step in bar:
        loss = training.step(list(micro_batches(training, feed, images, condition)))
        stop = callback is not None and bool(callback(step, loss))
        if kept and (training.done % every == 0 or stop or training.done == total):
            kept[0].write(before + time.perf_counter() - began)
        if stop:
            break
    return before + time.perf_counter() - began


def micro_batches(
    training: Training, feed: Feed, images: Tensor, condition: Tensor | None
) -> Iterator[tuple[MicroBatch, Tensor, Tensor | None]]:
    """The micro-batches of one step with their images and conditions."""
    for _ in range(training.settings.accumulate):
        batch = feed.take()
        check_rows(batch.rows, len(images))
        rows = batch.rows.to(images.device)
        yield batch, images[rows], None if condition is None else condition[rows]


def usable(device: torch.device | str | None) -> torch.device | None:
    """The device, once something has been put there; raises InputError."""
    try:
        return None if device is None else torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        got = f"{device}: {str(error).splitlines()[0]}"
        raise InputError("device", expected="one that torch can use here", got=got) from error


def check_rows(rows: Tensor, images: int) -> None:
    """Raise InputError for pairs that are not of these images."""
    if int(rows.min()) < 0 or int(rows.max()) >= images:
        raise InputError(
            "coupling",
            expected=f"pairs with images 0 to {images - 1}",
            got=f"{int(rows.min())} to {int(rows.max())}",
        )


def open_checkpoint(
    path: str | os.PathLike[str] | None,
    every: int,
    resume: bool,
    data: dict[str, Tensor],
    training: Training,
    pairs: PairSource,
) -> tuple[Checkpoint, float] | None:
    """The checkpoint and the seconds spent before it, once resumed where wished; None without a path."""
    if path is None:
        if resume:
            raise InputError("resume", expected="a checkpoint to resume from", got="checkpoint=None")
        return None
    if not (isinstance(every, int) and every >= 1):
        raise InputError("checkpoint_every", expected="an integer ≥ 1", got=repr(every))
    require_writable(path)
    kept = Checkpoint(path, data, training, pairs)
    return kept, kept.restore() if resume else 0.0


@contextmanager
def scoped_seed(device: torch.device) -> Iterator[None]:
    """Torch's random state is free to change inside, and as it was before outside."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def check_images(images: Array) -> Tensor:
    """The images as finite float32 (n, ...), n ≥ 1."""
    data = as_tensor(images, "images")
    if data.ndim < 2 or not data.is_floating_point() or data.numel() == 0:
        raise InputError(
            "images",
            expected="floating-point images (n, ...), n ≥ 1",
            got=f"{data.dtype} {tuple(data.shape)}",
        )
    require_finite(data, "images")
    return data.float()


def check_condition(condition: Array | None, count: int) -> Tensor | None:
    """Conditions as a tensor (n, ...), one per image."""
    if condition is None:
        return None
    given = as_tensor(condition, "condition")
    if given.ndim == 0 or len(given) != count:
        raise InputError(
            "condition", expected=f"one per image, shape ({count}, ...)", got=str(tuple(given.shape))
        )
    if given.is_floating_point():
        require_finite(given, "condition")
    return given
