"""Pairs of processes that start while the one before them is measured."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import pytest

from benchmarks.gate import files, starts, strace
from benchmarks.gate.harness import BASE, HEAD, Side
from benchmarks.gate.starts import Starts

HERE, CORE, OTHER = Path(), 1, 0


def side(name: str) -> Side:
    return Side(name, "toy", HERE, HERE, "m:f", HERE)


class Fake:
    """A worker process that never was; knows where it would have started, and with what."""

    made: ClassVar[list[Fake]] = []

    def __init__(
        self, side: Side, *, core: int | None, modules: list[str], files: Path | None
    ) -> None:
        self.side, self.core, self.modules, self.files = side, core, modules, files
        self.began = os.sched_getaffinity(0)
        self.open, self.killed = False, False
        Fake.made.append(self)

    def __enter__(self) -> Fake:
        self.open = True
        return self

    def __exit__(self, *error: object) -> None:
        self.open = False

    def kill(self) -> None:
        self.killed = True

    def ask(self, do: str) -> dict[str, Any]:
        assert do == "imported"
        return {"modules": ["numba", "optuna"]}


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = {OTHER, CORE}
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(cores), raising=False)

    def narrow(pid: int, to: set[int]) -> None:
        cores.clear()
        cores.update(to)

    monkeypatch.setattr(os, "sched_setaffinity", narrow, raising=False)
    monkeypatch.setattr(starts, "WorkerProcess", Fake)
    monkeypatch.setattr(Fake, "made", [])


A, B = side(BASE), Side("another", "toy", HERE, HERE, "m:f", HERE)


def test_the_first_pair_teaches_what_the_next_ones_import_before_their_turn() -> None:
    with Starts(side(HEAD), CORE) as pairs:
        with pairs.pair((A, 0), (A, 1)) as workers:
            assert len(Fake.made) == 2  # nobody knows yet what it will take
            assert [worker.modules for worker in Fake.made] == [[], []]
            pairs.learn(workers[0])
        with pairs.pair((A, 1), (A, 2)):
            assert len(Fake.made) == 6
            assert all(one.modules == ["numba", "optuna"] for one in Fake.made[2:])
            assert [one.began for one in Fake.made] == [{0, 1}] * 4 + [{OTHER}] * 2
            assert os.sched_getaffinity(0) == {0, 1}
        ahead = Fake.made[4:]
        with pairs.pair((A, 2), None) as workers:
            assert sorted(map(id, workers)) == sorted(map(id, ahead))
            assert len(Fake.made) == 6
    assert not any(one.open or one.killed for one in Fake.made)


def test_every_other_pair_starts_with_the_base() -> None:
    with Starts(side(HEAD), CORE) as pairs:
        for number in range(2):
            with pairs.pair((A, number), None) as workers:
                pair: Any = workers
                assert [worker.side.name for worker in pair] == [HEAD, BASE]
    assert [one.side.name for one in Fake.made] == [HEAD, BASE, BASE, HEAD]


def test_what_was_started_and_is_not_needed_is_killed_not_waited_for() -> None:
    with Starts(side(HEAD), CORE) as pairs:
        with pairs.pair((A, 0), None) as workers:
            pairs.learn(workers[0])
        with pairs.pair((A, 1), (B, 1)):
            pass
        with pairs.pair((A, 2), (A, 3)):  # no case of B's was left
            assert [one.killed for one in Fake.made[4:6]] == [True, True]
    assert [one.killed for one in Fake.made[-2:]] == [True, True]
    assert not any(one.open for one in Fake.made)


def test_a_pair_again_after_a_failed_case_keeps_what_was_started_for_the_next() -> None:
    with Starts(side(HEAD), CORE) as pairs:
        with pairs.pair((A, 0), None) as workers:
            pairs.learn(workers[0])
        with pairs.pair((A, 1), (A, 2)):
            ahead = Fake.made[-2:]
        with pairs.pair((A, 1), (A, 2)):
            pass
        with pairs.pair((A, 2), None) as workers:
            assert set(map(id, workers)) == set(map(id, ahead))


@pytest.mark.parametrize(
    ("core", "ahead", "cores"), [(None, True, {0, 1}), (1, False, {0, 1}), (1, True, {1})]
)
def test_nothing_starts_beside_a_pair_that_has_no_core_of_its_own_or_is_to_be_alone(
    core: int | None, ahead: bool, cores: set[int]
) -> None:
    os.sched_setaffinity(0, cores)
    with Starts(side(HEAD), core, ahead=ahead) as pairs:
        with pairs.pair((A, 0), (A, 1)) as workers:
            pairs.learn(workers[0])
        with pairs.pair((A, 1), (A, 2)):
            assert len(Fake.made) == 4
    assert all(one.core == core and one.modules == [] for one in Fake.made)


@pytest.mark.parametrize(("reason", "there"), [("", True), ("strace is not installed", False)])
def test_files_lie_in_memory_only_where_waiting_for_a_disk_is_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reason: str, there: bool
) -> None:
    monkeypatch.setattr(strace, "unavailable", lambda: reason)
    monkeypatch.setattr(starts, "in_memory", lambda: tmp_path)
    with Starts(side(HEAD), CORE) as pairs, pairs.pair((A, 0), None):
        assert [one.files for one in Fake.made] == [tmp_path if there else None] * 2


def test_memory_must_be_there_and_have_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(files, "MEMORY", tmp_path)
    monkeypatch.setattr(files, "ROOM_BYTES", 1)
    assert files.in_memory() == tmp_path
    monkeypatch.setattr(files, "ROOM_BYTES", 2**80)
    assert files.in_memory() is None
    monkeypatch.setattr(files, "MEMORY", tmp_path / "gone")
    assert files.in_memory() is None
