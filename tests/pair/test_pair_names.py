"""brenier.pair is a package and a function, whatever was imported first."""

import inspect
import subprocess
import sys

import brenier
import pytest
from brenier.pair.pairing import pair as function

USE = "print(pair(numpy.zeros((3, 2)), numpy.ones((3, 2))).cost)"


@pytest.mark.parametrize(
    "imports",
    [
        "from brenier import pair",
        "import brenier.pair; pair = brenier.pair",
        "from brenier.pair import Pairing; from brenier import pair",
        "import brenier; brenier.pair; import brenier.pair; pair = brenier.pair; pair.Pairing",
    ],
)
def test_pair_can_be_called_in_a_fresh_process_after(imports: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", f"import numpy; {imports}; {USE}"], capture_output=True, text=True, timeout=120
    )
    assert ran.stdout.strip() == "2.0", ran.stderr


def test_the_package_shows_the_signature_of_the_function() -> None:
    assert inspect.signature(brenier.pair) == inspect.signature(function)
