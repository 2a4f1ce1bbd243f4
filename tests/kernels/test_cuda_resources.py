"""The CUDA compiler's resource report: no kernel keeps its accumulators in local memory."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parents[2] / "csrc"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on the PATH")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90a", "sm_100"])
def test_scan_kernels_spill_nothing(architecture: str, tmp_path: Path) -> None:
    options = ["-std=c++17", "-O3", "-cubin", f"-arch={architecture}", "-Xptxas", "-v", f"-I{CSRC}"]
    command = ["nvcc", *options, "-o", str(tmp_path / "scan.cubin"), str(CSRC / "cuda" / "scan.cu")]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report)
    assert spills == [("0", "0", "0")] * 3, report
    assert "warning" not in report
