"""gpu_case.py triton|cuda: every kernel of one engine once, on a small problem with ragged edges and ties.

Meant for compute-sanitizer. Exits with 1 where an answer differs from the reference, 2 without a GPU.
"""

from __future__ import annotations

import sys

import torch


def main(engine: str) -> int:
    if not torch.cuda.is_available():
        print("no CUDA device: torch.cuda.is_available() is False", file=sys.stderr)
        return 2
    import brenier

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(67, 77, generator=generator).round()
    y = torch.randn(131, 77, generator=generator).round()  # integers: exact ties, so that lists are filled
    y[100:] = y[:31]
    answers = []
    for name, device in ((engine, "cuda"), ("reference", "cpu")):
        winners, scores = brenier.assign(x.to(device), y.to(device), return_scores=True, engine=name)
        lists = brenier.candidates(x.to(device), y.to(device), margin=2.0, engine=name)
        answers.append([winners, scores, lists.offsets, lists.indices, lists.scores])
    same = all(torch.equal(mine.cpu(), theirs) for mine, theirs in zip(*answers, strict=True))
    print(f"{engine}: {'equal to the reference' if same else 'DIFFERS from the reference'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
