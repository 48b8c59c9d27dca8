"""Whose code it is decides how it counts: Python's and installed by version, yours by content."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path

import pytest
from fingerprint_cases import SHOW, mark_of, run_python, write

# A source, and what to change in it.
CHANGES = {
    "a wrapper with the name of a library's function": (
        "import functools, json\n@functools.wraps(json.dumps)\ndef f(x): return 1\n"
        "def objective(p): return f(p)\n",
        ("return 1", "return 2"),
    ),
    "a class made by a call": (
        "import types\ndef fill(names): names['fee'] = lambda self: 1\n"
        "Cost = types.new_class('Cost', (), {}, fill)\ndef objective(p): return Cost().fee()\n",
        ("self: 1", "self: 2"),
    ),
    "a dataclass made by a call": (
        "import dataclasses\nCost = dataclasses.make_dataclass('Cost', [('fee', int, 1)])\n"
        "def objective(p): return Cost().fee\n",
        ("int, 1", "int, 2"),
    ),
    "a method of such a dataclass": (
        "import dataclasses\ndef of(self): return 1\n"
        "Cost = dataclasses.make_dataclass('Cost', [('fee', int)], namespace={'of': of})\n"
        "def objective(p): return Cost(1).of()\n",
        ("return 1", "return 2"),
    ),
    "a class that claims to be a library's": (
        "class Fraction:\n    __module__ = 'fractions'\n    def f(self): return 1\n"
        "def objective(p): return Fraction().f()\n",
        ("return 1", "return 2"),
    ),
    "a function put into a library": (
        "import fractions\ndef mine(x): return 1\nfractions.mine_of_the_tests = mine\n"
        "def objective(p): return fractions.mine_of_the_tests(p)\n",
        ("return 1", "return 2"),
    ),
    "a function put among Python's own": (
        "import builtins\ndef mine(x): return 1\nbuiltins.mine_of_the_tests = mine\n"
        "def objective(p): return mine_of_the_tests(p)\n",
        ("return 1", "return 2"),
    ),
    "a constant put among Python's own": (
        "import builtins\nbuiltins.mine_of_the_tests = 1\n"
        "def objective(p): return mine_of_the_tests\n",
        ("_tests = 1", "_tests = 2"),
    ),
    "a function made within a library's": (
        "import contextlib\n@contextlib.contextmanager\ndef opened():\n    yield 1\n"
        "def objective(p):\n    with opened() as x:\n        return x\n",
        ("yield 1", "yield 2"),
    ),
    "an attribute of such a function": (
        "import contextlib\n@contextlib.contextmanager\ndef opened():\n    yield 1\n"
        "opened.fee = 1\ndef objective(p): return opened.fee\n",
        ("fee = 1", "fee = 2"),
    ),
    "a function chosen by type": (
        "import functools\n@functools.singledispatch\ndef f(x): return 0\n"
        "@f.register\ndef _(x: int): return 1\ndef objective(p): return f(p)\n",
        ("return 1", "return 2"),
    ),
    "the type by which it is chosen": (
        "import functools\n@functools.singledispatch\ndef f(x): return 0\n"
        "@f.register\ndef _(x: int): return 1\ndef objective(p): return f(p)\n",
        ("x: int", "x: float"),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_your_code_counts_wherever_it_lies(name: str) -> None:
    source, (old, new) = CHANGES[name]
    assert mark_of(source) == mark_of(source)
    assert mark_of(source) != mark_of(source.replace(old, new))


def test_what_a_chosen_function_remembers_does_not_matter() -> None:
    source = CHANGES["a function chosen by type"][0]
    assert mark_of(source) == mark_of(source + "f(1), f('x')\n")


# --- installed packages

SITE = "lib/site-packages"
CODE = "def objective(p):\n    import pack.sub\n    return pack.sub.f(p)" + SHOW.format("objective")
NAMED = "import pack\nfrom pack.sub import f\nimport pack.sub\nkept = [pack]\n"
NAMED += "def objective(p): return f(p), kept" + SHOW.format("objective")
PACKAGE = {
    f"{SITE}/pack/__init__.py": "__version__ = '1.0'\n",
    f"{SITE}/pack/sub.py": "def f(p): return 1\n",
}
INFO = f"{SITE}/pack_of_mine-1.0.dist-info"
KNOWN = {
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: pack-of-mine\nVersion: 1.0\n",
    f"{INFO}/RECORD": "pack/__init__.py,sha256=a,1\npack/sub.py,sha256=b,1\n"
    "../bin/pack,sha256=c,1\npack_of_mine-1.0.dist-info/RECORD,,\n",
}
FROM_A_FOLDER = {f"{INFO}/direct_url.json": json.dumps({"url": "file:///x", "dir_info": {}})}


def installed(folder: Path, files: dict[str, str], code: str = CODE) -> str:
    write(folder, files)
    return run_python(f"import sys\nsys.path.insert(0, '{folder / SITE}')\n" + code, folder)


@pytest.mark.parametrize("code", [CODE, NAMED])
def test_a_package_nobody_knows_counts_by_all_its_files(code: str, tmp_path: Path) -> None:
    first = installed(tmp_path, PACKAGE, code)
    assert installed(tmp_path, {f"{SITE}/pack/notes.txt": "1"}, code) == first
    second = installed(tmp_path, {f"{SITE}/pack/sub.py": "def f(p): return 2\n"}, code)
    third = installed(tmp_path, {f"{SITE}/pack/more/sub.py": ""}, code)
    assert len({first, second, third}) == 3


def test_a_package_from_an_index_counts_by_its_version(tmp_path: Path) -> None:
    first = installed(tmp_path, {**PACKAGE, **KNOWN})
    assert installed(tmp_path, {f"{SITE}/pack/sub.py": "def f(p): return 2\n"}) == first
    newer = KNOWN[f"{INFO}/METADATA"].replace("1.0", "1.1")
    assert installed(tmp_path, {f"{INFO}/METADATA": newer}) != first


def test_a_package_from_a_folder_may_change_and_keep_its_version(tmp_path: Path) -> None:
    first = installed(tmp_path, {**PACKAGE, **KNOWN, **FROM_A_FOLDER})
    record = KNOWN[f"{INFO}/RECORD"]
    elsewhere = record.replace("sha256=c", "sha256=d")  # a script: it names the Python it is for
    assert installed(tmp_path, {f"{INFO}/RECORD": elsewhere}) == first
    assert installed(tmp_path, {f"{INFO}/RECORD": record.replace("=b", "=e")}) != first


def test_a_package_linked_to_its_sources_is_yours(tmp_path: Path) -> None:
    link = json.dumps({"url": "file:///x", "dir_info": {"editable": True}})
    first = installed(tmp_path, {**PACKAGE, **KNOWN, f"{INFO}/direct_url.json": link})
    assert installed(tmp_path, {f"{SITE}/pack/sub.py": "def f(p): return 2\n"}) != first


EXTENSION = """
#include <Python.h>
static PyObject *one(PyObject *self, PyObject *args) { return PyLong_FromLong(1); }
static PyMethodDef methods[] = {{"one", one, METH_NOARGS, ""}, {0}};
static PyType_Slot slots[] = {{Py_tp_methods, methods}, {0}};
static PyType_Spec spec = {"mine_in_c.Kind", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT, slots};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "mine_in_c", 0, -1, methods};
PyMODINIT_FUNC PyInit_mine_in_c(void) {
    PyObject *made = PyModule_Create(&module);
    PyModule_AddObject(made, "Kind", PyType_FromSpec(&spec));
    return made;
}
"""


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extension")
    write(folder, {"mine.c": EXTENSION})
    file = folder / f"mine_in_c{sysconfig.get_config_var('EXT_SUFFIX')}"
    include = f"-I{sysconfig.get_path('include')}"
    command = ["cc", "-shared", "-fPIC", include, "mine.c", "-o", str(file)]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no C compiler here")
    if done.returncode:
        pytest.skip("no extension can be compiled here, Python's headers may be missing")
    return file


@pytest.mark.parametrize("used", ["one", "Kind", "Kind().one", "Kind.one"])
def test_your_own_extension_counts_by_its_file(extension: Path, used: str) -> None:
    code = f"import mine_in_c\nused = mine_in_c.{used}\ndef objective(p): return used()\n"
    code += SHOW.format("objective")
    before = extension.read_bytes()
    first = run_python(code, extension.parent)
    assert run_python(code, extension.parent) == first
    extension.unlink()  # another file: the old one may be mapped
    extension.write_bytes(before + b"\0")
    try:
        assert run_python(code, extension.parent) != first
    finally:
        extension.unlink()
        extension.write_bytes(before)


def test_a_shared_library_counts_by_its_file(extension: Path) -> None:
    code = f"import ctypes\nlibrary = ctypes.CDLL('{extension}')\n"
    code += "def objective(p): return library.one()\n" + SHOW.format("objective")
    before = extension.read_bytes()
    first = run_python(code, extension.parent)
    assert run_python(code, extension.parent) == first  # though loaded elsewhere
    extension.unlink()
    extension.write_bytes(before + b"\0")
    try:
        assert run_python(code, extension.parent) != first
    finally:
        extension.unlink()
        extension.write_bytes(before)
