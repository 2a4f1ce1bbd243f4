"""A wheel, with and without CUDA, installs into a clean environment and works outside the source tree."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("cuda", ["AUTO", "OFF"])
def test_a_wheel_works_in_a_clean_environment(cuda: str, tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip")
    constraints = str(ROOT / "constraints.txt")
    run(
        *pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT,
        cwd=tmp_path, BRENIER_CUDA=cuda, PIP_CONSTRAINT=constraints,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("brenier-*.whl")
    python = tmp_path / "clean" / "bin" / "python"
    run(sys.executable, "-m", "venv", tmp_path / "clean", cwd=tmp_path)
    run(python, "-m", "pip", "install", "--constraint", constraints, "torch", cwd=tmp_path)
    run(python, "-m", "pip", "install", "--constraint", constraints, wheel, cwd=tmp_path)
    reason = run(python, ROOT / "tests" / "wheel_smoke.py", cwd=tmp_path, TRITON_INTERPRET="0")
    assert ("without CUDA" in reason) == (cuda == "OFF" or not has_nvcc())
    assert "brenier" in run(tmp_path / "clean" / "bin" / "brenier", "--version", cwd=tmp_path)


def has_nvcc() -> bool:
    """As CMake looks for it: what CUDACXX names, else nvcc on the PATH."""
    return which(os.environ.get("CUDACXX") or "nvcc") is not None


def test_a_compiler_named_by_cudacxx_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("CUDACXX", raising=False)
    assert not has_nvcc()
    compiler = tmp_path / "nvcc"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CUDACXX", str(compiler))
    assert has_nvcc()
