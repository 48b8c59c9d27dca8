"""Modules of one's own count by their source and by what they hold."""

from __future__ import annotations

import os
import types
import zipfile
from pathlib import Path

import pytest
from fingerprint_cases import SHOW, mark_here, run_python, write

from optimizer.stores import _fingerprint_sources


def test_a_changed_line_in_a_module_of_ones_own_changes_it(tmp_path: Path) -> None:
    code = "import pack.sub\ndef objective(params): return pack.sub.f(params)"
    code += SHOW.format("objective")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "other.py").write_text("constant = 1\n")
    (tmp_path / "pack" / "sub.py").write_text("import other\ndef f(p): return other.constant\n")
    first = run_python(code, tmp_path)
    assert run_python(code, tmp_path) == first
    (tmp_path / "other.py").write_text("constant = 2\n")
    second = run_python(code, tmp_path)
    (tmp_path / "pack" / "sub.py").write_text("import other\ndef f(p): return -other.constant\n")
    assert len({first, second, run_python(code, tmp_path)}) == 3


NAMED = """
import mine, pack
import pack.sub
def direct(params): return mine.level
def through(params): return mine.scaled(params)
def deep(params): return pack.sub.level
def late(params):
    from pack.sub import level
    return level
def later(params):
    import json, numpy, not_there_at_all
    def inner():
        import pack.sub as sub
        return sub.level
    return inner()
from optimizer.stores.fingerprint import fingerprint
all_of = lambda: [fingerprint(f).hex() for f in (direct, through, deep, late, later)]
"""


def test_what_a_module_holds_by_now_counts_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("back = __import__('mine')\n")
    (tmp_path / "pack" / "sub.py").write_text("import pack\nlevel = 1\nunused = [1]\n")
    (tmp_path / "mine.py").write_text(
        "import pack\nlevel, unused = 1, [1]\ndef scaled(p): return p['x'] * level\n"
    )
    code = NAMED + (
        "first = all_of()\n"
        "mine.unused.append(2); pack.sub.unused.append(2)\n"
        "assert all_of() == first\n"
        "mine.level = 2; second = all_of()\n"
        "pack.sub.level = 2; third = all_of()\n"
        "changed = lambda a, b: ''.join('ny'[x != y] for x, y in zip(a, b))\n"
        "print(changed(first, second), changed(second, third), *first)"
    )
    found = run_python(code, tmp_path)
    assert found.startswith("yynnn nnyyy ")
    assert run_python("import numpy\n" + code, tmp_path) == found


