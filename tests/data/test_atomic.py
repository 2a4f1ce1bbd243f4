"""A file is whole or absent."""

import os
from pathlib import Path

import pytest
from brenier.data.atomic import replacing, require_folder, require_writable, write_text
from brenier.errors import BrenierError, FileError


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        raise RuntimeError(f"power cut after {temporary.write_text('ne')} letters")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    write_text(path, "new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("place", ["absent/a.txt", "file/a.txt", "."])
def test_unwritable_places_are_found_before_the_work(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(FileError):
        require_writable(tmp_path / place)
    assert sorted(os.listdir(tmp_path)) == before


def test_errors_of_the_family_pass_through_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"^inner$"), replacing(tmp_path / "a") as _:
        raise FileError("inner")


def test_writing_into_an_absent_folder_raises_the_family(tmp_path: Path) -> None:
    with pytest.raises(BrenierError, match="to be writable"):
        write_text(tmp_path / "absent" / "a.txt", "text")


def test_require_folder_makes_it_and_leaves_it_empty(tmp_path: Path) -> None:
    assert list(require_folder(tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "c").write_text("a file")
    with pytest.raises(FileError):
        require_folder(tmp_path / "c")


def test_ranks_of_containers_with_the_same_process_number_do_not_share_a_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)
    path = tmp_path / "a.txt"
    with replacing(path) as one:
        one.write_text("one")
        with replacing(path) as two:
            two.write_text("two")
        assert path.read_text() == "two"
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_probe_that_is_gone_already_has_shown_that_the_place_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch, probes = Path.touch, []

    def touched_and_removed(path: Path) -> None:
        touch(path)
        probes.append(path)
        path.unlink()

    monkeypatch.setattr(Path, "touch", touched_and_removed)
    for _ in range(2):
        assert require_writable(tmp_path / "a.txt") == tmp_path / "a.txt"
    assert len(set(probes)) == 2
