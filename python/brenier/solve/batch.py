"""A batch of fitting samples, drawn in chunks whose candidate lists fit in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from brenier.engine import candidates
from brenier.solve.sampling import FullSampler, SubspaceSampler
from brenier.solve.state import State
from brenier.types import Candidates

FIRST_ROWS = 128  # the first chunk measures how long the lists are; the gap is taken from it alone
ENTRIES = 1 << 21  # list entries per chunk
MOST_ROWS = 8192
GAP_MEMORY = 0.8


def chunks(
    sampler: FullSampler | SubspaceSampler, state: State, batch: int, margin: float
) -> Iterator[Candidates]:
    """Lists for all rows of the step's batch. What is summed over them does not depend on where they are cut."""
    sampler.begin(state.step)
    heights = torch.from_numpy(state.heights)
    done, rows = 0, min(FIRST_ROWS, batch)
    while done < batch:
        draw = sampler.draw(state.samples + done, rows)
        found = candidates(draw.noise, draw.targets, heights, margin=margin)
        yield found
        done += rows
        rows = min(batch - done, rows_for(len(found.indices) / rows))


def rows_for(length: float) -> int:
    """Rows whose lists of that mean length have about ENTRIES entries."""
    return int(min(MOST_ROWS, max(FIRST_ROWS, ENTRIES / max(length, 1.0))))


def mean_gap(lists: Candidates, margin: float, before: float) -> float:
    """Running mean of best minus runner-up score, a row without a runner-up counting as the margin."""
    scores, offsets = lists.scores.numpy(), lists.offsets.numpy()
    starts = offsets[:-1]
    best = np.maximum.reduceat(scores, starts)
    rest = scores.copy()
    rest[[lo + int(np.argmax(scores[lo:hi])) for lo, hi in zip(starts, offsets[1:], strict=True)]] = -np.inf
    gap = float(np.minimum(best - np.maximum.reduceat(rest, starts), margin).mean())
    return gap if np.isnan(before) else GAP_MEMORY * before + (1 - GAP_MEMORY) * gap
