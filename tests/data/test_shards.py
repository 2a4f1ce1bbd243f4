"""A pattern names safetensors shards wherever a file may be named, streamed or in memory."""

import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import brenier
import pytest
import torch
from brenier.data import load_array, open_source, opened
from brenier.errors import FileError, InputError
from helpers.commands import ok
from safetensors.torch import save_file

ROWS = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def pattern(tmp_path: Path) -> Path:
    save_file({"a": ROWS[:13].contiguous()}, tmp_path / "s-0.safetensors")
    save_file({"a": ROWS[13:].contiguous()}, tmp_path / "s-1.safetensors")
    return tmp_path / "s-*.safetensors"


@pytest.mark.parametrize("max_memory", [None, 1 << 30])
def test_fit_takes_a_pattern_in_memory(pattern: Path, max_memory: int | None) -> None:
    found = brenier.fit(str(pattern), tol=0.3, progress=False, max_memory=max_memory).potential
    plain = brenier.fit(ROWS, tol=0.3, progress=False).potential
    assert torch.equal(found.targets, ROWS)
    assert torch.equal(found.heights, plain.heights)


def test_the_commands_take_a_pattern(pattern: Path, tmp_path: Path) -> None:
    ok("fit", pattern, "--tol", "0.3", "--out", tmp_path / "p.safetensors")
    assert torch.equal(brenier.Potential.load(tmp_path / "p.safetensors").targets, ROWS)
    ok("pair", pattern, "--out", tmp_path / "permutation.npy")


def test_an_array_of_shards_keeps_their_bytes_and_layout(tmp_path: Path) -> None:
    images = torch.arange(120, dtype=torch.uint8).view(5, 4, 2, 3)
    for k, part in enumerate(images.split(3)):
        save_file({"x": part.contiguous()}, tmp_path / f"{k}.safetensors")
    loaded = load_array(tmp_path / "?.safetensors", value_range="uint8", layout="nhwc")
    assert torch.equal(loaded.array, images.permute(0, 3, 1, 2).flatten(1))
    assert loaded.image_shape == (3, 4, 2)
    assert loaded.note.startswith("2 shards")


def test_a_file_of_that_very_name_is_no_pattern(tmp_path: Path) -> None:
    save_file({"a": ROWS}, tmp_path / "a[1].safetensors")
    assert torch.equal(load_array(tmp_path / "a[1].safetensors").array, ROWS)
    assert torch.equal(open_source(tmp_path / "a[1].safetensors").read(0, 40), ROWS)


def test_patterns_without_files_and_shards_of_other_widths_are_refused(pattern: Path) -> None:
    with pytest.raises(FileError, match="at least one matching file"):
        brenier.fit(str(pattern.with_name("none-*.safetensors")))
    save_file({"a": ROWS[:, :5].contiguous()}, pattern.with_name("s-2.safetensors"))
    with pytest.raises(InputError, match=r"s-2\.safetensors: expected rows \(6,\)"):
        load_array(pattern)


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """40 shards of one row, where a process may open 30 files more and a source 8."""
    for k, row in enumerate(ROWS):
        save_file({"a": row[None].clone()}, tmp_path / f"m-{k:02}.safetensors")
    monkeypatch.setattr(opened, "MOST_OPEN", 8)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(map(int, os.listdir("/proc/self/fd"))) + 30
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, limits[1]))
    yield tmp_path / "m-*.safetensors"
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def open_shards() -> int:
    """How many shards this process has open."""
    numbers = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    return sum("m-" in os.readlink(number) for number in numbers if number.is_symlink())


def test_shards_beyond_what_may_be_open_are_read_all_the_same(many: Path) -> None:
    source = open_source(many)
    assert open_shards() == 8
    for lo, hi in ((0, 40), (39, 40), (3, 17), (0, 40)):
        assert torch.equal(source.read(lo, hi), ROWS[lo:hi])
        assert open_shards() <= 8
    assert torch.equal(load_array(many).array, ROWS)
    del source
    assert open_shards() == 0


def test_threads_read_from_shards_that_are_closed_for_others(many: Path) -> None:
    source = open_source(many)

    def wrong(first: int) -> list[int]:
        rows = [(first + 7 * k) % 40 for k in range(400)]
        return [row for row in rows if not torch.equal(source.read(row, row + 1), ROWS[row : row + 1])]

    with ThreadPoolExecutor(4) as readers:
        assert list(readers.map(wrong, (0, 11, 22, 33))) == [[]] * 4


def test_a_shard_that_cannot_be_opened_any_more_is_named(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(many)
    monkeypatch.chdir("/")  # where no relative name would be found
    (many.parent / "m-30.safetensors").unlink()
    with pytest.raises(FileError, match=r"m-30\.safetensors: expected a readable file.*No such file"):
        source.read(0, 40)
    assert torch.equal(source.read(31, 40), ROWS[31:])


def test_shards_of_a_relative_name_are_found_wherever_the_process_goes(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(many.parent)
    source = open_source("m-*.safetensors")
    monkeypatch.chdir("/")
    assert torch.equal(source.read(0, 40), ROWS)
