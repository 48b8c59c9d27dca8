"""A plain asv suite as hot paths: what is found, how its bodies are driven, what is refused."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gate import asv_suite
from benchmarks.gate.asv_suite import AsvBody, Paths, SkippedError, discover, load
from benchmarks.gate.contract import HotPath
from benchmarks.gate.errors import BodyRaisedError, GateError, NotMeasuredError, UsageError

Write = Callable[[dict[str, str]], Path]
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _nothing_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Path, modules, working directory and meta path are as they were."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("toy_suite_"):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a suite and returns its folder; each has a name of its own."""

    def write(files: dict[str, str]) -> Path:
        folder = tmp_path / "stage" / f"toy_suite_{next(_numbers)}"
        for name, text in ({"__init__.py": ""} | files).items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return folder

    return write


def _shown(paths: Paths) -> dict[str, list[str]]:
    return {path.name: [case.label for case in path.cases] for path in paths}


def _log(body: AsvBody) -> list[Any]:
    """What the toy benchmark noted."""
    found: list[Any] = body._benchmark._attr_sources[0].__globals__["LOG"]
    return found


def _open(write: Write, text: str, case: int = 0) -> AsvBody:
    [path] = discover(write({"one.py": f"LOG = []\n{text}"}))
    body = path.cases[case].open()
    assert isinstance(body, AsvBody)
    return body


# --- what is found


def test_functions_methods_and_nested_modules(write: Write) -> None:
    folder = write(
        {
            "__init__.py": "def helper(): pass",
            "one.py": "def time_f(): 0\nclass A:\n def time_m(self): 0\n def other(self): 0",
            "deep/__init__.py": "",
            "deep/two.py": "class TimeThing:\n def time_x(self): pass",
            "_private.py": "class _B:\n def time_hidden(self): pass",
        }
    )
    assert _shown(discover(folder)) == {
        "one.time_f": ["default"],
        "one.A.time_m": ["default"],
        "deep.two.TimeThing.time_x": ["default"],
    }


def test_each_path_names_its_file(write: Write) -> None:
    text = "def time_a(): 0"
    files = {"__init__.py": text, "one.py": text, "deep/__init__.py": text, "deep/bad.py": "1 / 0"}
    folder = write(files)
    assert {path.name: path.source for path in discover(folder)} == {
        "time_a": "__init__.py",
        "one.time_a": "one.py",
        "deep.time_a": "deep/__init__.py",
        "deep.bad": "deep/bad.py",
    }


def test_relative_and_absolute_imports_in_the_suite(write: Write) -> None:
    folder = write({"common.py": "class Base:\n params = [1, 2]"})
    package = folder.name
    (folder / "one.py").write_text(
        "from .common import Base\nclass A(Base):\n def time_a(self, n): 0"
    )
    (folder / "two.py").write_text(
        f"from . import common\nimport {package}.common as c\nassert c is common\n"
        "class B(common.Base):\n def time_b(self, n): 0"
    )
    assert set(_shown(discover(folder))) == {"one.A.time_a", "two.B.time_b"}


def test_an_imported_benchmark_is_found_under_each_name_once(write: Write) -> None:
    text = "class A:\n def time_a(self): 0\nB = A"
    folder = write({"one.py": text, "two.py": "from .one import A"})
    assert list(_shown(discover(folder))) == ["one.A.time_a", "two.A.time_a"]


def test_other_kinds_are_said_not_measured(write: Write) -> None:
    text = "def time_a(): 0\ndef track_b(): return 1\ndef timeraw_c(): return ''\ndef mem_d(): 0"
    paths = discover(write({"one.py": text}))
    assert list(_shown(paths)) == ["one.time_a"]
    assert sorted(paths.notes) == [
        "1 mem benchmarks are not measured",
        "1 timeraw benchmarks are not measured",
        "1 track benchmarks are not measured",
    ]


def test_parameters_are_combined_and_labelled(write: Write) -> None:
    text = (
        "class A:\n params = ([1, 2], ['x', 'y'])\n param_names = ['n', 'how']\n"
        " def time_a(self, n, how): 0\n"
        "class B:\n params = [3, 3]\n def time_b(self, n): 0\n"
    )
    assert _shown(discover(write({"one.py": text}))) == {
        "one.A.time_a": ["n=1,how='x'", "n=1,how='y'", "n=2,how='x'", "n=2,how='y'"],
        "one.B.time_b": ["param1=3", "param1=3 (2)"],
    }


