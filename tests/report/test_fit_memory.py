"""What fit_file holds while it fits: one copy of the targets, as max_memory counts."""

import weakref
from pathlib import Path
from typing import Any

import brenier
import numpy as np
import pytest
from brenier.report import fitting


def test_clean_rows_are_let_go_once_their_noised_latents_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32))
    clean: list[Any] = []
    read, fit = fitting.read_or_stream, brenier.fit

    def reading(*paths: Any, **options: Any) -> Any:
        rows, note = read(*paths, **options)
        clean.append(weakref.ref(rows))
        return rows, note

    def fits(source: Any, **options: Any) -> Any:
        assert clean[0]() is None
        return fit(source, **options)

    monkeypatch.setattr(fitting, "read_or_stream", reading)
    monkeypatch.setattr(brenier, "fit", fits)
    path = tmp_path / "p.safetensors"
    record = fitting.fit_file(
        tmp_path / "x.npy", path, sigma=0.3, tol=0.3, progress=False, say=lambda _: None
    )
    assert record["targets"] == "50 rows of 6 numbers, float32"
