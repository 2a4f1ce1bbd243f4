"""Run by tests/test_wheel.py in a clean environment, outside the source tree, against an installed wheel."""

import sys
from pathlib import Path

import brenier
import torch

assert "site-packages" in brenier.__file__, brenier.__file__
targets = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
result = brenier.fit(targets, progress=False)
assert result.converged
assert result.potential.transport(torch.randn(3, 8)).shape == (3, 8)
assert sorted(brenier.pair(targets, targets.flip(0)).permutation.tolist()) == list(range(50))
kernels = Path(brenier.__file__).parent / "kernels" / "assign.py"
assert kernels.is_file()
statuses = {status.name: status for status in brenier.engines()}
assert statuses["cpu"].available
assert statuses["cuda"].available or len(statuses["cuda"].reason) > 20, statuses["cuda"]
print(statuses["cuda"].reason)
sys.exit(0)
