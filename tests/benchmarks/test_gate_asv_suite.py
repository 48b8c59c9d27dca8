"""A plain asv suite as hot paths: what is found, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from asv_toys import Write, shown, toy_suites

from benchmarks.gate import asv_suite
from benchmarks.gate.asv_suite import SkippedError, discover, load
from benchmarks.gate.contract import SUITE_FOLDER, HotPath
from benchmarks.gate.errors import BodyRaisedError, GateError, NotMeasuredError, UsageError


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    with toy_suites(tmp_path) as write:
        yield write


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
    assert shown(discover(folder)) == {
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
    assert set(shown(discover(folder))) == {"one.A.time_a", "two.B.time_b"}


def test_an_imported_benchmark_is_found_under_each_name_once(write: Write) -> None:
    text = "class A:\n def time_a(self): 0\nB = A"
    folder = write({"one.py": text, "two.py": "from .one import A"})
    assert list(shown(discover(folder))) == ["one.A.time_a", "two.A.time_a"]


def test_other_kinds_are_said_not_measured(write: Write) -> None:
    text = "def time_a(): 0\ndef track_b(): return 1\ndef timeraw_c(): return ''\ndef mem_d(): 0"
    paths = discover(write({"one.py": text}))
    assert list(shown(paths)) == ["one.time_a"]
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
    assert shown(discover(write({"one.py": text}))) == {
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


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n params = [1, 2]\n skip_params = [(1,), (2,)]\n def time_a(self, n): 0",
        "class A:\n params = [[]]\n def time_a(self, n): 0",
    ],
)
def test_a_path_without_a_case_is_shown_as_skipped(write: Write, text: str) -> None:
    paths = discover(write({"one.py": f"{text}\n def time_b(self, n): 0"}))
    assert shown(paths) == {"one.A.time_a": ["no parameters"], "one.A.time_b": ["no parameters"]}
    assert paths.notes[0] == "one.A.time_a: the suite skips each of its combinations of parameters"
    with pytest.raises(SkippedError, match=r"one\.A\.time_a has no combination") as skipped:
        paths[0].cases[0].open()
    assert skipped.value.by_suite


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


# --- what is refused


@pytest.mark.parametrize("failure", ["import no_such_module", "raise SystemExit(3)", "def ("])
def test_a_module_that_cannot_be_imported_is_not_passed_over(
    write: Write, failure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = discover(write({"good.py": "def time_a(): 0", "bad.py": failure}))
    assert shown(paths) == {"good.time_a": ["default"], "bad": ["import"]}
    with pytest.raises(NotMeasuredError, match="cannot be imported here"):
        paths[1].cases[0].open()


def test_a_suite_that_cannot_be_imported(write: Write) -> None:
    with pytest.raises(BodyRaisedError, match="ZeroDivisionError"):
        discover(write({"__init__.py": "1 / 0"}))


def test_another_package_of_the_suites_name(write: Write, tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks"  # as the package of these tests is called
    folder.mkdir()
    (folder / "__init__.py").touch()
    with pytest.raises(NotMeasuredError, match="expected the staged suite"):
        discover(folder)


def test_asv_runner_is_asked_for(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "asv_runner"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asv_runner", None)
    with pytest.raises(UsageError, match="install asv_runner there"):
        discover(write({"one.py": "def time_a(): 0"}))


# --- as the worker calls it


def test_load_reads_the_environment(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "class A:\n params = [1, 2, 3]\n def time_a(self, n): 0"
    monkeypatch.setenv(SUITE_FOLDER, str(write({"one.py": text})))
    monkeypatch.setenv(asv_suite.CASES, "2")
    assert shown(load()) == {"one.A.time_a": ["param1=1", "param1=3"]}
    assert Path.cwd() != tmp_path
    os.rmdir(Path.cwd())


@pytest.mark.parametrize(
    ("folder", "cases", "sentence"),
    [("", "", "SUITE is not set"), ("x", "0", "CASES is '0'"), ("x", "all", "CASES is 'all'")],
)
def test_load_refuses_nonsense(
    monkeypatch: pytest.MonkeyPatch, folder: str, cases: str, sentence: str
) -> None:
    monkeypatch.setenv(SUITE_FOLDER, folder)
    monkeypatch.setenv(asv_suite.CASES, cases)
    with pytest.raises(GateError, match=sentence):
        load()
