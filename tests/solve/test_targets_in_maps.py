"""Targets in memory maps: streamed where they do not fit, else read into memory, and the plan counts the copy."""

from pathlib import Path

import brenier
import numpy as np
import pytest
import torch
from brenier.data import ArraySource
from brenier.errors import InputError
from brenier.solve import fitting, streamed
from brenier.solve.level_memory import level_plan
from brenier.solve.memory import copied_bytes, memory_plan
from brenier.solve.streamed_potential import StreamedPotential
from helpers import known_answers as problems

TARGETS = problems.image_like(203, 300)


def file_of(folder: Path, values: np.ndarray) -> Path:
    np.save(folder / "x.npy", values)
    return folder / "x.npy"


def read_only(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values.flags.writeable = False
    return values


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_a_memory_map_that_does_not_fit_is_streamed_as_its_file_is(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "must_stream", lambda *_: True)
    monkeypatch.setattr(streamed, "TILE_VALUES", 300 * 64)
    path = file_of(tmp_path, TARGETS.numpy())
    found, plain = (
        brenier.fit(targets, tol=0.5, progress=False).potential
        for targets in (np.load(path, mmap_mode=mode), path)
    )
    assert isinstance(found, StreamedPotential)
    assert torch.equal(found.heights, plain.heights)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_a_memory_map_is_streamed_from_the_byte_on_that_it_does_not_fit(kind: str, tmp_path: Path) -> None:
    array = np.load(file_of(tmp_path, TARGETS.numpy().astype(kind)), mmap_mode="r")
    fits = array.nbytes + memory_plan(203, 300).total
    assert fitting.streamed_source(array, fits) is None
    assert isinstance(fitting.streamed_source(array, fits - 1), ArraySource)
    with pytest.raises(InputError, match=r"max_memory: expected at least .* targets streamed"):
        brenier.fit(array, max_memory=fits - 1, progress=False)
    if kind == "float32":
        assert brenier.fit(array, max_memory=fits, tol=0.5, progress=False).converged


def test_arrays_in_memory_and_maps_of_other_numbers_are_not_streamed(tmp_path: Path) -> None:
    assert fitting.streamed_source(read_only(TARGETS.numpy()), 1) is None
    mapped = np.load(file_of(tmp_path, TARGETS.numpy()), mmap_mode="r")
    for copy in (mapped.copy(), mapped.astype(np.float64)):  # of the same type
        assert isinstance(copy, np.memmap)
        assert fitting.streamed_source(copy, 1) is None
    for values in (np.ones((5, 3), np.uint8), np.ones((5, 3, 2), np.float32), np.ones(5, np.float32)):
        array = np.load(file_of(tmp_path, values), mmap_mode="r")
        assert fitting.streamed_source(array, 1) is None
        with pytest.raises(InputError, match="targets"):
            brenier.fit(array, max_memory=1, progress=False)


def test_the_plan_counts_the_copy_of_an_array_that_may_not_be_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, item = file_of(tmp_path, np.tile(TARGETS.numpy(), (30, 1))), 4 * 30 * 203 * 300
    kept, mapped = np.load(path), np.load(path, mmap_mode="r")
    for given, copied in (
        (kept, 0),
        (read_only(kept), item),
        (mapped, item),
        (np.load(path, mmap_mode="c"), 0),
    ):
        matrix = fitting.matrix_of(given)
        assert copied_bytes(matrix, len(matrix), given) == copied
        assert level_plan(matrix, 7, 900, True, given).copied == copied
    for fit in (brenier.fit, brenier.fit_hierarchical):
        for given in (kept[:406], mapped[:406]):
            fit(given, tol=0.9, max_samples=20_000)
            assert ("copied" in capfd.readouterr().err) != given.flags.writeable


def test_too_little_memory_for_the_copy_is_refused() -> None:
    given = read_only(TARGETS.numpy())
    need = memory_plan(203, 300, given.nbytes).total
    assert brenier.fit(given, tol=0.5, max_memory=need, progress=False).converged
    with pytest.raises(InputError, match=f"at least {need:,} bytes"):
        brenier.fit(given, max_memory=need - 1, progress=False)


def test_a_map_whose_rows_lie_apart_is_refused_where_it_would_be_streamed(tmp_path: Path) -> None:
    """Every tile would read the whole file."""
    array = np.load(file_of(tmp_path, np.asfortranarray(TARGETS.numpy())), mmap_mode="r")
    with pytest.raises(InputError, match="rows in C order"):
        brenier.fit(array, max_memory=1, progress=False)
    assert brenier.fit(array, tol=0.5, progress=False).converged


def test_maps_that_cannot_be_targets_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "read_in", lambda _: pytest.fail("read"))
    for values in (np.ones((5, 3), np.uint8), np.ones((5, 3, 2), np.float32)):
        array = np.load(file_of(tmp_path, values), mmap_mode="r")
        for fit in (brenier.fit, brenier.fit_hierarchical):
            with pytest.raises(InputError, match="targets"):
                fit(array, progress=False)
    array = np.load(file_of(tmp_path, TARGETS.numpy()), mmap_mode="r")
    with pytest.raises(InputError, match="for the copy of a memory map"):
        brenier.fit_hierarchical(array, parts=3, max_memory=array.nbytes - 1, progress=False)
