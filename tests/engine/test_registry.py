"""What is available, why the rest is not, and who gets a problem."""

import pytest
from brenier.engine import choose, engines, registry
from brenier.errors import EngineError


@pytest.fixture
def _broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.ENGINES, "cuda", ("brenier.engine.nowhere", "CudaEngine"))
    registry.load.cache_clear()
    yield
    registry.load.cache_clear()


def test_every_engine_has_a_row_with_a_reason() -> None:
    rows = {row.name: row for row in engines()}
    assert list(rows) == list(registry.ENGINES)
    assert rows["reference"].available
    assert rows["cpu"].available
    assert "body" in rows["cpu"].detail
    assert all(row.reason for row in rows.values())


@pytest.mark.usefixtures("_broken")
def test_an_engine_that_fails_to_import_is_a_row_with_the_reason() -> None:
    row = next(row for row in engines() if row.name == "cuda")
    assert not row.available
    assert "nowhere" in row.reason


@pytest.mark.usefixtures("_broken")
def test_an_engine_that_fails_to_import_is_an_engine_error_when_asked_for() -> None:
    with pytest.raises(EngineError, match="nowhere"):
        registry.available("cuda")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(EngineError, match="one of reference, cpu, triton, cuda"):
        registry.engine_for("cpu", "cpuu")


def test_the_choice_is_a_pure_function() -> None:
    assert choose("cpu", None, ("cpu", "reference")).name == "cpu"
    assert choose("cpu", None, ("reference",)).name == "reference"
    assert choose("cuda", None, ("triton",)).name == "triton"
    assert choose("cuda", "cuda", ()).name == "cuda"
    assert choose("mps", None, ()).name == "reference"


def test_the_environment_chooses_where_no_name_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_ENGINE", "reference")
    assert registry.engine_for("cpu", None).name == "reference"
    assert registry.engine_for("cpu", "cpu").name == "cpu"
