"""Run records: what was run, where, with which versions, and every number that came out, as strict JSON."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import importlib.metadata
import json
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import brenier
from brenier.data.atomic import write_text
from brenier.errors import FileError


def versions() -> dict[str, str]:
    """Of brenier, Python and the packages that decide numbers."""
    found = {"brenier": brenier.__version__, "python": sys.version.split()[0]}
    found |= {"torch": torch.__version__, "numpy": np.__version__, "triton": distribution_version("triton")}
    return found


def distribution_version(name: str) -> str:
    """The version of an installed distribution, or "absent"."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def machine() -> dict[str, str]:
    """Of this machine: processor, cores this process may use, memory, system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": processor(),
        "cores": str(len(os.sched_getaffinity(0)))
        if hasattr(os, "sched_getaffinity")
        else str(os.cpu_count()),
        "memory": f"{memory:.1f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def new_record(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The head of every run record."""
    return {
        "kind": kind,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "machine": machine(),
        "settings": plain(settings),
    }


def plain(value: Any) -> Any:
    """The value as JSON types: tensors and arrays as lists, NaN and Inf as None, enums as their sentence."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON, whole or not at all."""
    write_text(path, json.dumps(plain(record), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_record(path: Path, kind: str) -> dict[str, Any]:
    """A record of that kind; raises FileError for anything else."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(str(path), expected=f"the record of a {kind}", got=str(error)) from error
    if not isinstance(record, dict) or record.get("kind") != kind or "settings" not in record:
        raise FileError(str(path), expected=f"the record of a {kind}", got="something else")
    return record
