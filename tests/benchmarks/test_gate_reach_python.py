"""Which files a hot path reaches, against Python: what it loads is never left out."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from git_project import GitProject
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.gate.reach import Graph, reached, read_tree

ROOT = Path(__file__).resolve().parents[2]
SUITES = sorted(
    file.name for file in (ROOT / "benchmarks").glob("[!_]*.py") if "@_hot_path" in file.read_text()
)

# Everyone else's packages are imported once; each question is answered by a child that has run
# nothing of ours before.
SERVER = """
import importlib, json, os, sys, traceback
sys.dont_write_bytecode = True
for name in ("numpy", "pandas", "numba", "optuna", "orjson"):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
for line in sys.stdin:
    paths, statements = json.loads(line)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)  # what the statements print is no answer
        sys.path[:0] = paths
        try:
            exec(statements, {"__name__": "entry"})
            modules = list(sys.modules.values())
            answer = [getattr(module, "__file__", None) or "" for module in modules]
        except BaseException:
            answer = traceback.format_exc()
        with open(writing, "w") as file:
            json.dump(answer, file)
        os._exit(0)
    os.close(writing)
    with open(reading) as file:
        print(file.read(), flush=True)
    os.waitpid(child, 0)
"""

Loaded = Callable[..., set[Path]]


@pytest.fixture(scope="module")
def loaded_after() -> Iterator[Loaded]:
    """The files of the modules that a fresh process has loaded after some statements."""
    command = [sys.executable, "-W", "ignore", "-c", SERVER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        asked, answered = process.stdin, process.stdout
        assert asked is not None
        assert answered is not None

        def ask(statements: str, *paths: Path) -> set[Path]:
            question = [[str(path) for path in paths], statements]
            print(json.dumps(question), file=asked, flush=True)
            answer = json.loads(answered.readline())
            assert isinstance(answer, list), answer
            return {Path(file) for file in answer}

        yield ask
        asked.close()
    assert process.returncode == 0


def _imports_of(file: Path) -> str:
    """Every import statement of a suite file, as a hot path's setup would run it."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    found = [n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(n) for n in found if getattr(n, "module", "") != "__future__")


@pytest.fixture(scope="module")
def graph() -> Graph:
    """As the gate asks it: one for all suites."""
    files = read_tree(ROOT, "optimizer") | read_tree(ROOT, "benchmarks")
    return Graph(files, "optimizer")


@pytest.mark.parametrize("suite", SUITES)
def test_python_loads_nothing_of_optimizer_that_is_not_reached(
    loaded_after: Loaded, graph: Graph, suite: str
) -> None:
    statements = f"{_imports_of(ROOT / 'benchmarks' / suite)}\nimport benchmarks.{suite[:-3]}"
    loaded = {
        file.relative_to(ROOT).as_posix()
        for file in loaded_after(statements, ROOT)
        if file.is_relative_to(ROOT / "optimizer")
    }
    assert loaded  # else the check says nothing
    assert loaded <= graph.reached(f"benchmarks/{suite}")


def test_the_graph_tells_our_hot_paths_apart(graph: Graph) -> None:
    assert "optimizer/backtest/prices.py" not in graph.reached("benchmarks/signature.py")
    assert "optimizer/stores/guard.py" in graph.reached("benchmarks/stores.py")


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


def _check_against_python(loaded_after: Loaded, root: Path, files: dict[str, str]) -> None:
    GitProject(root).write(files)
    loaded = {
        file.relative_to(root).as_posix()
        for file in loaded_after("import suite.x", root)
        if file.is_relative_to(root / "pkg")
    }
    assert loaded <= reached(files, "pkg", "suite/x.py")


@settings(max_examples=10, deadline=None)
@given(files=_packages())
def test_python_loads_nothing_that_is_not_reached(
    loaded_after: Loaded, tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]
) -> None:
    _check_against_python(loaded_after, tmp_path_factory.mktemp("toy").resolve(), files)


@pytest.mark.stress
@settings(max_examples=500, deadline=None)
@given(files=_packages())
def test_python_loads_nothing_that_is_not_reached_many(
    loaded_after: Loaded, tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]
) -> None:
    _check_against_python(loaded_after, tmp_path_factory.mktemp("toy").resolve(), files)
