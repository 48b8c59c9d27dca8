"""A plain asv suite's bodies: how they are driven, what they see, and which are skipped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from asv_toys import Write, log_of, open_case, toy_suites

from benchmarks.gate import asv_suite
from benchmarks.gate.asv_suite import AsvBody, Paths, SkippedError, discover
from benchmarks.gate.errors import NotMeasuredError


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    with toy_suites(tmp_path) as write:
        yield write


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
    return " ".join(entry for entry in log_of(body) if not entry.startswith("module"))


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
    assert _driven(open_case(write, COUNTING.format(declared=declared)), 3) == expected


def test_setup_may_change_the_number(write: Write) -> None:
    text = COUNTING.format(declared="number = 0").replace(
        "LOG.append('setup')", "LOG.append('setup'); self.number = 1"
    )
    assert _driven(open_case(write, text), 2) == "setup body down setup body down"


def test_module_setup_runs_first_and_module_teardown_last(write: Write) -> None:
    body = open_case(write, COUNTING.format(declared=""))
    body.close()
    assert log_of(body) == ["module", "setup", "down", "module down"]


def test_functions_have_setups_and_parameters_as_attributes(write: Write) -> None:
    text = (
        "def time_a(n): LOG.append(('body', n))\n"
        "time_a.params = [7, 8]\ntime_a.setup = lambda n: LOG.append(('setup', n))\n"
    )
    body = open_case(write, text, case=1)
    body.fresh()
    body.after()
    assert log_of(body) == [("setup", 8), ("body", 8)]


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
    assert log_of(body) == [(1, 1), (2, 1), (1, 1)]


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
    assert log_of(body) == [
        "made",
        ("setup", 0, 1),
        ("body", 1, 1),
        ("setup", 0, 2),
        ("body", 1, 2),
    ]


def test_a_cache_of_none_is_no_argument(write: Write) -> None:
    body = open_case(write, "def setup_cache(): pass\ndef time_a(): LOG.append(1)\n")
    body.after()
    assert log_of(body) == [1]


def test_a_case_runs_in_a_folder_of_its_own(write: Write, tmp_path: Path) -> None:
    body = open_case(
        write, "import os\ndef time_a(): LOG.append(os.listdir()); open('x', 'w').close()"
    )
    place = Path.cwd()
    assert place != tmp_path
    body.after()
    body.close()
    assert log_of(body) == [[]]
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


def test_there_is_nothing_to_compare_with(write: Write) -> None:
    body = open_case(write, "def time_a(): 0")
    with pytest.raises(NotMeasuredError):
        body.before()
    with pytest.raises(NotMeasuredError):
        body.agree(0, 0)
