"""The GPU's table, run through on the CPU: every rival, every ratio, and what could not run as a sentence."""

import dataclasses
import json
import os

import pytest
import torch
from brenier.engine.gpu_filter import gpu_filter
from brenier.report import bench, gpu_table
from brenier.report.clock import Clock


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> dict:
    small = [dataclasses.replace(case, shape=(40, 70, 20)) for case in gpu_table.CASES]
    monkeypatch.setattr(gpu_table, "CASES", small)
    saved: list[int] = []
    found = bench.measure_gpu(
        ("cpu", "cuda"),
        device="cpu",
        compiled=False,
        progress=False,
        save=lambda r: saved.append(len(r["rows"])),
    )
    assert saved == sorted(saved)
    assert len(saved) == len(small)
    return found


@pytest.mark.skipif(torch.cuda.is_available(), reason="the engine that is absent here is there")
def test_every_goal_has_a_line_and_an_absent_engine_a_reason(record: dict) -> None:
    ours = [row for row in record["rows"] if row["who"] == "cpu"]
    assert [row["mismatches"] for row in ours] == [0] * len(gpu_table.CASES)
    lines = [line for line in record["table"] if line["who"] == "cpu"]
    wanted = sum(len(case.against) + len(case.peak and {"peak": 0}) for case in gpu_table.CASES)
    assert len(lines) == wanted - sum("cpu" not in case.peak for case in gpu_table.CASES if case.peak)
    assert all("failed" in row for row in record["rows"] if row["who"] == "cuda")
    assert not gpu_table.exact(record["rows"])
    assert "ratio: our rate over theirs" in bench.as_text(record)
    json.dumps(record["rows"])


def test_an_engine_may_be_measured_with_a_filter_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [name for case in gpu_table.CASES for name in case.filters] == ["triton:int8"]
    monkeypatch.delenv(gpu_table.FILTER, raising=False)
    for before in (None, "plain"):
        if before is not None:
            monkeypatch.setenv(gpu_table.FILTER, before)
        with gpu_table.filter_of("triton:int8"):
            assert gpu_filter() == "int8"
        with gpu_table.filter_of("triton"):
            assert gpu_filter() == (before or "half")
        assert os.environ.get(gpu_table.FILTER) == before


def test_ratios_are_of_the_times_of_one_run() -> None:
    row = {
        "shape": [1, 2, 3], "dtype": "float16", "who": "cuda", "ms": 2.0, "tflops": 50.0, "against": {"product": 0.85},
        "rivals": {"product": 3.0}, "peak": 0.5, "mismatches": 0, "sample": 9,
    }  # fmt: skip
    ratio, peak = gpu_table.lines([row], 200.0)
    assert (ratio["ratio"], ratio["goal"], ratio["wrong"]) == (1.5, 0.85, "0/9")
    assert (peak["against"], peak["ratio"]) == ("peak", 0.25)
    other = row | {"who": "triton", "ms": 3.0, "bytes": 2 * 3 * (4 * 3 + gpu_table.LISTS)}
    found = {(line["who"], line["against"]): line["ratio"] for line in gpu_table.lines([row, other], 200.0)}
    assert found["cuda", "triton"] == 1.5
    assert found["triton", "O(N + n) bytes"] == 0.5
    assert ("triton", "triton") not in found


def test_a_clock_repeats_at_least_thrice_and_counts_no_warm_up() -> None:
    calls: list[int] = []
    timing = Clock("cpu", repeats=5, seconds=0.0).time(lambda: calls.append(1))
    assert timing.repeats == 3
    assert len(calls) == 6
    assert timing.least <= timing.ms <= timing.most


def test_blocked_rivals_agree_with_the_product() -> None:
    given = gpu_table.problem(dataclasses.replace(gpu_table.CASES[-1], shape=(30, 50, 8)), "cpu", 0)
    x, y, h = given
    assert torch.equal(gpu_table.blocked(x, y, h), (x @ y.T + h.float()).max(dim=1).indices)
