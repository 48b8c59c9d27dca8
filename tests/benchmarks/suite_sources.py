"""The benchmark suites as source and as declared hot paths, for tests. (Not a test file.)"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

from benchmarks import _registry
from benchmarks._registry import RegisteredPath

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"
SUITES = sorted(file for file in FOLDER.glob("*.py") if not file.name.startswith("_"))

PATHS = {path.name: path for path in _registry.load()}
NAMES = sorted(PATHS)

Class = ast.ClassDef


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


@functools.cache
def classes(file: Path) -> dict[str, Class]:
    return {node.name: node for node in tree(file).body if isinstance(node, Class)}


def is_hot_path(node: Class) -> bool:
    called = (decorator for decorator in node.decorator_list if isinstance(decorator, ast.Call))
    return any(getattr(call.func, "id", "").lstrip("_") == "hot_path" for call in called)


def lineage(file: Path, node: Class) -> list[Class]:
    """The class and its bases in the same file."""
    found = [node]
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes(file):
            found += lineage(file, classes(file)[base.id])
    return found


def source_of(path: RegisteredPath) -> tuple[Path, Class]:
    module, name = path.name.split(".")
    file = FOLDER / f"{module}.py"
    return file, classes(file)[name]


def methods(path: RegisteredPath) -> dict[str, ast.FunctionDef]:
    """Every method the path's class has, by name, its own before its bases'."""
    found: dict[str, ast.FunctionDef] = {}
    for node in lineage(*source_of(path)):
        for item in node.body:
            if isinstance(item, ast.FunctionDef):
                found.setdefault(item.name, item)
    return found


def imported(node: ast.AST) -> set[str]:
    """Modules that the code below `node` imports."""
    found: set[str] = set()
    for item in ast.walk(node):
        if isinstance(item, ast.ImportFrom) and item.module:
            found |= {item.module, *(f"{item.module}.{alias.name}" for alias in item.names)}
        elif isinstance(item, ast.Import):
            found |= {alias.name for alias in item.names}
    return found


def names_read(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


@pytest.fixture(params=NAMES)
def path(request: pytest.FixtureRequest) -> RegisteredPath:
    """Every hot path in turn."""
    return PATHS[request.param]