LAZY = """import importlib
def __getattr__(name):
    return getattr(importlib.import_module(f"pack._{name}"), name)
"""
# Files, the code of the objective, and an edit: file, old text, new text.
EDITS: dict[str, tuple[dict[str, str], str, tuple[str, str, str]]] = {
    "a submodule imported when the objective runs": (
        {"pack/__init__.py": "", "pack/sma.py": "LEVEL = 1\n"},
        "def objective(p):\n    from pack import sma\n    return sma.LEVEL",
        ("pack/sma.py", "LEVEL = 1", "LEVEL = 2"),
    ),
    "a submodule of a package within": (
        {"pack/__init__.py": "", "pack/deep/__init__.py": "", "pack/deep/sma.py": "LEVEL = 1\n"},
        "def objective(p):\n    from pack.deep import sma, ema\n    return sma.LEVEL",
        ("pack/deep/sma.py", "LEVEL = 1", "LEVEL = 2"),
    ),
    "a relative import": (
        {
            "pack/__init__.py": "from .main import objective\n",
            "pack/main.py": "def objective(p):\n    from . import sma\n    return sma.LEVEL\n",
            "pack/sma.py": "LEVEL = 1\n",
        },
        "from pack import objective",
        ("pack/sma.py", "LEVEL = 1", "LEVEL = 2"),
    ),
    "a constant that a module imports": (
        {"mine.py": "from other import FEE\ndef f(): return FEE\n", "other.py": "FEE = 1\n"},
        "import mine\nclass Holds:\n    def __init__(self): self.module = mine\n"
        "    def __call__(self, p): return getattr(self.module, 'f')()\nobjective = Holds()",
        ("other.py", "FEE = 1", "FEE = 2"),
    ),
    "what a function of a module imports": (
        {
            "mine.py": "def f():\n    from pack.deep import FEE\n    return FEE\n",
            "pack/__init__.py": "",
            "pack/deep.py": "FEE = 1\n",
        },
        "import mine\nheld = [mine]\ndef objective(p): return held[0].f()",
        ("pack/deep.py", "FEE = 1", "FEE = 2"),
    ),
    "a module that has the name of one of Python's": (
        {"statistics.py": "def mean(x): return 1\n"},
        "def objective(p):\n    import statistics\n    return statistics.mean([])",
        ("statistics.py", "return 1", "return 2"),
    ),
    "a function of such a module": (
        {"statistics.py": "def mean(x): return 1\n"},
        "from statistics import mean\ndef objective(p): return mean([])",
        ("statistics.py", "return 1", "return 2"),
    ),
    "an attribute that a package makes when it is asked for": (
        {
            "pack/__init__.py": LAZY,
            "pack/_sma.py": "def sma(): return 1\n",
        },
        "import pack\ndef objective(p): return pack.sma()",
        ("pack/_sma.py", "return 1", "return 2"),
    ),
    "such an attribute, imported": (
        {
            "pack/__init__.py": LAZY,
            "pack/_sma.py": "def sma(): return 1\n",
        },
        "def objective(p):\n    from pack import sma\n    return sma()",
        ("pack/_sma.py", "return 1", "return 2"),
    ),
    "a module loaded from a file, under a name of Python's": (
        {"json.py": "def f(): return 1\n"},
        "import importlib.util as util\nspec = util.spec_from_file_location('json', 'json.py')\n"
        "mine = util.module_from_spec(spec)\nspec.loader.exec_module(mine)\n"
        "held = [mine]\ndef objective(p): return mine.f(held)",
        ("json.py", "return 1", "return 2"),
    ),
    "a class that annotates a field": (
        {
            "mine.py": "from __future__ import annotations\nimport dataclasses\n"
            "class Cost:\n    def of(self, x): return x * 1\n"
            "@dataclasses.dataclass\nclass Config:\n    cost: Cost | None = None\n"
        },
        "from mine import Config\ndef objective(p): return Config().cost",
        ("mine.py", "x * 1", "x * 2"),
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_what_it_imports_changes_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, code, (file, old, new) = EDITS[name]
    write(tmp_path, files)
    before = mark_here(code, tmp_path, monkeypatch)
    assert mark_here(code, tmp_path, monkeypatch) == before
    write(tmp_path, {file: files[file].replace(old, new)})
    assert mark_here(code, tmp_path, monkeypatch) != before


STABLE = {
    "pack/__init__.py": "LEVEL = 1\ndef f(): return LEVEL\n",
    "pack/plots.py": "import pack\nplots = 2\n",
    "pack/sma.py": "def sma(): return 1\n",
    "lazy/__init__.py": "def __getattr__(name):\n    import lazy._sma as made\n"
    "    value = globals()[name] = getattr(made, name)\n    return value\n",
    "lazy/_sma.py": "def sma(): return 1\n",
    "exits.py": "raise SystemExit(3)\n",
}
STABLE_CODE = """
import pack, lazy
held = [pack]
def objective(params):
    import pack.sma as m
    from pack import sma, plots
    try:
        import exits
    except SystemExit:
        pass
    return pack.f() + m.sma() + sma.sma() + plots.plots + lazy.sma() + len(held)
"""


@pytest.mark.parametrize(
    "before", ["import pack.plots", "objective({})", "lazy.sma", "import math"]
)
def test_what_was_imported_before_does_not_matter(before: str, tmp_path: Path) -> None:
    write(tmp_path, STABLE)
    first = run_python(STABLE_CODE + SHOW.format("objective"), tmp_path)
    assert run_python(STABLE_CODE + before + SHOW.format("objective"), tmp_path) == first


def test_a_library_is_not_imported_for_it(tmp_path: Path) -> None:
    code = "def objective(p):\n    import numpy, not_there\n    from numpy import linalg"
    code += SHOW.format("objective") + "\nimport sys\nprint('numpy' in sys.modules)"
    found = run_python(code, tmp_path).split()
    assert found[1] == "False"
    assert run_python("import numpy.linalg\n" + code, tmp_path).split() == [found[0], "True"]


def test_a_module_in_an_archive_counts(tmp_path: Path) -> None:
    code = "import sys\nsys.path.insert(0, 'mine.zip')\nimport mine\nheld = [mine]\n"
    code += "def objective(p): return held[0].f()" + SHOW.format("objective")
    marks = []
    for value in (1, 1, 2):
        with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
            archive.writestr("mine.py", "import other\ndef f(): return other.g()\n")
            archive.writestr("other.py", f"def g(): return {value}\n")
        marks.append(run_python(code, tmp_path))
    assert marks[0] == marks[1] != marks[2]


def test_an_edit_that_keeps_size_and_times_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept of a file goes by its content: a file system's clock may be coarse."""
    code = "import mine\ndef objective(p): return mine.f()"
    text = "import pack.a\ndef f(): return pack.a.level\n"
    write(tmp_path, {"mine.py": text, "pack/a.py": "level = 1\n", "pack/b.py": "level = 1\n"})
    was = (tmp_path / "mine.py").stat()
    before = mark_here(code, tmp_path, monkeypatch)
    (tmp_path / "mine.py").write_text(text.replace("pack.a", "pack.b"))
    os.utime(tmp_path / "mine.py", ns=(was.st_atime_ns, was.st_mtime_ns))
    assert mark_here(code, tmp_path, monkeypatch) != before
    write(tmp_path, {"pack/b.py": "level = 2\n"})  # which only the new text imports
    after = mark_here(code, tmp_path, monkeypatch)
    write(tmp_path, {"pack/b.py": "level = 3\n"})
    assert mark_here(code, tmp_path, monkeypatch) != after


def test_a_text_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def counting(content: bytes, file: str) -> types.CodeType | None:
        compiled.append(os.path.basename(file))
        return whole(content, file)

    whole = _fingerprint_sources._compiled
    monkeypatch.setattr(_fingerprint_sources, "_compiled", counting)
    _fingerprint_sources._imports.clear()
    write(tmp_path, {"mine.py": "import other\ndef f(): return 1\n", "other.py": "level = 1\n"})
    code = "import mine\ndef objective(p): return mine"
    before = mark_here(code, tmp_path, monkeypatch)
    assert mark_here(code, tmp_path, monkeypatch) == before
    assert sorted(compiled) == ["mine.py", "other.py"]
    write(tmp_path, {"other.py": "level = 2\n"})
    assert mark_here(code, tmp_path, monkeypatch) != before
    assert compiled[2:] == ["other.py"]