def test_labels_are_the_same_in_every_process(write: Write) -> None:
    text = (
        "class A:\n params = [[object(), [object()], print, lambda: 0, list(range(99))]]\n"
        " def time_a(self, x): 0"
    )
    folder = write({"one.py": text})
    [path] = discover(folder, cases=9)
    labels = [case.label for case in path.cases]
    program = (
        "from pathlib import Path\nfrom benchmarks.gate.asv_suite import discover\n"
        f"[path] = discover(Path({str(folder)!r}), 9)\n"
        "print(repr(([case.label for case in path.cases], path.workload)))"
    )
    root = Path(asv_suite.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == repr((labels, path.workload))
    assert len(set(labels)) == 5
    assert all("0x" not in label and len(label) < 80 for label in labels)


def test_many_combinations_are_capped_and_it_is_said(write: Write) -> None:
    text = "class A:\n params = [list(range(10))]\n def time_a(self, n): 0"
    folder = write({"one.py": text})
    paths = discover(folder, cases=4)
    assert [case.label for case in paths[0].cases] == [f"param1={n}" for n in (0, 3, 6, 9)]
    assert paths.notes == ("one.A.time_a: 4 of 10 combinations are measured",)
    [path] = discover(folder, cases=1)
    assert len(path.cases) == 1
    whole = discover(folder, cases=10)
    assert (len(whole[0].cases), whole.notes) == (10, ())


def test_skip_params_leave_cases_out(write: Write) -> None:
    text = (
        "class A:\n params = ([1, 2], [3, 4])\n skip_params = [(1, 4), (2, 3)]\n"
        " def time_a(self, n, m): 0"
    )
    [path] = discover(write({"one.py": text}))
    assert [case.label for case in path.cases] == ["param1=1,param2=3", "param1=2,param2=4"]


def test_the_workload_is_the_source_and_the_parameters(write: Write) -> None:
    def workload(text: str) -> str:
        folder = write({"one.py": text})
        [path] = discover(folder)
        return path.workload

    text = "N = 1\nclass A:\n params = [1]\n def time_a(self, n): N"
    first = workload(text)
    assert workload(text) == first
    assert workload(text.replace("N = 1", "N = 2")) != first
    assert workload(text.replace("[1]", "[2]")) != first
    assert workload(f"import os\n{text.replace('[1]', '[os.sep]')}") != first


def test_declared_for_the_gate(write: Write) -> None:
    [path] = discover(write({"one.py": "def time_a(): 0"}))
    assert (path.clock, "cpu" in path.witnesses) == ("process", True)
    [case] = path.cases
    assert (case.counted, case.timed, case.compared, case.has_before) == (True, True, False, False)
    declared: HotPath = path  # the type checker compares the two
    assert declared.claim == ""


# --- how a body is driven

COUNTING = """
def setup(): LOG.append('module')
def teardown(): LOG.append('module down')
class A:
    {declared}
    def setup(self): LOG.append('setup')
    def time_a(self): LOG.append('body')
    def teardown(self): LOG.append('down')
"""


def _driven(body: AsvBody, calls: int) -> str:
    for _ in range(calls):
        body.fresh()
        body.after()
    body.close()
    return " ".join(entry for entry in _log(body) if not entry.startswith("module"))


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("", "setup body body body down"),
        ("number = 0", "setup body body body down"),
        ("number = 1", "setup body down setup body down setup body down"),
        ("number = 2", "setup body body down setup body down"),
    ],
)
def test_setup_runs_before_every_number_of_calls(
    write: Write, declared: str, expected: str
) -> None:
    assert _driven(_open(write, COUNTING.format(declared=declared)), 3) == expected


def test_setup_may_change_the_number(write: Write) -> None:
    text = COUNTING.format(declared="number = 0").replace(
        "LOG.append('setup')", "LOG.append('setup'); self.number = 1"
    )
    assert _driven(_open(write, text), 2) == "setup body down setup body down"


def test_module_setup_runs_first_and_module_teardown_last(write: Write) -> None:
    body = _open(write, COUNTING.format(declared=""))
    body.close()
    assert _log(body) == ["module", "setup", "down", "module down"]


def test_functions_have_setups_and_parameters_as_attributes(write: Write) -> None:
    text = (
        "def time_a(n): LOG.append(('body', n))\n"
        "time_a.params = [7, 8]\ntime_a.setup = lambda n: LOG.append(('setup', n))\n"
    )
    body = _open(write, text, case=1)
    body.fresh()
    body.after()
    assert _log(body) == [("setup", 8), ("body", 8)]


def test_each_case_has_an_instance_of_its_own(write: Write) -> None:
    text = (
        "class A:\n made = 0\n params = [1, 2]\n def setup(self, n): self.made += 1\n"
        " def time_a(self, n): LOG.append((n, self.made))"
    )
    [path] = discover(write({"one.py": f"LOG = []\n{text}"}))
    for case in (*path.cases, path.cases[0]):
        body = case.open()
        body.after()
        body.close()
    assert isinstance(body, AsvBody)
    assert _log(body) == [(1, 1), (2, 1), (1, 1)]


def test_static_and_class_methods(write: Write) -> None:
    text = (
        "LOG = []\nclass A:\n @staticmethod\n def time_s(): LOG.append('s')\n"
        " @classmethod\n def time_c(cls): LOG.append(cls.__name__)\n"
    )
    paths = discover(write({"one.py": text}))
    for path in paths:
        body = path.cases[0].open()
        body.after()
    log = sys.modules[f"{_suite_of(paths)}.one"].LOG
    assert sorted(log) == ["A", "s"]


def _suite_of(paths: Paths) -> str:
    [case, *_] = paths[0].cases
    assert isinstance(case, asv_suite.AsvCase)
    name: str = case.benchmark._attr_sources[-1].__name__
    return name.partition(".")[0]


