"""Numbers that are not finite are found by several threads, and the first of them is named."""

import pytest
import torch
from brenier.engine.checks import require_finite
from brenier.errors import InputError


def test_the_first_of_several_spoiled_blocks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_NUM_THREADS", "3")
    rows = torch.zeros(2100, 4096)  # three blocks
    require_finite(rows, "x")
    rows[2080, 0], rows[1500, 3], rows[1500, 7] = torch.nan, torch.inf, torch.nan
    with pytest.raises(InputError, match=r"inf at \[1500, 3\]"):
        require_finite(rows, "x")


def test_nothing_is_finite() -> None:
    require_finite(torch.empty(0, 5), "x")
    require_finite(torch.empty(5, 0), "x")
    with pytest.raises(InputError, match="nan"):
        require_finite(torch.tensor(torch.nan), "x")
