"""A batch of fitting samples, drawn in chunks whose candidate lists fit in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from brenier.engine import candidates
from brenier.engine.circles import circle_candidates
from brenier.solve.sampling import FullSampler, SubspaceSampler
from brenier.solve.state import State
from brenier.types import Candidates, CircleCandidates

FIRST_ROWS = 64  # the first chunk measures how long the lists are; the gap is taken from it alone
ENTRIES = 1 << 21  # list entries per chunk
MOST_ROWS = 8192
CAUTION = 4  # a step's first chunk of circles is so many times shorter than the last step's lists allow
GPU_SHARE = 4  # times as much of both where a GPU lists: it wants more at once
GAP_CIRCLES = 8  # whose points tell how close runners-up are
GAP_MEMORY = 0.8


def chunks(
    sampler: FullSampler | SubspaceSampler, state: State, batch: int, margin: float, *, whole: bool = False
) -> Iterator[Candidates]:
    """Lists for all rows of the step's batch; sums over them do not depend on where they are cut.

    whole : the caller keeps all lists, so the batch is cut down to ENTRIES where they are long.
    """
    sampler.begin(state.step)
    heights = torch.from_numpy(state.heights).to(sampler.place.device)
    done, rows = 0, min(FIRST_ROWS, batch)
    while done < batch:
        draw = sampler.draw(state.samples + done, rows)
        found = candidates(draw.noise, draw.targets, heights, margin=margin).cpu()
        yield found
        fitting = max(FIRST_ROWS, int(ENTRIES * rows / max(len(found.indices), 1)))
        if whole and done == 0:
            batch = min(batch, fitting)
        done += rows
        rows = min(batch - done, fitting, MOST_ROWS)


def circle_chunks(
    sampler: FullSampler | SubspaceSampler, state: State, draws: int, margin: float
) -> Iterator[CircleCandidates]:
    """This rank's draws of the step in pairs, as great circles; draws is even.

    One chunk where no lists can be too long; else the first is short until the sampler has met lists. The step's first
    GAP_CIRCLES circles are in rank 0's first chunk. The step is begun at once, so that Ctrl-C ends a long pass over the
    targets whoever asks for the chunks.
    """
    sampler.begin(state.step)
    return begun_chunks(sampler, state, draws, margin)


def begun_chunks(
    sampler: FullSampler | SubspaceSampler, state: State, draws: int, margin: float
) -> Iterator[CircleCandidates]:
    heights = torch.from_numpy(state.heights).to(sampler.place.device)
    share = GPU_SHARE if sampler.place.on_gpu else 1
    entries, most = share * ENTRIES, share * MOST_ROWS
    done, draws = sampler.ranks.share(draws, 2 * GAP_CIRCLES)
    few = (draws - done) // 2 * len(heights) <= entries
    rows = draws - done if few else min(max(FIRST_ROWS, sampler.fitting), draws - done)
    while done < draws:
        draw = sampler.draw_circles(state.samples + done, rows)
        found = circle_candidates(draw.noise, draw.targets, heights, margin=margin).cpu()
        yield found
        fitting = max(FIRST_ROWS, int(entries * rows / max(len(found.indices), 1)) // 2 * 2)
        done += rows
        rows, sampler.fitting = min(draws - done, fitting, most), min(fitting, most) // (2 * CAUTION) * 2


def mean_gap(lists: Candidates, margin: float, before: float) -> float:
    """Running mean of best minus runner-up score, a row without a runner-up counting as the margin."""
    scores, offsets = lists.scores.numpy(), lists.offsets.numpy()
    starts = offsets[:-1]
    row = np.repeat(np.arange(lists.rows), np.diff(offsets))
    best = np.maximum.reduceat(scores, starts)
    leaders = np.flatnonzero(scores == best[row])
    rest = scores.copy()
    rest[leaders[np.unique(row[leaders], return_index=True)[1]]] = -np.inf
    gap = float(np.minimum(best - np.maximum.reduceat(rest, starts), margin).mean())
    return gap if np.isnan(before) else GAP_MEMORY * before + (1 - GAP_MEMORY) * gap
