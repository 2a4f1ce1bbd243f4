"""What is damaged or no data at all ends in an error that says so, never in one of numpy's, torch's or Python's."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brenier
import numpy as np
import pytest
import torch
from brenier.data import (
    ArraySource,
    CallableSource,
    FlippedSource,
    NoisedLatents,
    huggingface_source,
    open_source,
    raw_source,
)
from brenier.errors import BrenierError, FileError, InputError
from torch import Tensor

ROWS = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "change",
    [
        {"shape": ["x", 6]},
        {"shape": [4, None]},
        {"shape": [4.5, 6]},
        {"shape": 4},
        {"shape": [-4, 6]},
        {"dtype": ["F32"]},
        {"dtype": None},
        {"data_offsets": []},
        {"data_offsets": ["0", 96]},
        {"data_offsets": [-8, 96]},
    ],
)
def test_safetensors_headers_that_lie_are_damage(tmp_path: Path, change: dict[str, Any]) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [4, 6], "data_offsets": [0, 96]} | change}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(96))
    with pytest.raises(FileError, match=r"x\.safetensors"):
        open_source(path)


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "foo"},
        {"dtype": "O"},
        {"dtype": "longdouble"},
        {"shape": 40},
        {"shape": ()},
        {"shape": (-2, -6)},
        {"shape": (2.0, 6)},
        {"offset": -8},
        {"offset": 1.5},
    ],
)
def test_raw_files_of_impossible_shapes_and_types_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(2048))
    with pytest.raises(InputError):
        raw_source(tmp_path / "x.bin", **({"shape": (20, 6), "dtype": "f4"} | change))


def test_numbers_wider_than_64_bits_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 3), np.longdouble))
    with pytest.raises(FileError, match=r"longdouble|float128"):
        open_source(tmp_path / "x.npy")


@pytest.mark.parametrize("targets", [[[1, 2]], None, 3, b"abc", {}])
def test_what_is_no_source_is_refused(targets: Any) -> None:
    with pytest.raises(InputError, match="targets: expected a source"):
        open_source(targets)


@pytest.mark.parametrize(("lo", "hi"), [(0.0, 3), (None, 3), (0, "3"), (-1, 3), (3, 2), (0, 41)])
def test_ranges_are_whole_numbers(lo: Any, hi: Any) -> None:
    for source in (
        ArraySource(ROWS),
        NoisedLatents(ROWS, sigma=1.0),
        FlippedSource(ArraySource(ROWS), (1, 2, 3)),
    ):
        with pytest.raises(InputError, match="range"):
            source.read(lo, hi if hi != 41 else len(source) + 1)


@pytest.mark.parametrize("shape", [(-1, -2, 3), (1, 2, 4), (6,), (1, 1, 2, 3), 6, (1, 2.0, 3)])
def test_image_shapes_that_are_none_are_refused(shape: Any) -> None:
    with pytest.raises(InputError, match="image_shape"):
        FlippedSource(ArraySource(ROWS), shape)


@pytest.mark.parametrize("change", [{"function": 3}, {"shape": (-3, 6)}, {"shape": 3}])
def test_functions_that_are_none_are_refused(change: dict[str, Any]) -> None:
    options: dict[str, Any] = {"function": lambda lo, hi: ROWS[lo:hi], "shape": (40, 6)}
    with pytest.raises(InputError):
        CallableSource(**(options | change), dtype=torch.float32, value_range="raw")


@pytest.mark.parametrize("rows", [[None] * 4, [[1.0, 2.0], None], [[1.0, [2.0]]], ["a", "b"]])
def test_entries_of_a_column_that_are_no_numbers_are_named(rows: list[Any]) -> None:
    class Column(list):
        def __getitem__(self, key: Any) -> Any:
            return {"x": list.__getitem__(self, key)}

    with pytest.raises(InputError, match=r"row [01] of 'x'"):
        huggingface_source(Column(rows), "x", value_range="raw").read(0, len(rows))


class Source:
    """A source of 40 rows that reads what it was told to."""

    shape, dtype = (40, 6), torch.float32

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self.function = function

    def __len__(self) -> int:
        return 40

    def read(self, lo: int, hi: int, out: Tensor | None = None) -> Any:  # noqa: ARG002
        return self.function(ROWS[lo:hi])


@pytest.mark.parametrize(
    "function", [lambda _: None, lambda rows: rows.numpy(), lambda rows: rows[1:], lambda rows: rows.double()]
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_source_that_reads_no_rows_is_refused(
    function: Callable[[Tensor], Any], streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brenier.solve.fitting.must_stream", lambda *_: streamed)
    wrong: Any = Source(function)
    with pytest.raises(InputError, match="read"):
        NoisedLatents(wrong, sigma=1.0).read(0, 5)
    with pytest.raises(InputError, match="read"):
        NoisedLatents(wrong, sigma=1.0).take(torch.tensor([1, 7]))
    if streamed:
        with pytest.raises(InputError, match="read"):
            brenier.fit(wrong, progress=False)


def test_levels_and_seeds_of_latents_are_numbers_that_float32_holds() -> None:
    for change in ({"sigma": 1e300}, {"sigma": 1.0, "scale": -1e300}):
        with pytest.raises(InputError, match="scale and sigma"):
            NoisedLatents(ROWS, **change)
    assert NoisedLatents(ROWS, sigma=1e37).read(0, 40).isfinite().all()
    latents = NoisedLatents(ROWS, sigma=1.0)
    for seeds in ([1.5, 2], torch.tensor([1.5, 2.0]), [-1, 2], ["a", 2]):
        with pytest.raises(InputError, match="seeds"):
            latents.take(torch.tensor([0, 1]), seeds=seeds)
    taken = [
        latents.take(torch.tensor([0, 1]), seeds=s) for s in ([3, 4], torch.tensor([3, 4]), np.array([3, 4]))
    ]
    assert all(torch.equal(one, taken[0]) for one in taken)


@pytest.mark.parametrize("labels", [[2**63] * 40, np.full(40, 2**63, np.uint64), [2**70] * 40])
def test_labels_beyond_int64_are_refused(labels: Any) -> None:
    with pytest.raises(BrenierError, match="labels"):
        brenier.fit(ROWS, labels=labels, progress=False)


def test_labels_of_any_integer_type_serve() -> None:
    plain = brenier.fit(ROWS, labels=np.arange(40) % 2, tol=0.5, progress=False)
    for kind in (np.uint64, np.ulonglong, np.longlong, np.uint8):
        found = brenier.fit(ROWS, labels=(np.arange(40) % 2).astype(kind), tol=0.5, progress=False)
        assert torch.equal(found.potential.potentials[1].heights, plain.potential.potentials[1].heights)
