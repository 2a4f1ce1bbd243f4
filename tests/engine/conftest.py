"""Every engine, and every body of the CPU engine, under one fixture: an absence has a reason."""

from __future__ import annotations

import pytest
from brenier.engine.native import INT8_BODIES, core
from brenier.engine.registry import Engine, load, why_unavailable

BODIES = ("avx512", "avx2", "neon", "portable")
CONTRACT = ("reference", *(f"cpu:{body}" for body in BODIES), "triton", "cuda")


def use_body(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dispatches the CPU engine to one body, or skips where the processor lacks it."""
    if name not in [row[0] for row in core().bodies() if row[1]]:
        pytest.skip(f"this processor does not run the {name} body")
    monkeypatch.setenv("BRENIER_CPU_BODY", name)
    monkeypatch.setenv("BRENIER_CPU_FILTER", "fp32")


INTEGER_FILTERS = (
    "int8:avx512vnni",
    "int8:avx512vlvnni",
    "int8:avxvnni",
    "int8:portable",
    "int16:avx512vnni",
    "int16:avx512vlvnni",
    "int16:avxvnni",
    "int16:portable",
)


@pytest.fixture(params=INTEGER_FILTERS)
def integers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Forces one integer filter by one body, or skips where the processor lacks it; the filter's name."""
    name, _, body = request.param.partition(":")
    if body not in [row[0] for row in core().int8_bodies() if row[1]]:
        pytest.skip(f"this processor does not run the integer body {body}")
    beside = next(beside for beside, names in INT8_BODIES.items() if body in names)
    monkeypatch.setenv("BRENIER_CPU_BODY", "portable" if body == "portable" else beside)
    monkeypatch.setenv("BRENIER_CPU_FILTER", request.param)
    return name


@pytest.fixture(params=BODIES)
def body(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use_body(request.param, monkeypatch)
    return str(request.param)


@pytest.fixture(params=CONTRACT)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine that runs here and takes CPU tensors; GPU engines have tests of their own beside these."""
    name, _, wanted = request.param.partition(":")
    if wanted:
        use_body(wanted, monkeypatch)
    reason = why_unavailable(name)
    if reason is not None:
        pytest.skip(f"engine {name}: {reason}")
    if "cpu" not in load(name).devices:
        pytest.skip(f"engine {name} takes no CPU tensors")
    return load(name)
