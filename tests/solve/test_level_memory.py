"""The memory plan of a fit of two levels: printed, obeyed, and what the fit holds stays below it."""

import re

import brenier
import numpy as np
import pytest
import torch
from brenier.errors import InputError
from brenier.solve import batch, centring, conditional, level_memory
from brenier.solve.level_memory import equal_sizes, level_plan
from helpers import known_answers as problems
from helpers.memory import peak, resident

SHAPE = (4000, 2048)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not grow with the targets is made small, so that the rest is seen."""
    for module, name, value in (
        (conditional, "NOISE_VALUES", 1 << 20),
        (conditional, "ENTRIES", 1 << 17),
        (batch, "ENTRIES", 1 << 17),
        (centring, "BLOCK_VALUES", 1 << 18),
    ):
        monkeypatch.setattr(module, name, value)
        if hasattr(level_memory, name):
            monkeypatch.setattr(level_memory, name, value)
    monkeypatch.setattr(level_memory, "CHUNK_BYTES", 24 << 20)
    monkeypatch.setattr("brenier.solve.memory.CHUNK_BYTES", 24 << 20)
    monkeypatch.setattr("brenier.solve.memory.ENTRIES", 1 << 17)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("kind", ["k-means", "one large part", "float64, some without mass"])
def test_a_fit_of_two_levels_holds_no_more_than_its_plan(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    targets = problems.image_like(*SHAPE)
    options: dict = {}
    if kind == "one large part":
        options["parts"] = np.maximum(np.arange(SHAPE[0]) - 3000, 0) // 100
    if kind.startswith("float64"):
        targets, options["weights"] = targets.double(), np.arange(SHAPE[0]) % 5
    brenier.fit_hierarchical(targets[:300], tol=0.5, progress=False)
    peak()
    before = resident()
    brenier.fit_hierarchical(targets, tol=0.9, **options)
    held = peak() - before
    said = re.search(r"memory: at most (\d+) MiB", capfd.readouterr().err)
    assert said is not None
    assert held <= int(said[1]) << 20, (held >> 20, said[0])


def test_the_plan_is_obeyed_and_asks_for_the_sizes_of_the_parts() -> None:
    targets = problems.image_like(600, 32)
    even = level_plan(targets, 3, 200, False).total
    uneven = level_plan(targets, 3, 400, False).total
    options = {"tol": 0.5, "progress": False}
    parts = np.arange(600) % 3
    assert brenier.fit_hierarchical(targets, parts=parts, max_memory=even, **options).converged
    with pytest.raises(InputError, match=f"max_memory: expected at least {even:,} bytes for 3 parts"):
        brenier.fit_hierarchical(targets, parts=parts, max_memory=even - 1, **options)
    assert uneven >= even
    with pytest.raises(InputError, match="max_memory"):
        brenier.fit_hierarchical(targets, max_memory=1 << 20, **options)


@pytest.mark.parametrize(("targets", "parts"), [(1, 1), (7, 3), (9, 3), (5, 5)])
def test_even_parts_hold_all_targets(targets: int, parts: int) -> None:
    sizes = equal_sizes(targets, parts)
    assert sum(sizes) == targets
    assert max(sizes) - min(sizes) <= 1
    assert sizes[0] == max(sizes)


def test_parts_are_views_of_targets_that_are_held_once() -> None:
    cloud = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    parts = brenier.solve.parts.divide(torch.cat([cloud, cloud[:20]]), None, np.arange(70) % 50 // 10, 0)
    assert len(parts.targets) == 50
    starts = [own.targets.data_ptr() - parts.targets.data_ptr() for own in parts.problems]  # type: ignore[union-attr]
    assert starts == [4 * 4 * 10 * k for k in range(5)]
