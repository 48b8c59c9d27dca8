"""A toy project for tests of the whole gate: real git, real worker processes. (Not a test file.)

Nothing here depends on a measured time: the limits of CPU time are set so wide (or so that every
path fails them) that the machine's noise cannot decide.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from git_project import GitProject

from benchmarks.gate import cli, instruments, judge, pairs, ratio, run, strace
from benchmarks.gate import rebaseline as moving
from benchmarks.gate.rules import CpuRule

ROOT = Path(__file__).resolve().parents[2]

WIDE = CpuRule(1, 1e9, 1e9, 1, 1e9, 1e9)
ALWAYS_SLOWER = CpuRule(1, -1e9, -1e9, 2, -1e9, -1e9)

PYPROJECT = """\
[project]
name = "toy"
dependencies = []
[tool.velocity-gate]
code = "optimizer"
suite = "benchmarks"
loader = "benchmarks._registry:load"
baselines = "benchmarks/baselines"
"""

CODE = """\
import sqlite3


def work(n):
    return sum(i * i for i in range(n))


def rows(path, n):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t VALUES (?)", ((i,) for i in range(n)))
    connection.execute("COMMIT")
    connection.close()
    return n
"""

SUITE = """\
import tempfile
from pathlib import Path

from benchmarks._registry import hot_path as _hot_path


@_hot_path(claim="", witnesses=("statements", "commits", "cpu"))
class Rows:
    params = (5,)
    param_names = ("n",)

    def setup(self, n):
        import optimizer

        self.rows = optimizer.rows
        self.folder = tempfile.TemporaryDirectory()
        self.file = Path(self.folder.name) / "toy.db"

    def fresh(self, n):
        self.file.unlink(missing_ok=True)

    def before(self, n):
        return n

    def after(self, n):
        return self.rows(self.file, n)

    def agree(self, before, after):
        return before == after

    def teardown(self, n):
        self.folder.cleanup()


@_hot_path(claim="", witnesses=("bytecodes", "cpu"), after_only=(50,))
class Work:
    params = (20, 50)
    param_names = ("n",)

    def setup(self, n):
        import optimizer

        self.work = optimizer.work

    def before(self, n):
        return sum(i * i for i in range(n))

    def after(self, n):
        return self.work(n)

    def agree(self, before, after):
        return before == after
"""

BROKEN = """\
import os
import time
from pathlib import Path

from benchmarks._registry import hot_path as _hot_path


class _Plain:
    params = (1,)
    param_names = ("n",)

    def setup(self, n):
        self.here = "here"

    def before(self, n):
        return n

    def after(self, n):
        return n

    def agree(self, before, after):
        return before == after


@_hot_path(claim="", witnesses=("cpu",))
class Raises(_Plain):
    def after(self, n):
        raise ArithmeticError("on purpose")


@_hot_path(claim="", witnesses=("cpu",))
class Disagrees(_Plain):
    def before(self, n):
        return n + 1


@_hot_path(claim="", witnesses=("cpu",))
class Dies(_Plain):
    def after(self, n):
        os._exit(7)


@_hot_path(claim="", witnesses=("cpu",))
class Lacks(_Plain):
    def setup(self, n):
        raise NotImplementedError("no room called cellar")
