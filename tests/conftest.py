"""Environment that must be set before torch and triton are imported."""

import os
import signal

import pytest

os.environ.setdefault("TRITON_INTERPRET", "1" if not os.path.exists("/dev/nvidia0") else "0")
# Small tensors: waking threads costs more than they save, and on a busy machine far more.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# A shell that runs this in the background has SIGINT ignored; the tests of Ctrl-C need Python's own handler.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked gpu are skipped, with the reason, where no GPU answers."""
    import torch

    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="no CUDA device on this machine")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)
