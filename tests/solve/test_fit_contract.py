"""What fit promises beside the answer: determinism, honesty, clear errors, untouched input."""

import itertools
import math
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import brenier
import numpy as np
import pytest
import torch
from brenier.errors import EngineError, InputError, NotConvergedWarning
from brenier.solve import batch, solver
from brenier.solve.memory import copied_bytes, memory_plan
from brenier.solve.result import Status
from helpers import known_answers as problems


def heights(**options: object) -> torch.Tensor:
    return brenier.fit(problems.image_like(300, 24), tol=0.05, progress=False, **options).potential.heights


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    assert torch.equal(heights(seed=3), heights(seed=3))
    assert not torch.equal(heights(seed=3), heights(seed=4))


@pytest.mark.parametrize("make", [lambda: problems.image_like(300, 24), lambda: problems.line(60)[0]])
def test_heights_do_not_depend_on_threads_or_chunks(make: object, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = make()  # type: ignore[operator]
    first = brenier.fit(targets, tol=0.05, progress=False).potential.heights
    monkeypatch.setenv("BRENIER_NUM_THREADS", "1")
    monkeypatch.setattr(batch, "MOST_ROWS", 257)
    assert torch.equal(first, brenier.fit(targets, tol=0.05, progress=False).potential.heights)


def test_subspace_heights_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = problems.image_like(600, 3000)
    first = brenier.fit(targets, tol=0.2, progress=False)
    assert first.sampling.startswith("subspace")
    monkeypatch.setenv("BRENIER_NUM_THREADS", "1")
    second = brenier.fit(targets, tol=0.2, progress=False)
    assert torch.equal(first.potential.heights, second.potential.heights)


def test_an_exhausted_budget_warns_with_the_measured_error() -> None:
    with pytest.warns(NotConvergedWarning, match="χ² ="):
        result = brenier.fit(problems.image_like(300, 24), tol=1e-3, max_samples=3000, progress=False)
    assert not result.converged
    assert result.status is Status.BUDGET
    assert result.error + 2 * result.error_stderr > 1e-3
    assert result.samples == 2304  # a fourth step of 768 would have passed the bound
    assert result.checks[-1].at_samples == result.samples


def test_ctrl_c_returns_the_best_potential_so_far() -> None:
    def interrupt(record: brenier.solve.Record) -> None:
        if record.samples > 5000:
            raise KeyboardInterrupt

    with pytest.warns(NotConvergedWarning, match="interrupted"):
        result = brenier.fit(problems.image_like(300, 24), tol=1e-4, callback=interrupt, progress=False)
    assert result.status is Status.INTERRUPTED
    assert math.isfinite(result.error)
    assert torch.isfinite(result.potential.heights).all()
    assert len(result.history) == 7


def test_a_converged_result_says_so_and_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = brenier.fit(problems.image_like(100, 8), progress=False)
    assert result.converged
    assert result.error + 2 * result.error_stderr <= 0.05
    assert "Converged" in result.summary()


def test_history_counts_samples_and_time_upwards() -> None:
    history = brenier.fit(problems.image_like(100, 8), progress=False).history
    assert all(a.samples < b.samples for a, b in itertools.pairwise(history))
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(history))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_and_strides_are_fitted_and_left_as_they_were(dtype: torch.dtype) -> None:
    targets = problems.image_like(64, 10).to(dtype).T.contiguous().T
    before = targets.clone()
    result = brenier.fit(targets, tol=0.1, progress=False)
    assert result.converged
    assert torch.equal(targets, before)
    assert result.potential.transport(torch.randn(4, 10)).dtype == dtype


def test_files_and_noised_latents_are_fitted_like_the_tensors_they_hold(tmp_path: Path) -> None:
    targets = problems.image_like(60, 8)
    np.save(tmp_path / "targets.npy", targets.numpy())
    from_file = brenier.fit(tmp_path / "targets.npy", progress=False)
    assert torch.equal(from_file.potential.heights, brenier.fit(targets, progress=False).potential.heights)
    latents = brenier.data.NoisedLatents(targets, sigma=0.5, seed=3)
    from_latents = brenier.fit(latents, progress=False)
    straight = brenier.fit(latents.materialise(), progress=False)
    assert torch.equal(from_latents.potential.heights, straight.potential.heights)


