"""Which files a hot path reaches: each rule on a toy package, and the real one against Python."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.gate.reach import Reach, changed, reached, reaches, read_tree

ROOT = Path(__file__).resolve().parents[2]
SUITES = sorted(
    file.name for file in (ROOT / "benchmarks").glob("[!_]*.py") if "@_hot_path" in file.read_text()
)

TOY = {
    "pkg/__init__.py": "",
    "pkg/a.py": "",
    "pkg/b.py": "",
    "pkg/sub/__init__.py": "",
    "pkg/sub/c.py": "",
    "pkg/sub/d.py": "",
    "suite/__init__.py": "",
}
LAZY = (
    "import importlib\n"
    "import pkg.b\n"
    "ROOMS = {'name': 'pkg.sub.c'}\n"
    "here = 1\n"
    "def __getattr__(name):\n"
    "    return getattr(importlib.import_module(ROOMS[name]), name)\n"
)
ALL = {"__init__", "a", "b", "sub/__init__", "sub/c", "sub/d"}


def _reached(entry: str, **changes: str) -> set[str]:
    """What `suite/x.py` with the text `entry` reaches, without `pkg/` and `.py`."""
    changed_files = {f"{name.replace('__', '/')}.py": text for name, text in changes.items()}
    files = TOY | changed_files | {"suite/x.py": entry}
    found = reached(files, "pkg", "suite/x.py")
    assert all(file.startswith("pkg/") for file in found)
    return {file.removeprefix("pkg/").removesuffix(".py") for file in found}


@pytest.mark.parametrize(
    ("entry", "modules"),
    [
        ("", set()),
        ("import math, numpy.linalg", set()),
        ("import pkg", {"__init__"}),
        ("import pkg.a", {"__init__", "a"}),
        ("import pkg.sub.c as c", {"__init__", "sub/__init__", "sub/c"}),
        ("from pkg import a", {"__init__", "a"}),
        ("from pkg.a import anything", {"__init__", "a"}),
        ("from pkg.sub import c", {"__init__", "sub/__init__", "sub/c"}),
        ("from pkg import sub\nsub.c.run()", {"__init__", "sub/__init__", "sub/c"}),
        ("import pkg as p\np.sub.d.run()", {"__init__", "sub/__init__", "sub/d"}),
        ("import pkg.a\npkg.b.run()", {"__init__", "a", "b"}),
        ("from pkg.sub import *", {"__init__", "sub/__init__", "sub/c", "sub/d"}),
        ("class A:\n def setup(self):\n  from pkg import b", {"__init__", "b"}),
        ("f = lambda: __import__('pkg.a')", {"__init__", "a"}),
        ("__import__('pkg.sub', {}, {}, ['c'])", {"__init__", "sub/__init__", "sub/c", "sub/d"}),
        ("try:\n import pkg.a\nexcept ImportError:\n import pkg.b", {"__init__", "a", "b"}),
        ("async def f(x: int = 0):\n import pkg.a", {"__init__", "a"}),
    ],
)
def test_imports(entry: str, modules: set[str]) -> None:
    assert _reached(entry) == modules


@pytest.mark.parametrize(
    ("block", "modules"),
    [
        ("if TYPE_CHECKING:\n import pkg.a", set()),
        ("if typing.TYPE_CHECKING:\n import pkg.a\nelse:\n import pkg.b", {"__init__", "b"}),
        ("if not TYPE_CHECKING:\n import pkg.a\nelse:\n import pkg.b", {"__init__", "a"}),
        ("if TYPE_CHECKING or debug:\n import pkg.a", {"__init__", "a"}),
    ],
)
def test_imports_for_type_checkers_do_not_count(block: str, modules: set[str]) -> None:
    assert _reached(block) == modules


def test_relative_imports() -> None:
    everything_around = {"__init__", "a", "b", "sub/__init__", "sub/c", "sub/d"}
    text = "from . import d\nfrom .. import a\nfrom ..b import x"
    assert _reached("import pkg.sub.c", pkg__sub__c=text) == everything_around
    init = TOY | {"pkg/sub/__init__.py": "from .c import x", "suite/x.py": "import pkg.sub"}
    assert "pkg/sub/c.py" in reached(init, "pkg", "suite/x.py")


def test_imports_are_followed_through_files() -> None:
    assert _reached("import pkg.a", pkg__a="from pkg.b import x", pkg__b="import pkg.sub.c") == {
        *("__init__", "a", "b", "sub/__init__", "sub/c")
    }


def test_circles_end() -> None:
    assert _reached("import pkg.a", pkg__a="import pkg.b", pkg__b="import pkg.a") == {
        *("__init__", "a", "b")
    }


@pytest.mark.parametrize(
    "entry",
    [
        "import importlib\nimportlib.import_module(name)",
        "from importlib import import_module\nimport_module(name)",
        "from importlib import import_module as load\nload('pkg.a')",
        "import importlib\nload = importlib.import_module",
        "import importlib\nlist(map(importlib.import_module, names))",
        "import importlib\nimportlib.import_module(f'{name}.x')",
        "import importlib\nimportlib.import_module('.a', somewhere)",
        "__import__(name)",
        "exec(text)",
        "eval(text)",
        "import runpy\nrunpy.run_path(file)",
        "def (",
        "import pkg\x00",
    ],
)
def test_what_cannot_be_told_reaches_everything(entry: str) -> None:
    assert _reached(entry) == ALL


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("import importlib\nimportlib.import_module('pkg.b')", {"b"}),
        ("import importlib\nimportlib.import_module('.b', __package__)", {"b"}),
        ("import importlib\nimportlib.import_module(f'pkg.sub.{x}')", {*("sub/c", "sub/d")}),
        ("import importlib\nimportlib.import_module(f'numpy.{x}')", set()),
        ("WORKER = 'pkg.b'", {"b"}),
        ("command = [python, '-m', 'pkg.sub.c']", {"sub/c"}),
        ("command = [python, '-c', 'import pkg.b; pkg.b.run()']", {"b"}),
        ('"""See pkg.b."""\ndef f():\n    "As pkg.b."', set()),
        ("other = 'mypkg.b', 'x.pkg.b'", set()),
    ],
)
def test_names_in_text_are_followed(text: str, modules: set[str]) -> None:
    found = _reached("import pkg.a", pkg__a=text)
    assert found - {"sub/__init__"} == {"__init__", "a", *modules}


@pytest.mark.parametrize(
    ("entry", "everything"),
    [
        ("import pkg", False),
        ("import pkg.a", False),
        ("import pkg.a\npkg.a.run()", False),
        ("from pkg import a", False),
        ("from pkg import here", False),
        ("import pkg\nprint(pkg.here, pkg.__file__)", False),
        ("from pkg import name", True),
        ("import pkg\npkg.name()", True),
        ("import pkg as p\nclass A:\n def setup(self):\n  self.x = p.name", True),
        ("import pkg\ngetattr(pkg, 'name')", True),
        ("from pkg import *", True),
        ("from pkg.a import renamed\nrenamed.name", True),  # a.py: import pkg as renamed
    ],
)
def test_packages_with_lazy_names(entry: str, everything: bool) -> None:
    files = TOY | {
        "pkg/__init__.py": LAZY,
        "pkg/a.py": "import pkg as renamed",
        "suite/x.py": entry,
    }
    lazily = reached(files, "pkg", "suite/x.py")
    assert (lazily == {file for file in files if file.startswith("pkg/")}) == everything
    assert "pkg/b.py" in lazily  # its other imports count


@pytest.mark.parametrize(
    "getattr_",
    [
        "__getattr__ = attach(__name__)",
        "__getattr__, __dir__ = attach()",
        "from x import __getattr__",
    ],
)
def test_a_getattr_may_be_bound_in_any_way(getattr_: str) -> None:
    files = TOY | {"pkg/__init__.py": getattr_, "suite/x.py": "from pkg import name"}
    assert len(reached(files, "pkg", "suite/x.py")) == len(ALL)


def test_what_type_checkers_are_told_is_not_bound() -> None:
    told = f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n from pkg.a import name\n{LAZY}"
    files = TOY | {"pkg/__init__.py": told, "suite/x.py": "from pkg import name"}
    assert len(reached(files, "pkg", "suite/x.py")) == len(ALL)


def test_a_comprehension_binds_nothing_in_its_module() -> None:
    files = TOY | {"pkg/__init__.py": LAZY + "[name for name in ROOMS]"}
    files["suite/x.py"] = "from pkg import name"
    assert len(reached(files, "pkg", "suite/x.py")) == len(ALL)


def test_files_that_are_not_python_are_reached_by_all() -> None:
    files = TOY | {"pkg/data/table.csv": "", "pkg/py.typed": "", "suite/x.py": ""}
    assert reached(files, "pkg", "suite/x.py") == {"pkg/data/table.csv", "pkg/py.typed"}


def test_packages_without_an_init() -> None:
    files = {"pkg/sub/c.py": "", "pkg/sub/d.py": "", "suite/x.py": "from pkg.sub import c"}
    assert reached(files, "pkg", "suite/x.py") == {"pkg/sub/c.py"}


@pytest.mark.parametrize(
    "entry", ["from suite._y import z", "from ._y import z", "import _y", "from . import _y"]
)
def test_the_suites_own_modules_are_followed(entry: str) -> None:
    assert _reached(entry, suite___y="def z():\n    import pkg.a") == {"__init__", "a"}


def test_the_init_of_the_suite_is_followed() -> None:
    files = TOY | {"suite/__init__.py": "import pkg.b", "suite/x.py": ""}
    assert reached(files, "pkg", "suite/x.py") == {"pkg/__init__.py", "pkg/b.py"}


def test_a_suite_that_loads_all_of_itself_counts_with_its_imports_only() -> None:
    registry = "import importlib\ndef load():\n    importlib.import_module(f'suite.{name}')"
    own = "import suite._r\ndef time_x():\n    import pkg.a"
    other = "import pkg.b\ndef time_y():\n    import pkg.sub.c"
    assert _reached(own, suite___r=registry, suite__y=other) == {"__init__", "a", "b"}
    calling = other + "\nDATA = time_y()"
    assert "sub/c" in _reached(own, suite___r=registry, suite__y=calling)
    guarded = other + "\nif __name__ == '__main__':\n    time_y()"
    assert "sub/c" not in _reached(own, suite___r=registry, suite__y=guarded)


# --- two stages


def _stage(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def test_changed_files(tmp_path: Path) -> None:
    before = _stage(tmp_path / "1", {"pkg/a.py": "1", "pkg/b.py": "", "pkg/gone.py": ""})
    after = _stage(tmp_path / "2", {"pkg/a.py": "2", "pkg/b.py": "", "pkg/new/data.csv": ""})
    _stage(after, {"pkg/__pycache__/a.cpython-311.pyc": "left by a worker"})
    assert changed(before, after) == {"pkg/a.py", "pkg/gone.py", "pkg/new/data.csv"}
    assert changed(before, before) == set()


@pytest.mark.parametrize(
    ("change", "a", "b"),
    [
        ({}, False, False),
        ({"pkg/a.py": "1"}, True, False),
        ({"pkg/b.py": "1"}, False, True),
        ({"pkg/__init__.py": "1"}, True, True),
        ({"pkg/data.csv": "1"}, True, True),
        ({"pkg/sub/c.py": "1"}, False, False),  # reached by nobody
        ({"pkg/sub/c.py": "1", "pkg/a.py": "import pkg.sub.c"}, True, False),
        ({"pkg/b/__init__.py": "1"}, False, True),  # a package takes the place of a module
    ],
)
def test_reaches(tmp_path: Path, change: dict[str, str], a: bool, b: bool) -> None:
    names = ("a", "b")
    suites = {f"suite/{name}.py": f"import pkg.{name}" for name in names}
    _stage(tmp_path, suites | {"suite/__init__.py": ""})
    before = _stage(tmp_path / "1", TOY)
    after = _stage(tmp_path / "2", TOY | change)
    for one, two in ((before, after), (after, before)):
        found = [reaches(one, two, "pkg", tmp_path / f"suite/{name}.py") for name in names]
        assert found == [a, b]


def test_a_suite_without_an_init_names_its_root(tmp_path: Path) -> None:
    suite = _stage(
        tmp_path, {"suite/deep/x.py": "from suite import y", "suite/y.py": "import pkg.a"}
    )
    reach = Reach(
        _stage(tmp_path / "1", TOY), _stage(tmp_path / "2", TOY | {"pkg/a.py": "1"}), "pkg"
    )
    assert reach.changed == {"pkg/a.py"}
    assert reach.reaches(suite / "suite/deep/x.py", suite)


# --- against Python itself

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
    _stage(root, files)
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
