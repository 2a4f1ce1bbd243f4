"""Every engine, and every body of the CPU engine, under one fixture: an absence has a reason."""

from __future__ import annotations

import pytest
from brenier.engine.native import INT8_BODIES, core
from brenier.engine.registry import Engine, load, why_unavailable

BODIES = ("avx512", "avx2", "portable")
CONTRACT = ("reference", *(f"cpu:{body}" for body in BODIES), "triton", "cuda")


def use_body(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dispatches the CPU engine to one body, or skips where the processor lacks it."""
    if name not in [row[0] for row in core().bodies() if row[1]]:
        pytest.skip(f"this processor does not run the {name} body")
    monkeypatch.setenv("BRENIER_CPU_BODY", name)
    monkeypatch.setenv("BRENIER_CPU_FILTER", "fp32")


def use_int8(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forces the int8 filter by one of its bodies, or skips where the processor lacks it."""
    if name not in [row[0] for row in core().int8_bodies() if row[1]]:
        pytest.skip(f"this processor does not run the int8 body {name}")
    beside = next(body for body, names in INT8_BODIES.items() if name in names)
    monkeypatch.setenv("BRENIER_CPU_BODY", "portable" if name == "portable" else beside)
    monkeypatch.setenv("BRENIER_CPU_FILTER", f"int8:{name}")


@pytest.fixture(params=("avx512vnni", "avx512vlvnni", "avxvnni", "portable"))
def int8_body(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use_int8(request.param, monkeypatch)
    return str(request.param)


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