def test_arrays_come_back_as_arrays() -> None:
    result = brenier.fit(np.random.default_rng(0).standard_normal((30, 4)), tol=0.1, progress=False)
    noise = np.random.default_rng(1).standard_normal((9, 4))
    assert isinstance(result.potential.assign(noise), np.ndarray)
    assert result.potential.transport(noise).shape == (9, 4)


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (torch.zeros(0, 3), {}, "at least one target"),
        (torch.zeros(3, 0), {}, "at least one target"),
        (torch.zeros(3), {}, "a matrix"),
        (torch.full((3, 2), math.nan), {}, "finite numbers, got nan at \\[0, 0\\]"),
        (torch.tensor([[1.0], [math.inf]]), {}, "inf at \\[1, 0\\]"),
        (torch.zeros(3, 2, dtype=torch.int64), {}, "float32"),
        ([["a"]], {}, "targets"),
        (torch.ones(3, 2), {"weights": torch.ones(4)}, "shape \\(n,\\) = \\(3,\\)"),
        (torch.ones(3, 2), {"weights": [1.0, -1.0, 1.0]}, "masses ≥ 0"),
        (torch.ones(3, 2), {"weights": [0.0, 0.0, 0.0]}, "positive sum"),
        (torch.ones(3, 2), {"weights": [1.0, math.nan, 1.0]}, "finite"),
        (torch.tensor([[1e-60], [2e-60]], dtype=torch.float64), {}, "multiply them"),
        (torch.ones(3, 2), {"tol": 0.0}, "tol"),
        (torch.ones(3, 2), {"tol": True}, "tol"),
        (torch.ones(3, 2), {"tol": 1e-200}, "tol"),
        (torch.ones(3, 2), {"max_samples": True}, "max_samples"),
        (torch.ones(3, 2), {"seed": True}, "seed"),
        (torch.ones(3, 2), {"callback": 3}, "callback"),
        (torch.ones(3, 2), {"checkpoint": 3}, "checkpoint"),
        (torch.ones(3, 2), {"max_memory": "4G"}, "max_memory"),
        (torch.ones(3, 2), {"device": "nowhere"}, "device"),
        (torch.ones(3, 2), {"tol": math.nan}, "tol"),
        (torch.ones(3, 2), {"max_samples": 0}, "max_samples"),
        (torch.ones(3, 2), {"seed": -1}, "seed"),
        (torch.ones(3, 2), {"noise": "uniform"}, "noise"),
        (torch.ones(3, 2), {"max_memory": 10}, "max_memory: expected at least"),
    ],
)
def test_bad_input_is_refused_before_any_work(targets: object, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        brenier.fit(targets, progress=False, **options)


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(EngineError, match="'quantum'"):
        brenier.fit(torch.ones(3, 2), engine="quantum", progress=False)


def test_numpy_numbers_are_numbers() -> None:
    result = brenier.fit(
        problems.image_like(30, 4),
        tol=np.float32(0.1),
        seed=np.int64(1),
        max_samples=np.int64(50_000),
        progress=False,
    )
    assert result.converged


def test_a_real_ctrl_c_ends_the_fit_with_a_result() -> None:
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.warns(NotConvergedWarning, match="interrupted") as caught:
            result = brenier.fit(problems.image_like(3000, 48), tol=1e-6, progress=False)
    finally:
        timer.cancel()
    assert result.status is Status.INTERRUPTED
    assert result.seconds < 5
    assert caught[0].filename == __file__


def test_ctrl_c_before_the_first_step_returns_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(solver, "choose_start", interrupted)
    with pytest.warns(NotConvergedWarning):
        result = brenier.fit(problems.image_like(100, 8), progress=False)
    assert result.samples == 0
    assert torch.isfinite(result.potential.heights).all()


def test_the_progress_bar_shows_the_memory_plan_and_the_error(capfd: pytest.CaptureFixture[str]) -> None:
    brenier.fit(problems.image_like(100, 8))
    shown = capfd.readouterr().err
    assert "memory: at most" in shown
    assert "χ² ≈" in shown


THREADED_BLAS = """
import brenier, torch, hashlib
targets = torch.randn(10_500, 3, generator=torch.Generator().manual_seed(0))
result = brenier.fit(targets, max_samples=16_000, progress=False)
print(hashlib.sha256(result.potential.heights.numpy().tobytes()).hexdigest())
"""


def test_long_height_vectors_do_not_depend_on_the_threads_of_any_library() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", THREADED_BLAS],
            env={**os.environ, "OPENBLAS_NUM_THREADS": n, "OMP_NUM_THREADS": n, "BRENIER_NUM_THREADS": n},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for n in ("1", "2")
    }
    assert len(found) == 1


def test_targets_beyond_float32_are_refused_in_words_alone() -> None:
    targets = torch.tensor([[1e300], [-1e300]], dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="after centring"):
            brenier.fit(targets, progress=False)


def test_the_plan_holds_two_passes_of_coordinates_and_the_counts_of_a_check() -> None:
    """64 subspaces of 32 beside 16 directions, of 10⁶ targets of 256 numbers: less than that fits once took more."""
    n = 10**6
    held = 4 * n * (2 * 256 + 16 + 4 * (32 + 16)) + 8 * 64 * n
    assert memory_plan(n, 256).packed >= held


def test_the_plan_counts_copies_of_the_targets_as_given() -> None:
    """Those of another device, and those with mass where some have none."""
    here, away = (torch.empty(300, 7, dtype=torch.float16, device=device) for device in ("cpu", "meta"))
    assert [copied_bytes(targets, 300) for targets in (here, away)] == [0, 300 * 7 * 2]
    assert [copied_bytes(targets, 200) for targets in (here, away)] == [200 * 7 * 2, 500 * 7 * 2]
    assert "copied" in str(memory_plan(300, 7, copied=4200))
    assert "copied" not in str(memory_plan(300, 7))


@pytest.mark.parametrize(
    ("shape", "dtype", "without"),
    [((6000, 2), "float32", 0), ((4000, 64), "float32", 0), ((40_000, 256), "float64", 10)],
    ids=["crowded", "spread", "some without mass"],
)
def test_peak_memory_stays_within_the_plan(shape: tuple[int, int], dtype: str, without: int) -> None:
    code = f"""
import resource, brenier, torch
from brenier.solve.memory import copied_bytes, memory_plan
brenier.fit(torch.randn(50, 2), progress=False)
n, d = {shape}
targets = torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.{dtype})
weights = (torch.arange(n) >= {without}).double()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
brenier.fit(targets, weights=weights, max_samples=40_000, progress=False)
used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
plan = memory_plan(n, d, copied_bytes(targets, n - {without}))
assert used <= 1.1 * plan.total, (used, plan)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
