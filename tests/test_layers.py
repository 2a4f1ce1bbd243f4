"""A layer imports only those below it (design card, section 3); this reads every import statement."""

import ast
from pathlib import Path

import brenier
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "brenier"

LAYERS = [  # lowest first; a layer may import itself and everything below
    {"errors", "types", "__init__"},
    {"_core", "_cuda", "kernels"},
    {"engine"},
    {"data"},
    {"solve"},
    {"transport", "pair"},
    {"diffusion"},
    {"metrics"},
    {"report"},
    {"cli"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def home(name: str) -> str:
    """The module behind a name imported from brenier itself."""
    return brenier._HOME.get(name, "brenier.__init__" if name == "__version__" else f"brenier.{name}")


def imported_layers(path: Path) -> set[str]:
    """The layers of brenier that a file imports, wherever in the file the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer; write brenier.…"
            modules = [node.module or ""]
            if node.module == "brenier":
                modules = [home(alias.name) for alias in node.names]
        else:
            continue
        found |= {module.split(".")[1] for module in modules if module.startswith("brenier.")}
    return found


def files_of(layer: str) -> list[Path]:
    if layer == "kernels":
        return sorted((ROOT / "kernels").glob("*.py"))
    folder = PACKAGE / layer
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{layer}.py"]


@pytest.mark.parametrize("layer", sorted(RANK.keys() - {"__init__", "_core", "_cuda"}))
def test_layer_imports_only_layers_below(layer: str) -> None:
    for path in files_of(layer):
        for imported in imported_layers(path):
            assert imported in RANK, f"{path} imports brenier.{imported}, which no layer names"
            siblings = imported in LAYERS[RANK[layer]]
            allowed = RANK[imported] < RANK[layer] or imported == layer or siblings
            assert allowed, f"{path.relative_to(ROOT)} ({layer}) imports {imported}, a layer above it"


def test_every_folder_of_the_package_is_a_layer() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= RANK.keys()
