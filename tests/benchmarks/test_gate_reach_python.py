"""Which files a hot path reaches, against Python: what it loads is never left out."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from git_project import GitProject
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.gate.reach import reached, read_tree

ROOT = Path(__file__).resolve().parents[2]
SUITES = sorted(
    file.name for file in (ROOT / "benchmarks").glob("[!_]*.py") if "@_hot_path" in file.read_text()
)

LOADED = """
import json, runpy, sys
sys.path[:0] = json.loads(sys.argv[1])
sys.dont_write_bytecode = True
exec(sys.stdin.read(), {"__name__": "entry"})
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
print(json.dumps(files))
"""


def _loaded(statements: str, *paths: Path) -> set[Path]:
    """The files of the modules that a fresh process has loaded after `statements`."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps([str(path) for path in paths])],
        input=statements,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {Path(file) for file in json.loads(done.stdout.splitlines()[-1])}


def _imports_of(file: Path) -> str:
    """Every import statement of a suite file, as a hot path's setup would run it."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    found = [n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(n) for n in found if getattr(n, "module", "") != "__future__")


@pytest.mark.parametrize("suite", SUITES)
def test_python_loads_nothing_of_optimizer_that_is_not_reached(suite: str) -> None:
    statements = f"{_imports_of(ROOT / 'benchmarks' / suite)}\nimport benchmarks.{suite[:-3]}"
    loaded = {
        file.relative_to(ROOT).as_posix()
        for file in _loaded(statements, ROOT)
        if file.is_relative_to(ROOT / "optimizer")
    }
    files = read_tree(ROOT, "optimizer") | read_tree(ROOT, "benchmarks")
    assert loaded  # else the check says nothing
    assert loaded <= reached(files, "optimizer", f"benchmarks/{suite}")


def test_the_graph_tells_our_hot_paths_apart() -> None:
    files = read_tree(ROOT, "optimizer") | read_tree(ROOT, "benchmarks")
    assert "optimizer/backtest/prices.py" not in reached(
        files, "optimizer", "benchmarks/signature.py"
    )
    assert "optimizer/stores/guard.py" in reached(files, "optimizer", "benchmarks/stores.py")


MODULES = ("a", "b", "c", "p", "p.x", "p.y", "q", "q.z")
IMPORTS = (
    "import pkg.{0}",
    "import pkg.{0} as it",
    "from pkg.{0} import value",
    "def f():\n    import pkg.{0}\nf()",
    "import importlib\nimportlib.import_module('pkg.{0}')",
    "import importlib\nNAME = 'pkg.' + '{0}'\nimportlib.import_module(NAME)",
    "import sys\nif 'pkg.{0}' in sys.modules:\n    import pkg.{0}",
    "from pkg.{0} import *",
)


@st.composite
def _packages(draw: st.DrawFn) -> dict[str, str]:
    """A package whose modules import some of those behind them, in various ways."""
    files = {"pkg/__init__.py": ""}
    for i, module in enumerate(MODULES):
        later = st.sampled_from(MODULES[i + 1 :]) if i + 1 < len(MODULES) else st.nothing()
        lines = draw(st.lists(st.builds(str.format, st.sampled_from(IMPORTS), later), max_size=2))
        place = f"{module.replace('.', '/')}{'/__init__' if module in 'pq' else ''}.py"
        files[f"pkg/{place}"] = "\n".join(["value = 1", *lines, ""])
    entry = draw(st.builds(str.format, st.sampled_from(IMPORTS), st.sampled_from(MODULES)))
    return files | {"suite/x.py": entry, "suite/__init__.py": ""}


def _check_against_python(root: Path, files: dict[str, str]) -> None:
    GitProject(root).write(files)
    loaded = {
        file.relative_to(root).as_posix()
        for file in _loaded("import suite.x", root)
        if file.is_relative_to(root / "pkg")
    }
    assert loaded <= reached(files, "pkg", "suite/x.py")


@settings(max_examples=10, deadline=None)
@given(files=_packages())
def test_python_loads_nothing_that_is_not_reached(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]
) -> None:
    _check_against_python(tmp_path_factory.mktemp("toy").resolve(), files)


@pytest.mark.stress
@settings(max_examples=500, deadline=None)
@given(files=_packages())
def test_python_loads_nothing_that_is_not_reached_many(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]
) -> None:
    _check_against_python(tmp_path_factory.mktemp("toy").resolve(), files)
