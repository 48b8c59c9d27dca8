"""Exact counts: each case is asked once, by whichever process comes to it first."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any

import pytest

from benchmarks.gate import exact
from benchmarks.gate.errors import BodyRaisedError
from benchmarks.gate.exact import Job, Lanes
from benchmarks.gate.instruments import Kind
from benchmarks.gate.outcome import Key, Outcome

KEYS: list[Key] = [("a.B", f"n={n}") for n in range(12)]


class Counted:
    """A worker that is no process; every `count` it is asked is kept."""

    def __init__(self) -> None:
        self.cores: list[int | None] = []
        self.asked: list[tuple[int | None, Key]] = []
        self.ahead: list[Key] = []
        self.at_once: threading.Barrier | None = None
        self.broken: set[Key] = set()

    def __call__(self, side: Any, *, core: int | None, instrument: Kind | None) -> Any:
        self.cores.append(core)
        return nullcontext(core)

    def ask(self, core: Any, key: Key) -> None:
        if self.at_once is not None:
            self.at_once.wait(10)
        self.asked.append((core, key))
        if key in self.broken:
            raise BodyRaisedError("broken")


class Opened:
    """What stands for `Ahead`."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted

    def open(self, worker: Any, key: Key) -> None:
        assert all(key != asked for _, asked in self._counted.asked)  # it comes first
        self._counted.ahead.append(key)


@pytest.fixture(name="worker")
def _worker(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted = Counted()
    monkeypatch.setattr(exact, "WorkerProcess", counted)
    monkeypatch.setattr(exact, "Ahead", lambda *_: nullcontext(Opened(counted)))
    monkeypatch.setattr(exact, "exact_core", lambda: 0)
    monkeypatch.setattr(exact, "pair_core", lambda: 1)
    monkeypatch.setattr(Lanes, "running", lambda self, worker: nullcontext())
    monkeypatch.setattr(Job, "ask", lambda self, core, key: counted.ask(core, key))
    return counted


def job(keys: list[Key], kind: Kind | None = Kind.INSTRUCTIONS) -> Job:
    side: Any = type("Side", (), {"name": "this code"})()
    return Job(side, keys, lambda key, answer: None, kind)


def silent(line: str) -> None:
    pass


def outcomes() -> dict[Key, Outcome]:
    return {key: Outcome() for key in KEYS}


def test_two_processes_share_what_is_left(worker: Counted) -> None:
    """Neither waits for the other: each asks as long as there is a case."""
    worker.at_once = threading.Barrier(2)
    jobs, found, lanes = [job(KEYS)], outcomes(), Lanes()
    other = threading.Thread(target=exact.run, args=(jobs, found, lanes, silent))
    other.start()
    exact.lend(jobs, found, lanes, silent)
    other.join(10)
    assert sorted(key for _, key in worker.asked) == sorted(KEYS)
    assert {core for core, _ in worker.asked} == {0, 1}


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        (KEYS[: exact.WORTH_A_PROCESS - 1], Kind.INSTRUCTIONS),
        (KEYS, Kind.COUNTERS),
        (KEYS, Kind.MEMORY),
        (KEYS, None),
    ],
)
def test_a_core_is_lent_for_many_instructions_alone(
    worker: Counted, keys: list[Key], kind: Kind | None
) -> None:
    exact.lend([job(keys, kind)], outcomes(), Lanes(), silent)
    assert worker.cores == []


@pytest.mark.parametrize(
    ("kind", "opened"), [(Kind.INSTRUCTIONS, KEYS), (Kind.COUNTERS, []), (None, [])]
)
def test_kernels_are_compiled_ahead_of_valgrind_alone(
    worker: Counted, kind: Kind | None, opened: list[Key]
) -> None:
    exact.run([job(KEYS, kind)], outcomes(), Lanes(), silent)
    assert worker.ahead == opened


def test_a_case_that_fails_is_followed_by_a_fresh_process(worker: Counted) -> None:
    found = outcomes()
    worker.broken = {KEYS[3]}
    exact.run([job(KEYS)], found, Lanes(), silent)
    assert [key for _, key in worker.asked] == KEYS
    assert len(worker.cores) == 2
    assert [key for key in KEYS if found[key].error is not None] == [KEYS[3]]


def test_a_list_is_left_as_it_was(worker: Counted) -> None:
    keys = list(KEYS)
    exact.each_case(job(keys).side, keys, worker.ask, outcomes(), Lanes(), core=0)
    assert keys == KEYS
    assert len(worker.asked) == len(KEYS)
