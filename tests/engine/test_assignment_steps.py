"""Native calls are short, so that Ctrl-C and other threads get their turn."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
from brenier import _core
from brenier.engine.assignment import DONE, ELEMENTS_PER_STEP, RUNNING, assign_square
from helpers.assignment_families import FAMILIES

INTERRUPTED = """
import numpy as np, brenier
print("ready", flush=True)
try:
    while True:
        brenier.solve_assignment(-np.outer(np.arange(1.0, 2049), np.arange(1.0, 2049)))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def steps_of(scores: np.ndarray, budget: int) -> tuple[np.ndarray, list[float]]:
    """The permutation, and processor seconds of each native call."""
    n = len(scores)
    problem = _core.open_assignment(scores.ctypes.data, False, n, n, 1, True)
    seconds, status = [], RUNNING
    while status == RUNNING:
        started = time.thread_time()
        status = problem.step(budget)
        seconds.append(time.thread_time() - started)
    assert status == DONE
    permutation, duals = np.empty(n, np.int64), np.empty((2, n))
    problem.write(permutation.ctypes.data, duals[0].ctypes.data, duals[1].ctypes.data)
    return permutation, seconds


def test_a_native_call_on_2048_rows_lasts_under_a_tenth_of_a_second() -> None:
    for family in ("images", "geometric"):
        scores = FAMILIES[family](2048, np.random.default_rng(1))
        _, seconds = steps_of(scores, ELEMENTS_PER_STEP)
        assert len(seconds) > 1
        assert max(seconds) < 0.1


def test_the_answer_does_not_depend_on_the_steps() -> None:
    for family in ("images", "small integers", "rank two"):
        for n in (20, 400, 700):
            scores = FAMILIES[family](n, np.random.default_rng(n)).astype(np.float64)
            whole = assign_square(scores).permutation
            pieces, seconds = steps_of(scores, 3 * n)
            assert len(seconds) > n / 3
            assert (pieces == whole).all()


def test_interrupt_is_answered_during_a_long_solve() -> None:
    child = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.5)  # into the solve
    os.kill(child.pid, signal.SIGINT)
    try:
        out, _ = child.communicate(timeout=20)
    finally:
        child.kill()
    assert out == "interrupted\n"
