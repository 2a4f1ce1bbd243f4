"""benchmarks/gpu.sh with a stand-in for python: what it runs, what it leaves, and what a failure costs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.sh"
PYTHON = r"""#!/usr/bin/env bash
case "$*" in
  "-c import sys, torch"*) exit "${NO_GPU:-0}" ;;
  "-c import xdist") exit 1 ;;
  "-m pip"*) echo "CUDA $BRENIER_CUDA"; [ "$BRENIER_CUDA" != "${BAD_BUILD:-}" ] ;;
  *gpu_case.py*) echo "case"; [ "${!#}" != "${BAD_ENGINE:-}" ] ;;
  "-m pytest"*) sleep "${SLOW_TESTS:-0}"; echo "7 passed" ;;
  *assign_gpu.py*) echo "{}" >"benchmarks/results/a$#.json"; echo "table of ${*:2}" ;;
  *fit_gpu.py*) echo "{}" >benchmarks/results/fit.json; echo "fit of ${*:2}" ;;
  *pairing_gpu.py*) echo "{}" >benchmarks/results/pairing.json; echo "pairs of ${*:2}" ;;
  *) echo "$*" ;;
esac
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "benchmarks" / "results" / "old.json").write_text("{}")
    os.utime(tmp_path / "benchmarks" / "results" / "old.json", (0, 0))
    shutil.copy(SCRIPT, tmp_path / "benchmarks")
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def run(place: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": str(place / "python"), "OUT": str(place / "out")} | settings
    command = ["bash", str(place / "benchmarks" / "gpu.sh"), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def states(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The summary: what became of each step."""
    lines = [line for line in done.stdout.splitlines() if line[29:36].strip() in ("ok", "FAILED")]
    return {line[:28].strip(): line[29:42].strip() for line in lines}


def test_all_steps_run_and_few_files_are_left(place: Path) -> None:
    done = run(place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(states(done).values()) == {"ok"}
    assert list(states(done)) == [
        "machine", "build, CUDA ON", "smoke cuda", "smoke triton", "tests",
        "pairing cuda", "pairing triton", "fit", "benchmark",
    ]  # fmt: skip
    assert done.stdout.rstrip().endswith("table of cuda triton")
    assert sorted(path.name for path in (place / "out").iterdir()) == [
        "a3.json", "fit.json", "gpu.log", "pairing.json",
    ]  # fmt: skip
    assert "7 passed" in (place / "out" / "gpu.log").read_text()


def test_the_fit_alone_is_built_and_run_at_the_size_asked_for(place: Path) -> None:
    done = run(place, "--only-fit", "--fit-scale", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(states(done)) == ["machine", "build, CUDA ON", "fit"]
    assert "fit of --scale 1" in done.stdout
    assert sorted(path.name for path in (place / "out").iterdir()) == ["fit.json", "gpu.log"]


def test_an_unknown_option_is_refused(place: Path) -> None:
    done = run(place, "--scale", "1")
    assert done.returncode == 2
    assert "got --scale" in done.stderr


@pytest.mark.parametrize(
    ("says", "code", "state"),
    [("0 errors", 0, "ok"), ("ERROR SUMMARY: 3 errors", 9, "FAILED (9)"), ("Device not supported", 1, None)],
)
def test_sanitizers_run_on_every_engine(place: Path, says: str, code: int, state: str | None) -> None:
    tool = place / "bin" / "compute-sanitizer"
    tool.parent.mkdir()
    tool.write_text(f'#!/usr/bin/env bash\necho "$2"; echo "========= {says}"; exit {code}\n')
    tool.chmod(0o755)
    done = run(place, PATH=f"{tool.parent}:{os.environ['PATH']}")
    names = [f"{kind} {engine}" for engine in ("cuda", "triton") for kind in ("memcheck", "racecheck")]
    assert done.returncode == (1 if state == "FAILED (9)" else 0)
    assert [states(done).get(name) for name in names] == [state] * 4
    assert done.stdout.count("cannot run on this machine") == (4 if state is None else 0)


def test_without_a_gpu_nothing_is_built(place: Path) -> None:
    done = run(place, NO_GPU="2")
    assert done.returncode == 2
    assert "no CUDA device" in done.stderr
    assert done.stdout == ""


def test_a_compiler_that_fails_leaves_triton_to_be_measured(place: Path) -> None:
    done = run(place, BAD_BUILD="ON", BAD_ENGINE="cuda")
    assert done.returncode == 1
    assert states(done)["build, CUDA ON"] == "FAILED (1)"
    assert states(done)["build, CUDA OFF"] == "ok"
    assert "table of triton" in done.stdout


def test_an_engine_that_fails_at_once_is_measured_last_and_by_itself(place: Path) -> None:
    done = run(place, BAD_ENGINE="triton")
    assert done.returncode == 1
    assert list(states(done))[-3:] == ["pairing cuda", "benchmark", "benchmark triton"]
    assert "table of cuda\n" in done.stdout


@pytest.mark.slow
def test_tests_that_hang_do_not_cost_the_measurements(place: Path) -> None:
    done = run(place, SLOW_TESTS="50", BRENIER_GPU_SECONDS="235")
    assert states(done)["tests"] == "FAILED (124)"
    assert states(done)["benchmark"] == "ok"
