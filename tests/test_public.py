"""The public surface: names, laziness, and life without optional packages."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import optimizer

HEAVY = ("numpy", "numba", "pandas", "optuna", "orjson")


def run(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "module",
    [
        *("", ".errors", ".protocols", "._compat", ".caching", ".configuration", ".space"),
        *(".signature", ".sampling.enumeration", ".stores.sqlite", ".stores.remembering"),
        *(".stores.fingerprint", ".stores.metadata", ".stores.results", ".stores.records_import"),
    ],
)
def test_the_lower_floors_load_nothing_heavy(module: str) -> None:
    code = f"import sys, optimizer{module}; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code) == "[]"


def test_signing_loads_nothing_heavy() -> None:
    code = (
        "import sys, optimizer as o;"
        "s = o.SearchSpace({'p': {'type': 'float', 'min': 0, 'max': 1, 'step': 0.1}});"
        "o.param_signature({'p': 0.3}, s); o.param_signature({'p': [0.3]});"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    assert run(code) == "[]"


@pytest.mark.parametrize("without", ["", "numba,orjson"])
def test_every_public_name_resolves(without: str) -> None:
    # A missing accelerator warns, on purpose; this is about names.
    code = (
        "import warnings; warnings.simplefilter('ignore');"
        "import optimizer; print(all(getattr(optimizer, n) is not None for n in optimizer.__all__))"
    )
    assert run(code, OPTIMIZER_WITHOUT=without) == "True"


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(optimizer.__file__).read_text(encoding="utf-8"))
    blocks = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = {
        alias.asname: node.module
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name  # only `as` re-exports
    }
    assert seen == optimizer._ROOMS


def test_all_is_sorted_and_in_dir() -> None:
    first, *names = optimizer.__all__
    assert first == "__version__"
    assert names == sorted(optimizer._ROOMS)
    assert set(optimizer.__all__) <= set(dir(optimizer))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'optimizer' has no attribute 'nothing'"):
        _ = optimizer.nothing


def test_a_name_is_looked_up_once() -> None:
    assert optimizer.SearchSpace is optimizer.SearchSpace
    assert "SearchSpace" in vars(optimizer)


def test_the_version_stands_in_one_place() -> None:
    root = Path(optimizer.__file__).parents[1]
    found = [
        file.relative_to(root).as_posix()
        for folder in ("optimizer", "benchmarks", "profiling")
        for file in (root / folder).rglob("*.py")
        if "__version__ = " in file.read_text(encoding="utf-8")
    ]
    assert found == ["optimizer/__init__.py"]
    settings = (root / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dynamic = ["version"]' in settings
    assert optimizer.__version__ not in settings.partition("[dependency-groups]")[0].split('"')
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{optimizer.__version__}]" in changes or f", {optimizer.__version__}," in changes
