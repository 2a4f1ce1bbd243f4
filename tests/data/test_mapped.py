"""Memory maps are read piece by piece, and what was read does not stay in this process's memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from brenier.data import ArraySource, NoisedLatents, mapped
from brenier.data.mapped import copied, map_of, read_in
from helpers.memory import peak, resident

LARGE = (300, 1 << 18)  # of float32: 300 MiB
VALUES = np.random.default_rng(0).standard_normal((23, 60)).astype(np.float32)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """300 MiB that take no room on the disk."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(4 * LARGE[0] * LARGE[1])
    return path


def saved(folder: Path, values: np.ndarray = VALUES) -> Path:
    np.save(folder / "x.npy", values)
    return folder / "x.npy"


def held_beyond(before: int) -> int:
    """MiB that this process held at most since then."""
    return (peak() - before) >> 20


@pytest.mark.parametrize("mode", ["r", "r+"])
@pytest.mark.parametrize("noised", [False, True])
def test_a_map_read_tile_by_tile_takes_the_memory_of_a_tile(mode: str, noised: bool, large: Path) -> None:
    array = np.memmap(large, np.float32, mode, shape=LARGE)
    source = NoisedLatents(ArraySource(array), sigma=0.0) if noised else ArraySource(array)
    tile = torch.empty(4, LARGE[1])
    source.read(0, 4, tile)
    peak()
    before = resident()
    for lo in range(0, 300, 4):
        source.read(lo, lo + 4, tile)
    assert held_beyond(before) < 64


def test_a_map_that_is_read_whole_is_held_once(large: Path) -> None:
    array = np.memmap(large, np.float32, "r", shape=LARGE)
    peak()
    before = resident()
    assert copied(array).shape == LARGE
    assert held_beyond(before) < 300 + 64


@pytest.mark.parametrize("piece", [1, 60 * 4, 60 * 4 * 7, 1 << 30])
@pytest.mark.parametrize("order", ["C", "F"])
def test_pieces_of_any_size_give_the_numbers_in_the_file(
    piece: int, order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "PIECE", piece)
    array = np.load(saved(tmp_path, np.asarray(VALUES, order=order)), mmap_mode="r")
    for part in (array, array[3:], array[::2], array[:0], array[:, ::-1], array[5], array.astype(">f8")):
        assert np.array_equal(copied(part), np.array(part))
    assert torch.equal(ArraySource(array).read(2, 22), torch.from_numpy(VALUES[2:22]))


def test_what_was_written_to_a_map_is_read_and_kept(tmp_path: Path) -> None:
    """Of a copy-on-write map, whose changes are nowhere else, nothing is given back."""
    path = saved(tmp_path)
    for mode in ("r+", "c"):
        array = np.load(path, mmap_mode=mode)
        array[7] = 5.0
        for _ in range(2):
            assert (ArraySource(array).read(0, 23)[7] == 5).all()
        assert (array[7] == 5).all()
        assert (np.load(path)[7] == 5).all() == (mode == "r+")
        del array
        np.save(path, VALUES)


def test_only_maps_that_share_their_file_are_given_back(tmp_path: Path) -> None:
    path = saved(tmp_path)
    array = np.load(path, mmap_mode="r")
    for view in (array, array[2:], np.asarray(array), np.asarray(array)[3:].T, array.view(np.uint8)):
        assert map_of(view) is not None
    for other in (np.load(path, mmap_mode="c"), VALUES, array + 1, np.array(array), array[[0, 1]]):
        assert map_of(other) is None


def test_only_maps_that_torch_cannot_hold_are_read_in(tmp_path: Path) -> None:
    path = saved(tmp_path)
    found = read_in(np.load(path, mmap_mode="r"))
    assert map_of(found) is None
    assert np.array_equal(found, VALUES)
    for other in (np.load(path, mmap_mode="r+"), VALUES, torch.from_numpy(VALUES), [[1.0]]):
        assert read_in(other) is other
