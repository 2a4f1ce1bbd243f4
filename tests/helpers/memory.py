"""What a process holds at most, by Linux's account."""

from pathlib import Path


def peak() -> int:
    """The most bytes this process has held since the last call."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def resident() -> int:
    """The bytes this process holds now."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) << 10