"""

PLANT = ('connection.execute("BEGIN")', 'connection.execute("SELECT 1")\n    {0}')


@dataclass
class Judged:
    """What a run of the gate left: exit code, JSON, and what it printed."""

    code: int
    report: dict[str, Any]
    out: str
    err: str

    def findings(self, path: str) -> list[dict[str, Any]]:
        return [found for found in self.report["findings"] if found["path"] == path]

    def verdicts(self, path: str) -> set[str]:
        return {found["verdict"] for found in self.findings(path)}

    def sentences(self, path: str) -> list[str]:
        return [found["sentence"] for found in self.findings(path) if found["sentence"]]


class Toy(GitProject):
    """The toy project, and the gate's command line on it."""

    def copy(self, target: Path) -> Toy:
        shutil.copytree(self.root, target, symlinks=True)
        return Toy(target)

    def check(self, capture: pytest.CaptureFixture[str], *words: str) -> Judged:
        file = self.root / "out" / "report.json"
        file.unlink(missing_ok=True)
        code = cli.main([*words, "--root", str(self.root), "--json", str(file)])
        report = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        out, err = capture.readouterr()
        assert "Traceback" not in out + err
        return Judged(code, report, out, err)

    def rebaseline(self, *words: str, reason: str = "a reason") -> int:
        return cli.main(["rebaseline", *words, "--root", str(self.root), "--reason", reason])

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text(encoding="utf-8")
        assert text.count(old) == 1
        self.write({name: text.replace(old, new.format(old))})

    def plant(self) -> None:
        """One more SQL statement."""
        self.edit("optimizer/__init__.py", *PLANT)

    def baseline(self, path: str) -> dict[str, Any]:
        file = self.root / "benchmarks" / "baselines" / f"{path}.json"
        table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return table


def make_quick(patch: pytest.MonkeyPatch, rule: CpuRule = WIDE) -> None:
    """Few and short measurements, one instrument, and no strace."""
    patch.setattr(pairs, "BATCH_S", 1e-4)
    patch.setattr(pairs, "WALL_BATCH_S", 1e-4)
    patch.setattr(ratio, "PROCESSES", 2)
    patch.setattr(ratio, "ROUNDS", 2)
    patch.setattr(judge, "LOST_CLAIM", 0.0)  # ratios of so short a measurement say nothing
    patch.setattr(cli, "CAREFUL", rule)
    patch.setattr(moving, "Run", functools.partial(run.Run, rule=rule))
    patch.setattr(strace, "unavailable", lambda: "not in this test")
    patch.setattr(
        instruments,
        "unavailable",
        lambda kind: "" if kind is instruments.Kind.COUNTERS else "not in this test",
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    make_quick(monkeypatch)


@functools.cache
def make_bare(folder: Path) -> Toy:
    """The toy project before it has any baseline; made once in a session: copy it."""
    toy = Toy(GitProject.create(folder / "bare").root)
    suite = toy.root / "benchmarks"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "benchmarks" / "gate", suite / "gate", ignore=ignored)
    for name in ("__init__.py", "_registry.py"):
        shutil.copy(ROOT / "benchmarks" / name, suite / name)
    files = {"pyproject.toml": PYPROJECT, "optimizer/__init__.py": CODE}
    toy.commit({**files, "benchmarks/toy.py": SUITE, ".gitignore": ".gate/\nout/\n__pycache__/\n"})
    return toy


@functools.cache
def make_stored(folder: Path) -> Toy:
    """The toy project with its baselines committed; made once in a session: copy it."""
    toy = make_bare(folder).copy(folder / "stored")
    with pytest.MonkeyPatch.context() as patch:
        make_quick(patch)
        assert toy.rebaseline("--all", reason="first") == 0
    toy.commit({}, "baselines")
    return toy


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return make_bare(tmp_path_factory.getbasetemp() / "toys")


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return make_stored(tmp_path_factory.getbasetemp() / "toys")


@pytest.fixture
def toy(stored: Toy, tmp_path: Path) -> Toy:
    return stored.copy(tmp_path / "toy")


Check = Callable[..., Judged]


@pytest.fixture
def check(toy: Toy, capsys: pytest.CaptureFixture[str]) -> Check:
    return functools.partial(toy.check, capsys)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """After every test: no worker of it, and no file half written."""
    yield
    assert processes_of(tmp_path) == []
    assert [file for file in tmp_path.rglob("*") if ".unfinished" in file.name] == []
    assert list(tmp_path.glob("toy/.gate/unfinished-*")) == []


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes that were told of `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # ended meanwhile
            continue
        if str(folder) in line:
            found.append(line)
    return found
