"""What is installed, which engines run here, which one would be used, and why."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import torch
from tabulate import tabulate

from brenier.engine.registry import PREFERENCE, choose, engines, runs_here
from brenier.report.record import distribution_version, machine, versions

OPTIONAL = {  # importable name -> (distribution, what it is for, the extra that adds it)
    "scipy": ("scipy", "metrics, bench", "metrics"),
    "sklearn": ("scikit-learn", "the digits", "metrics"),
    "matplotlib": ("matplotlib", "plots, the report", "report"),
    "jinja2": ("jinja2", "the report", "report"),
    "PIL": ("pillow", "image files", "report"),
    "diffusers": ("diffusers", "DPMOTPipeline", "diffusers"),
    "ot": ("POT", "peer in the benchmarks", "bench"),
    "ott": ("ott-jax", "peer in the benchmarks", "bench"),
}


def examine() -> dict[str, Any]:
    """Everything the doctor knows, as plain values."""
    return {
        "versions": versions(),
        "machine": machine(),
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith("BRENIER_")},
        "engines": [vars(row) for row in engines()],
        "chosen": [chosen_for(device) for device in PREFERENCE],
        "cuda": cuda_state(),
        "packages": [package_state(name) for name in OPTIONAL],
    }


def chosen_for(device: str) -> dict[str, str]:
    """The engine that tensors of a device get, and why; what BRENIER_ENGINE says counts."""
    usable = tuple(name for name in PREFERENCE[device] if runs_here(name))
    choice = choose(device, os.environ.get("BRENIER_ENGINE") or None, usable)
    return {"tensors": device, "engine": choice.name, "reason": choice.reason}


def cuda_state() -> dict[str, str]:
    """Torch's CUDA, the driver's devices, and our compiled module."""
    found = torch.cuda.is_available()
    return {
        "torch build": torch.version.cuda or "CPU only",
        "devices": torch.cuda.get_device_name() if found else "none that torch can use",
        "brenier._cuda": "built"
        if importlib.util.find_spec("brenier._cuda")
        else "not built: no nvcc at build time",
    }


def package_state(name: str) -> dict[str, str]:
    distribution, purpose, extra = OPTIONAL[name]
    if importlib.util.find_spec(name) is None:
        return {"package": distribution, "state": f"absent: pip install 'brenier[{extra}]'", "for": purpose}
    return {"package": distribution, "state": distribution_version(distribution), "for": purpose}


def as_text(findings: dict[str, Any]) -> str:
    """The findings as tables for a terminal."""
    pairs = findings["versions"] | findings["machine"] | findings["environment"] | findings["cuda"]
    engine_rows = [
        [e["name"], "yes" if e["available"] else "no", e["reason"], e["detail"]] for e in findings["engines"]
    ]
    chosen = [[f"{c['tensors']} tensors", c["engine"], c["reason"]] for c in findings["chosen"]]
    packages = [list(p.values()) for p in findings["packages"]]
    parts = [
        tabulate([[k, v] for k, v in pairs.items()], tablefmt="plain"),
        tabulate(engine_rows, ["engine", "runs here", "why", "detail"], maxcolwidths=[None, None, 60, 60]),
        tabulate(chosen, ["for", "chosen", "why"]),
        tabulate(packages, ["package", "version", "for"]),
    ]
    return "\n\n".join(parts)
