"""What floors import from outside. That imports run downward is checked with the style (test_style.py)."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "ldreg"
LIBRARY = ("regularizers", "lid", "spectrum", "neighbors")
LIBRARY_FILES = [path for name in LIBRARY for path in SOURCE.glob(f"{name}/[a-z]*.py")]
LIBRARY_FILES += [path for name in LIBRARY for path in SOURCE.glob(f"{name}.py")]


def imports(path: Path) -> set[str]:
    """The modules that a file imports anywhere in it, those for type checking included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


def foreign(path: Path) -> set[str]:
    """Those of them that are neither ldreg's nor Python's own."""
    packages = {name.partition(".")[0] for name in imports(path)}
    return packages - {"ldreg"} - set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", sorted(LIBRARY_FILES), ids=lambda path: path.stem)
def test_the_library_imports_torch_alone(path: Path) -> None:
    assert foreign(path) == {"torch"}
    own = {name for name in imports(path) if name.partition(".")[0] == "ldreg"}
    assert {".".join(name.split(".")[:2]) for name in own} <= {f"ldreg.{other}" for other in LIBRARY}


@pytest.mark.parametrize("path", sorted((SOURCE / "catalogue").glob("*.py")), ids=lambda path: path.stem)
def test_declarations_import_the_standard_library_alone(path: Path) -> None:
    own = {name for name in imports(path) if name.partition(".")[0] == "ldreg"}
    assert foreign(path) == set()
    assert {name.rpartition(".")[0] for name in own} <= {"ldreg", "ldreg.catalogue"}
    assert {name for name in own if not name.startswith("ldreg.catalogue.")} <= {"ldreg.errors"}
