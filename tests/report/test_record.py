"""Records are strict JSON, whatever came in."""

import enum
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from brenier.errors import FileError
from brenier.report.record import new_record, plain, read_record, write_record


class Ending(enum.Enum):
    DONE = "all done"


@dataclass
class Pair:
    x: torch.Tensor
    y: float


def test_values_become_plain_json(tmp_path: Path) -> None:
    value = {1: Pair(torch.tensor([1.5, float("nan")]), float("inf")), "e": Ending.DONE, "p": Path("a/b")}
    value |= {"n": np.float32(0.5), "i": np.int64(3), "t": (True, None)}
    expected = {
        "1": {"x": [1.5, None], "y": None},
        "e": "all done",
        "p": "a/b",
        "n": 0.5,
        "i": 3,
        "t": [True, None],
    }
    assert plain(value) == expected
    write_record(tmp_path / "r.json", value)
    assert json.loads((tmp_path / "r.json").read_text()) == expected


def test_a_record_comes_back_and_another_kind_is_refused(tmp_path: Path) -> None:
    write_record(tmp_path / "r.json", new_record("fit", {"seed": 3}))
    assert read_record(tmp_path / "r.json", "fit")["settings"] == {"seed": 3}
    with pytest.raises(FileError, match="record of a train"):
        read_record(tmp_path / "r.json", "train")


@pytest.mark.parametrize("text", ["", "[1]", '{"kind": "fit"}', "\x00"])
def test_damaged_records_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(FileError):
        read_record(tmp_path / "r.json", "fit")
