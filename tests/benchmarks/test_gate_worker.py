"""A worker from inside: what closed cases leave behind, and how it takes Ctrl-C."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.gate import worker

ROOT = Path(__file__).resolve().parents[2]


class Node:
    """Something that only a collection frees."""

    def __init__(self) -> None:
        self.itself = self


class Body:
    """Holds garbage in the making."""

    def __init__(self) -> None:
        self.node = Node()

    def nothing(self) -> None:
        pass

    fresh = after = close = nothing


@pytest.fixture(autouse=True)
def _unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def opened() -> tuple[worker.Worker, weakref.ref[Node]]:
    bodies = []

    def open_body() -> Body:
        bodies.append(Body())
        return bodies[0]

    case = SimpleNamespace(label="c", open=open_body)
    path: Any = SimpleNamespace(name="p", clock="thread", cases=[case])
    found = worker.Worker(None)
    found._paths = {"p": path}
    found._freeze()
    found.open("p", "c")
    return found, weakref.ref(bodies.pop().node)


def test_a_background_job_has_the_ctrl_c_of_any_other() -> None:
    script = """
import signal, sys
from benchmarks.gate import worker
signal.signal(signal.SIGINT, signal.SIG_IGN)
worker.main(["--package", "p", "--stage", ".", "--loader", "m:f"])
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, file=sys.stderr)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, input="", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "True\n")


def test_much_that_closed_cases_leave_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MOST_FROZEN", 0)
    found, node = opened()
    assert node() is not None
    found.close()
    assert node() is None


def test_little_that_they_leave_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MOST_FROZEN", 10**9)
    found, node = opened()
    found.close()
    assert node() is not None


def test_what_is_frozen_is_visited_only_where_it_may_be_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, _node = opened()
    visits: list[int] = []
    count = gc.get_freeze_count

    def visit() -> int:
        visits.append(count())
        return visits[-1]

    monkeypatch.setattr(gc, "get_freeze_count", visit)
    for _ in range(3):
        found.close()
        found.open("p", "c")
    assert visits == []
    monkeypatch.setattr(worker, "MOST_FROZEN", found._cases_froze)
    found.close()
    assert visits == []  # as many as may be left
    found.open("p", "c")
    monkeypatch.setattr(worker, "MOST_FROZEN", found._cases_froze - 1)
    found.close()
    assert visits


def test_cases_leave_at_most_what_was_frozen_for_them() -> None:
    found, _node = opened()
    for _ in range(5):
        assert gc.get_freeze_count() - found._frozen <= found._cases_froze
        found.close()
        found.open("p", "c")


def test_what_cases_import_another_worker_imports_with_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "the_code.py").touch()
    (tmp_path / "the_suite.py").write_text("def load():\n    return []\n")
    (tmp_path / "lazy_library.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    where = ("the_code", tmp_path, "the_suite:load", None)
    first = worker.Worker(None)
    first.load(*where)
    assert first.imported() == {"modules": []}
    monkeypatch.setitem(sys.modules, "lazy_library", SimpleNamespace())  # as a case's setup does
    assert first.imported() == {"modules": ["lazy_library"]}
    monkeypatch.delitem(sys.modules, "lazy_library")
    worker.Worker(None).load(*where, modules=["no_such_library", "lazy_library"])
    assert sys.modules["lazy_library"].__file__ == str(tmp_path / "lazy_library.py")
    for name in ("the_code", "the_suite", "lazy_library"):
        del sys.modules[name]
