"""Powers of two that keep products inside float32."""

import pytest
import torch
from brenier.engine.scale import moderate


def test_only_what_is_huge_or_tiny_is_scaled_and_by_a_power_of_two() -> None:
    for value in (0.0, 1.0, -2e14, 4e-15):
        rows, power = moderate(torch.tensor([[value, 0.0]]))
        assert (rows[0, 0].item(), power) == (torch.tensor(value).item(), 1.0)
    for value in (3e38, 1e-45, -1e300, 1e-300):
        rows, power = moderate(torch.tensor([[value, 0.0]], dtype=torch.float64))
        assert 0.5 <= abs(rows[0, 0].item()) <= 1
        assert rows[0, 0].item() == pytest.approx(value * power, rel=1e-7)
    assert moderate(torch.empty(0, 3))[1] == 1.0
