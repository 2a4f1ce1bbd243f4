"""What this process may use of the machine it runs on."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath

GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def memory_bytes() -> int:
    """The machine's memory, or a container's limit where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *group_limits()])


def group_limits(groups: Path = GROUPS, own: Path = OWN_GROUPS) -> list[int]:
    """Limits in bytes of the control groups (Linux, versions 1 and 2) that hold this process, outermost last.

    A container may see its own group as the root, or a path from outside that leads nowhere in it: what is missing is
    passed over.
    """
    limits: list[int] = []
    for line in lines_of(own):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        inside = PurePosixPath(path).relative_to("/")
        for folder in (inside, *inside.parents):
            found = lines_of(top / folder / name)
            limits += [int(size) for size in found if size.isdecimal()]  # "max" is none
    return limits


def lines_of(path: Path) -> list[str]:
    """The lines of a file; none where it cannot be read."""
    with contextlib.suppress(OSError):
        return path.read_text().splitlines()
    return []
