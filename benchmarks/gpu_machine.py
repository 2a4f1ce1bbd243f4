"""gpu_machine.py: what benchmarks/gpu.sh finds on a machine; exits with 1 where something is missing.

The last line is the short of it. Nothing of brenier is imported: this runs before it is built.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import sys

PACKAGES = [
    "torch", "triton", "numpy", "safetensors", "tqdm", "click", "tabulate",  # to run
    "pybind11", "scikit-build-core",  # to build
    "pytest", "hypothesis", "scipy",  # to test
]  # fmt: skip
TOOLS = ["nvcc", "cmake", "ninja"]


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def told(*command: str) -> str:
    """What a tool says about itself, on one line."""
    if shutil.which(command[0]) is None:
        return "not on the PATH"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return " | ".join((done.stdout or done.stderr).strip().splitlines())[:300]


def main() -> int:
    versions = {package: version(package) for package in PACKAGES}
    missing = [package for package, found in versions.items() if found is None]
    missing += [tool for tool in TOOLS if shutil.which(tool) is None]
    for name, found in versions.items():
        print(f"{name} {found}")
    for tool in (*TOOLS, "compute-sanitizer", "c++"):
        print(f"{tool}: {told(tool, '--version')}")
    print(
        "nvidia-smi:",
        told("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"),
    )
    short = f"Python {platform.python_version()}, torch {versions['torch']}, triton {versions['triton']}"
    print(f"{short}; missing: {', '.join(missing) or 'nothing'}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
