"""Kernels are compiled outside valgrind, for the processor that valgrind shows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from benchmarks.gate import ahead
from benchmarks.gate.ahead import Ahead
from benchmarks.gate.errors import BodyRaisedError, GateError, SkippedError
from benchmarks.gate.harness import Side, WorkerProcess
from benchmarks.gate.worker import Worker

TARGET = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2"}
KEY = ("a.B", "n=1")


class Counting:
    """The worker under valgrind."""

    def __init__(self, target: dict[str, str]) -> None:
        self.target, self.asked = target, 0

    def ask(self, do: str) -> dict[str, str]:
        assert do == "compiles_for"
        self.asked += 1
        return self.target


class Compiling:
    """The worker outside, which is no process."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.opened: list[tuple[str, str, int]] = []
        self.ended = 0
        self.error: GateError | None = None

    def __call__(self, side: Any, **options: Any) -> Compiling:
        self.started.append({"side": side, **options})
        return self

    def __enter__(self) -> Compiling:
        return self

    def __exit__(self, *error: object) -> None:
        self.ended += 1

    def ask(self, do: str, path: str = "", case: str = "", warm: int = -1) -> None:
        if do == "close":
            return
        assert do == "open"
        self.opened.append((path, case, warm))
        if self.error is not None:
            raise self.error


@pytest.fixture(name="compiling")
def _compiling(monkeypatch: pytest.MonkeyPatch) -> Compiling:
    compiling = Compiling()
    monkeypatch.setattr(ahead, "WorkerProcess", compiling)
    return compiling


def opened(counting: Counting, times: int = 1) -> list[str]:
    """Open a case; what was said of the process that ran meanwhile."""
    said = []

    @contextmanager
    def running(worker: WorkerProcess) -> Iterator[None]:
        said.append("runs")
        yield
        said.append("ran")

    with Ahead(cast("Side", "side"), 1, running) as first:
        for _ in range(times):
            first.open(cast("WorkerProcess", counting), KEY)
    return said


def test_it_compiles_for_the_processor_that_counts(compiling: Compiling) -> None:
    counting = Counting(TARGET)
    assert opened(counting, times=2) == ["runs", "ran"]
    assert compiling.started == [{"side": "side", "core": 1, "environment": TARGET}]
    assert compiling.opened == [(*KEY, 1)] * 2
    assert (counting.asked, compiling.ended) == (1, 1)


def test_without_numba_no_process_is_started(compiling: Compiling) -> None:
    counting = Counting({})
    assert opened(counting, times=2) == []
    assert compiling.started == []
    assert counting.asked == 1


def test_a_case_that_is_skipped_ends_nothing(compiling: Compiling) -> None:
    compiling.error = SkippedError("not here", "this code")
    opened(Counting(TARGET), times=2)
    assert len(compiling.opened) == 2


def test_what_fails_here_is_left_to_the_one_that_counts(compiling: Compiling) -> None:
    compiling.error = BodyRaisedError("died")
    assert opened(Counting(TARGET), times=2) == ["runs", "ran"] * 2  # a fresh process for each
    assert len(compiling.opened) == 2
    assert compiling.ended == 2


def test_a_process_that_does_not_start_fails_no_case(
    compiling: Compiling, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Compiling:
        raise BodyRaisedError("it did not start")

    monkeypatch.setattr(Compiling, "__enter__", lambda self: broken())
    assert opened(Counting(TARGET), times=2) == []


def test_a_worker_says_what_numba_compiles_for(monkeypatch: pytest.MonkeyPatch) -> None:
    numba = pytest.importorskip("numba")
    found = Worker(None).compiles_for()
    codegen = numba.core.registry.cpu_target.target_context.codegen()
    assert tuple(found.values()) == codegen.magic_tuple()[1:]
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)  # a numba that is broken
    assert Worker(None).compiles_for() == {}
    monkeypatch.setitem(sys.modules, "numba", None)
    assert Worker(None).compiles_for() == {}
