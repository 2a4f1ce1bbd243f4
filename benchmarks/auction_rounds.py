"""How many rounds the device auction needs, counted without a device: by the host check of its rules.

    python benchmarks/auction_rounds.py [rows ...]

Scores of images against noise (d = 3,072), a gap of 1e-3 to be proved. Rounds, lists and insertions are integers
that no schedule changes: a GPU counts the same. Times are not measured.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from brenier.engine.auction import INSERTED, RENEWALS, ROUNDS, Problems, certify
from brenier.engine.cuda_auction import CudaBidder, HostRunner
from pairing_cpu import IMAGES


def main(sizes: list[int]) -> None:
    bidder = CudaBidder(HostRunner())
    print("family         rows  team     rounds  lists a row  inserted  proved gap")
    for family, make in IMAGES.items():
        for n in sizes:
            given = Problems(torch.from_numpy(make(n, np.random.default_rng(0))).flatten(), (n,))
            bids = bidder.solve(given, 1e-3)
            (proof,), facts = certify(given, bids), bids.facts[0].tolist()
            team = bidder.configuration(given).team.name
            counts = f"{facts[ROUNDS]:6d} {facts[RENEWALS] / n:12.1f} {facts[INSERTED]:9d}"
            print(f"{family:13s} {n:5d}  {team:8s} {counts}  {proof.excess / proof.gain:.1e}", flush=True)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [256, 1024, 4096])
