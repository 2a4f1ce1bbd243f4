"""Importing brenier does nothing: it is quick, loads no optional package, touches no device and no file."""

import json
import subprocess
import sys
from typing import Any

import pytest

HEAVY = ("triton", "matplotlib", "sklearn", "scipy", "jinja2", "diffusers", "PIL", "click")


def in_fresh_process(code: str) -> Any:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_import_is_quick_and_loads_nothing_heavy() -> None:
    code = f"""
import json, sys, time
start = time.process_time()
import torch, numpy, tqdm
before, torch_seconds = set(sys.modules), time.process_time() - start
start = time.process_time()
import brenier
brenier.fit, brenier.pair, brenier.assign, brenier.Potential
seconds = time.process_time() - start
loaded = set(sys.modules) - before
print(json.dumps({{"share": seconds / torch_seconds, "heavy": [name for name in {HEAVY} if name in loaded],
                   "cuda": torch.cuda.is_initialized()}}))
"""
    found = in_fresh_process(code)
    assert found["heavy"] == []
    assert not found["cuda"]
    assert found["share"] < 0.3  # of torch's own import: seconds would depend on who else is on the machine


def test_importing_the_package_alone_does_not_even_load_torch() -> None:
    found = in_fresh_process(
        "import json, sys, brenier; print(json.dumps({'torch': 'torch' in sys.modules}))"
    )
    assert not found["torch"]


PUBLIC = {
    **dict.fromkeys(("Candidates", "Coupling", "FitResult", "PairedPool", "Pairing", "Potential"), "type"),
    **dict.fromkeys(
        ("assign", "candidates", "engines", "fit", "fit_hierarchical", "pair", "prepare"), "function"
    ),
    "solve_assignment": "function",
    **dict.fromkeys(("data", "diffusion", "engine", "metrics", "report", "solve", "transport"), "module"),
}


def test_every_public_name_resolves_to_the_thing_of_that_name_whichever_comes_first() -> None:
    code = f"""
import importlib, json, sys, torch
found = {{}}
for name in {list(PUBLIC)}:
    for module in [m for m in sys.modules if m.split(".")[0] == "brenier" and m != "brenier._core"]:
        del sys.modules[module]
    got = getattr(importlib.import_module("brenier"), name)
    found[name] = [type(got).__name__, got.__name__.removeprefix("brenier.")]
print(json.dumps(found))
"""
    assert in_fresh_process(code) == {name: [kind, name] for name, kind in PUBLIC.items()}


def test_the_kinds_above_cover_every_public_name() -> None:
    import brenier

    assert set(PUBLIC) == {*brenier._HOME, *brenier._SUBMODULES}


def test_all_lists_every_public_name() -> None:
    import brenier

    assert set(brenier.__all__) == {"__version__", *brenier._HOME}


def test_an_unknown_name_is_an_attribute_error() -> None:
    import brenier

    with pytest.raises(AttributeError, match="nothing"):
        _ = brenier.nothing
