"""What import-linter cannot say of the layers: who is science, and which imports wait for a call.

Which modules are shell is declared once, in the import-linter contracts of pyproject.toml.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHELL_LIBRARIES = {"alembic", "boto3", "botocore", "mlflow", "psycopg2", "sqlalchemy"}
LATE = {"tensorflow": "training/network.py", "onnxruntime": "detections/scoring.py"}


def _contract(word: str) -> dict[str, list[str]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return next(entry for entry in settings["contracts"] if word in entry["name"])


def _is_shell(module: str) -> bool:
    for line in _contract("Science knows no")["ignore_imports"]:
        pattern = re.escape(line.split(" -> ")[0]).replace(r"\*\*", r".+").replace(r"\*", r"[^.]+")
        if re.fullmatch(pattern, module):
            return True
    return False


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def _imports(tree: ast.AST, module: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _late(tree: ast.Module) -> set[int]:
    """Return the lines of imports that stand inside a function or under TYPE_CHECKING."""
    waits = (ast.FunctionDef, ast.AsyncFunctionDef)
    inside = [node for node in ast.walk(tree) if isinstance(node, waits)]
    inside += [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    return {
        child.lineno
        for node in inside
        for child in ast.walk(node)
        if isinstance(child, (ast.Import, ast.ImportFrom))
    }


SCIENCE = [path for path in _files("astrid_assets") if not _is_shell(_module(path))]


def test_there_is_science_and_there_is_shell() -> None:
    assert SCIENCE
    assert _is_shell("astrid_assets.difference.assets")
    assert not _is_shell("astrid_assets.difference.zogy")
    assert not _is_shell("astrid_assets.difference")


@pytest.mark.parametrize("path", SCIENCE, ids=_module)
def test_science_imports_no_shell_and_of_the_resources_the_images_alone(path: Path) -> None:
    module = _module(path)
    for name, line in _imports(ast.parse(path.read_text()), module):
        where = f"{path.relative_to(ROOT)}:{line} imports {name}"
        first = name.split(".")[0]
        assert first not in SHELL_LIBRARIES, where
        assert not first.startswith("dagster"), where
        if first == "astrid_resources":
            assert name.startswith("astrid_resources.images"), where
        if first == "astrid_assets":
            assert not _is_shell(name), where
            assert not _is_shell(name.rpartition(".")[0]), where


@pytest.mark.parametrize("path", _files("astrid_resources/images"), ids=_module)
def test_images_stand_on_numpy_and_astropy_alone(path: Path) -> None:
    allowed = {"numpy", "astropy", *sys.stdlib_module_names}
    for name, line in _imports(ast.parse(path.read_text()), _module(path)):
        where = f"{path.relative_to(ROOT)}:{line} imports {name}"
        assert name.split(".")[0] in allowed or name.startswith("astrid_resources.images"), where


@pytest.mark.parametrize("path", _files("astrid_assets") + _files("astrid_resources"), ids=_module)
def test_heavy_libraries_wait_for_a_call(path: Path) -> None:
    tree = ast.parse(path.read_text())
    late = _late(tree)
    for name, line in _imports(tree, _module(path)):
        first = name.split(".")[0]
        where = f"{path.relative_to(ROOT)}:{line} imports {name}"
        if first in LATE:
            assert str(path).endswith(LATE[first]), where
        if first in LATE or first in {"keras", "mlflow", "tf2onnx"}:
            assert line in late, f"{where} at import"
