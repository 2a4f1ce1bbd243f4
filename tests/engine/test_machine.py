"""The memory that a process may use, in containers too."""

import os
from pathlib import Path

import pytest
from brenier.engine import machine
from brenier.solve.memory import RESIDENT_SHARE, memory_limit

MIB = 1 << 20


def groups(folder: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """A folder of control groups with these files in it, and what /proc/self/cgroup says."""
    (folder / "cgroup").write_text(own)
    for name, text in files.items():
        path = folder / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return folder / "groups", folder / "cgroup"


@pytest.mark.parametrize(
    ("own", "files", "least"),
    [
        ("0::/\n", {"memory.max": str(512 * MIB)}, 512 * MIB),
        ("0::/a/b\n", {"a/memory.max": str(300 * MIB), "a/b/memory.max": "max"}, 300 * MIB),
        ("0::/not/visible/here\n", {"memory.max": str(7 * MIB)}, 7 * MIB),
        ("0::/a\n", {"a/memory.max": "max"}, None),
        ("5:cpu:/x\n4:memory:/x/y\n", {"memory/x/y/memory.limit_in_bytes": str(9 * MIB)}, 9 * MIB),
        ("4:cpu,memory:/docker/0a\n0::/\n", {"memory/memory.limit_in_bytes": str(5 * MIB)}, 5 * MIB),
        ("1:name=systemd:/a:b\n", {}, None),
        ("", {}, None),
    ],
)
def test_the_smallest_limit_of_the_groups_around_a_process_counts(
    tmp_path: Path, own: str, files: dict[str, str], least: int | None
) -> None:
    where = groups(tmp_path, own, files)
    assert min(machine.group_limits(*where), default=None) == least


def test_no_groups_at_all_leave_the_machines_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.group_limits(tmp_path, tmp_path / "none") == []
    monkeypatch.setattr(machine, "group_limits", list)
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine.memory_bytes() == whole
    monkeypatch.setattr(machine, "group_limits", lambda: [1 << 62])  # version 1's way of saying none
    assert machine.memory_bytes() == whole


def test_the_default_of_max_memory_is_half_of_what_a_container_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(machine, "group_limits", lambda: [100 * MIB])
    assert memory_limit(None) == int(RESIDENT_SHARE * 100 * MIB)
    assert memory_limit(3 * MIB) == 3 * MIB