CACHED = """
class A:
    params = [1, 2]
    def setup_cache(self):
        LOG.append('made')
        open('file', 'w').close()
        return {'list': []}
    def setup(self, cache, n): LOG.append(('setup', len(cache['list']), n))
    def time_a(self, cache, n):
        open('file').close()
        cache['list'].append(n)
        LOG.append(('body', len(cache['list']), n))
"""


def test_setup_cache_runs_once_and_each_case_has_a_copy(write: Write) -> None:
    [path] = discover(write({"one.py": f"LOG = []\n{CACHED}"}))
    for case in path.cases:
        body = case.open()
        body.after()
        body.close()
    assert isinstance(body, AsvBody)
    assert _log(body) == ["made", ("setup", 0, 1), ("body", 1, 1), ("setup", 0, 2), ("body", 1, 2)]


def test_a_cache_of_none_is_no_argument(write: Write) -> None:
    body = _open(write, "def setup_cache(): pass\ndef time_a(): LOG.append(1)\n")
    body.after()
    assert _log(body) == [1]


def test_a_case_runs_in_a_folder_of_its_own(write: Write, tmp_path: Path) -> None:
    body = _open(write, "import os\ndef time_a(): LOG.append(os.listdir()); open('x', 'w').close()")
    place = Path.cwd()
    assert place != tmp_path
    body.after()
    body.close()
    assert _log(body) == [[]]
    assert (Path.cwd(), place.exists(), list(tmp_path.glob("x"))) == (tmp_path, False, [])


# --- what is skipped, and what fails


@pytest.mark.parametrize("where", ["setup", "setup_cache"])
def test_a_case_that_the_suite_skips(write: Write, where: str, tmp_path: Path) -> None:
    text = f"def {where}(): raise NotImplementedError('no dask')\ndef time_a(): 0"
    [path] = discover(write({"one.py": text}))
    with pytest.raises(SkippedError, match="skipped by the suite: no dask") as skipped:
        path.cases[0].open()
    assert isinstance(skipped.value, NotImplementedError)  # what the contract asks for
    assert skipped.value.by_suite
    assert Path.cwd() == tmp_path


def test_a_skip_without_a_reason(write: Write) -> None:
    [path] = discover(write({"one.py": "def setup(): raise NotImplementedError\ndef time_a(): 0"}))
    with pytest.raises(SkippedError, match="suite: NotImplementedError"):
        path.cases[0].open()


def test_a_setup_that_fails_is_not_skipped(write: Write, tmp_path: Path) -> None:
    [path] = discover(write({"one.py": "def setup(): 1 / 0\ndef time_a(): 0"}))
    with pytest.raises(ZeroDivisionError):
        path.cases[0].open()
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize("failure", ["import no_such_module", "raise SystemExit(3)", "def ("])
def test_a_module_that_cannot_be_imported_is_not_passed_over(
    write: Write, failure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = discover(write({"good.py": "def time_a(): 0", "bad.py": failure}))
    assert _shown(paths) == {"good.time_a": ["default"], "bad": ["import"]}
    with pytest.raises(NotMeasuredError, match="cannot be imported here"):
        paths[1].cases[0].open()


def test_a_suite_that_cannot_be_imported(write: Write) -> None:
    with pytest.raises(BodyRaisedError, match="ZeroDivisionError"):
        discover(write({"__init__.py": "1 / 0"}))


def test_another_package_of_the_suites_name(tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks"  # as the package of these tests is called
    folder.mkdir()
    (folder / "__init__.py").touch()
    with pytest.raises(NotMeasuredError, match="expected the staged suite"):
        discover(folder)


def test_there_is_nothing_to_compare_with(write: Write) -> None:
    body = _open(write, "def time_a(): 0")
    with pytest.raises(NotMeasuredError):
        body.before()
    with pytest.raises(NotMeasuredError):
        body.agree(0, 0)


def test_asv_runner_is_asked_for(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "asv_runner"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asv_runner", None)
    with pytest.raises(UsageError, match="-m pip install asv_runner"):
        discover(write({"one.py": "def time_a(): 0"}))


# --- as the worker calls it


def test_load_reads_the_environment(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "class A:\n params = [1, 2, 3]\n def time_a(self, n): 0"
    monkeypatch.setenv(asv_suite.FOLDER, str(write({"one.py": text})))
    monkeypatch.setenv(asv_suite.CASES, "2")
    assert _shown(load()) == {"one.A.time_a": ["param1=1", "param1=3"]}
    assert Path.cwd() != tmp_path
    os.rmdir(Path.cwd())


@pytest.mark.parametrize(
    ("folder", "cases", "sentence"),
    [("", "", "SUITE is not set"), ("x", "0", "CASES is '0'"), ("x", "all", "CASES is 'all'")],
)
def test_load_refuses_nonsense(
    monkeypatch: pytest.MonkeyPatch, folder: str, cases: str, sentence: str
) -> None:
    monkeypatch.setenv(asv_suite.FOLDER, folder)
    monkeypatch.setenv(asv_suite.CASES, cases)
    with pytest.raises(GateError, match=sentence):
        load()
