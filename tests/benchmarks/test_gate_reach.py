"""Which files a hot path reaches: each rule on a toy package, and two stages of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gate.reach import Reach, changed, reached, reaches

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
        ("command = [python, '-mpkg.b']", {"b"}),
        ('"""See pkg.b."""\ndef f():\n    "As pkg.b."', set()),
        ("other = 'mypkg.b', 'x.pkg.b'", set()),
    ],
)
def test_names_in_text_are_followed(text: str, modules: set[str]) -> None:
    found = _reached("import pkg.a", pkg__a=text)
    assert found - {"sub/__init__"} == {"__init__", "a", *modules}


@pytest.mark.parametrize(
    ("text", "everything"),
    [
        ("command = [python, '-m', 'pkg']", True),
        ("command = [python, '-mpkg']", True),
        ("command = [python, '-c', 'from pkg import b; b.run()']", True),
        ("command = [python, '-c', f'import sys, pkg; pkg.run({x})']", True),
        ("PROGRAM = b'import pkg'", True),
        ("def f():\n    return 'pkg'", True),
        ('"""The docstring of pkg."""\ndef f():\n    "Calls pkg."', False),
        ("import importlib\nimportlib.import_module('pkg')", False),
        ("import logging\nlog = logging.getLogger('pkg')", False),
        ("from importlib.metadata import version\nv = version('pkg')", False),
        ("others = 'mypkg', 'x.pkg', 'pkgs', 'pkg-data', 'the-pkg', 'pkg/data.csv'", False),
    ],
)
def test_the_packages_name_in_text_is_all_of_it(text: str, everything: bool) -> None:
    assert _reached("import pkg.a", pkg__a=text) == (ALL if everything else {"__init__", "a"})
    suite = {"__init__"} if "import_module" in text else set()
    assert _reached(text) == (ALL if everything else suite)


def test_the_suites_own_name_in_text_reaches_nothing() -> None:
    assert _reached("command = 'python -m suite'", suite__y="import pkg.a") == set()


def test_an_import_by_name_from_a_suite_goes_all_the_way_down() -> None:
    text = "import importlib\nimportlib.import_module(f'pkg.{name}')"
    assert _reached(text) == ALL


@pytest.mark.parametrize(
    ("common", "modules"),
    [
        ("import pkg.sub as p", {"__init__", "sub/__init__", "sub/d"}),
        ("from pkg import sub as p", {"__init__", "sub/__init__", "sub/d"}),
        ("from suite._more import *", {"__init__", "sub/__init__", "sub/d"}),
        ("from ._more import *\nfrom suite.x import *", {"__init__", "sub/__init__", "sub/d"}),
        ("", set()),
    ],
)
@pytest.mark.parametrize("form", ["from suite._common import *", "from ._common import *"])
def test_names_come_through_a_star_import(common: str, modules: set[str], form: str) -> None:
    more = "import pkg.sub as p" if "_more" in common else ""
    found = _reached(f"{form}\np.d.run()", suite___common=common, suite___more=more)
    assert found == modules


def test_a_bare_star_import_of_a_module_beside_it() -> None:
    entry = "from _common import *\nclass A:\n def setup(self):\n  p.d.run()"
    assert _reached(entry, suite___common="from pkg import sub as p") == {
        *("__init__", "sub/__init__", "sub/d")
    }


def test_a_star_imported_name_means_what_it_means_where_it_was_imported() -> None:
    files = TOY | {
        "suite/deep/_near.py": "import pkg.sub as p",
        "suite/deep/_common.py": "import _near",  # beside it, by its bare name
        "suite/x.py": "from suite.deep._common import *\n_near.p.d.run()",
    }
    assert "pkg/sub/d.py" in reached(files, "pkg", "suite/x.py")


def test_lazy_names_come_through_star_imports() -> None:
    files = TOY | {
        "pkg/__init__.py": LAZY,
        "suite/_common.py": "import pkg as p",
        "suite/_other.py": "from suite._common import *",
        "suite/x.py": "from suite._other import p\np.name()",
    }
    assert len(reached(files, "pkg", "suite/x.py")) == len(ALL)
    calm = files | {"suite/x.py": "from suite._other import p\np.here"}
    assert reached(calm, "pkg", "suite/x.py") == {"pkg/__init__.py", "pkg/b.py"}


def test_submodules_come_through_a_star_import_of_their_package() -> None:
    files = TOY | {"pkg/sub/inner/__init__.py": "", "pkg/sub/inner/e.py": ""}
    files["suite/x.py"] = "from pkg.sub import *\ninner.e.run()"
    assert "pkg/sub/inner/e.py" in reached(files, "pkg", "suite/x.py")


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
