"""The goals of pairing on one GPU: milliseconds from data and noise to a permutation with a proved gap of 1e-3.

    python benchmarks/pairing_gpu.py [cuda] [triton] [results.json]

Rows of d = 3,072 with a falling spectrum, float32, against normal noise, on the device. Timed with CUDA events, medians
after a warm-up: `product_ms` of half-precision roundings, `bids_ms` the integers and the bids, `written_ms` both, with
scores in memory, `ms` with costs from the product's epilogue; the certificate is on the device by then. `proved` is
what it says, read afterwards; `pair_ms` is the wall time of brenier.pair as a user calls it.
Rows of engines that are not asked for stay as they are in the results. Exits with 2 where there is no CUDA device, 1
where a gap was not proved or something failed.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

DEPTH, GAP = 3072, 1e-3
ENGINES = ("cuda", "triton")
GOALS = [
    ((1, 1024), 1.0),
    ((1, 4096), 2.0),
    ((1, 16384), 6.0),
    ((128, 256), 1.0),
]  # problems, rows; ms, one H200


def drawn(problems: int, rows: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator(device="cuda").manual_seed(0)
    shape = (problems, rows, DEPTH)
    x, z = (torch.randn(shape, generator=generator, device="cuda") for _ in range(2))
    return x / torch.arange(1, DEPTH + 1, device="cuda").sqrt(), z


def timed(call: Any, repeats: int = 7) -> tuple[Any, float]:
    """The last result and the median milliseconds between events around one call."""
    result, spent = call(), []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        result = call()
        end.record()
        end.synchronize()
        spent.append(start.elapsed_time(end))
    return result, median(spent)


def measure(name: str, problems: int, rows: int, goal: float) -> dict[str, Any]:
    from brenier.engine.auction import Bids, Factors, certify_costs
    from brenier.engine.registry import load

    x, z = drawn(problems, rows)
    engine: Any = load(name)
    bidder, sizes = engine.bidder(x.device), (rows,) * problems

    def factors() -> Factors:
        return Factors(((x - x.mean(dim=1, keepdim=True), z),), sizes)

    def written() -> Bids:
        return bidder.solve(factors().scored(bidder, True), GAP)

    given, product = timed(lambda: factors().scored(bidder, True))
    _, bidding = timed(lambda: bidder.solve(given, GAP))
    _, in_memory = timed(written)
    bids, whole = timed(lambda: bidder.solve_products(factors(), GAP) or written())
    proofs = certify_costs(factors(), bids)
    return {
        "problems": problems, "rows": rows, "product_ms": product, "bids_ms": bidding,
        "written_ms": in_memory, "ms": whole, "goal_ms": goal,
        "proved": max(one.excess / one.gain for one in proofs),
        "rounds": max(one.rounds for one in proofs), "pair_ms": pair_time(x, z, name),
    }  # fmt: skip


def pair_time(x: Tensor, z: Tensor, engine: str) -> float:
    import brenier

    labels = torch.arange(len(x)).repeat_interleave(x.shape[1])
    chosen = None if len(x) == 1 else labels
    spent = []
    for _ in range(3):
        torch.cuda.synchronize()
        began = time.perf_counter()
        brenier.pair(x.flatten(0, 1), z.flatten(0, 1), labels=chosen, gap=GAP, engine=engine)
        torch.cuda.synchronize()
        spent.append(1e3 * (time.perf_counter() - began))
    return median(spent)


def row_of(engine: str, problems: int, size: int, goal: float) -> dict[str, Any]:
    """What was measured, or a sentence about what went wrong: the other rows are measured all the same."""
    head = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "engine": engine}
    try:
        return head | measure(engine, problems, size, goal)
    except Exception as error:  # a kernel of ours, or memory
        return head | {"problems": problems, "rows": size, "goal_ms": goal, "failed": repr(error)[:300]}


def kept(path: Path, engines: list[str]) -> list[dict[str, Any]]:
    """Rows of other engines."""
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    return [row for row in rows if row["engine"] not in engines]


def main(arguments: list[str]) -> int:
    if not torch.cuda.is_available():
        print("no CUDA device: torch.cuda.is_available() is False; nothing was measured", file=sys.stderr)
        return 2
    name = torch.cuda.get_device_name().lower().replace(" ", "-")
    given = [word for word in arguments if word.endswith(".json")]
    path = Path(given[0]) if given else Path(__file__).parent / "results" / f"pairing-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    engines = [one for one in ENGINES if one in arguments] or list(ENGINES)
    others, rows = kept(path, engines), []
    for engine in engines:
        for (problems, size), goal in GOALS:
            if engine == "triton" and problems > 1:
                continue  # one problem after the other
            rows.append(row_of(engine, problems, size, goal))
            print(
                {key: round(v, 5) if isinstance(v, float) else v for key, v in rows[-1].items()}, flush=True
            )
            path.write_text(json.dumps({"device": name, "rows": others + rows}, indent=1) + "\n")
    print(f"written to {path}")
    return 0 if all(row.get("proved", 1.0) <= GAP for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
