"""Both clocks with intervals from the same processes, and counts of both sides."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from sample_claims import interleaved

from benchmarks import _claims_measured, _claims_swapped, _engine
from benchmarks._claims_measured import Amount, Measured, Spread, count_both, measure
from benchmarks.gate import instruments, ratio
from benchmarks.gate.errors import NotMeasuredError
from benchmarks.gate.harness import Side
from benchmarks.gate.instruments import Kind
from benchmarks.gate.project import read_project
from benchmarks.gate.ratio import Interleaved
from benchmarks.gate.run import Run

SIDE = Side("head", "optimizer", Path("/stage"), Path("/suite"), "m:load", Path("/home"), "b")
KEY = "stores.AddBatch", "n=100,durability=power"


class NoWorker:
    """A worker that is never asked."""

    def __init__(self, side: Side, **options: Any) -> None:
        assert side is SIDE

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...


Compared = list[bool]


@pytest.fixture(name="compared")
def _compared(monkeypatch: pytest.MonkeyPatch, processes: Iterator[Interleaved]) -> Compared:
    """For each process whether the answers of its sides were compared."""
    found: Compared = []

    def next_process(worker: NoWorker, key: object, *, compare: bool = False) -> Interleaved:
        assert key == KEY
        found.append(compare)
        return next(processes)

    for module in (_claims_measured, ratio):
        monkeypatch.setattr(module, "WorkerProcess", NoWorker)
        monkeypatch.setattr(module, "interleave", next_process)
    return found


FIVE = [interleaved(wall, cpu) for wall, cpu in ((8, 3), (9, 4), (10, 5), (11, 4), (12, 3))]


@pytest.mark.parametrize("processes", [iter([*FIVE, *FIVE])])
def test_cpu_time_is_judged_as_the_gate_judges_it(compared: Compared) -> None:
    ours = measure(SIDE, KEY, quick=False)
    gates = ratio.claim_ratio(SIDE, KEY)
    assert (ours.cpu.ratio, ours.cpu.low, ours.cpu.high) == (gates.cpu, gates.low, gates.high)
    assert (ours.wall.ratio, ours.before_s, ours.after_s) == (
        gates.wall,
        gates.before_s,
        gates.after_s,
    )
    assert compared == [True, False, False, False, False] * 2
    assert ours.processes == 5


def test_an_interval_of_wall_time() -> None:
    found = Measured.of(FIVE).wall
    logs = [math.log(wall) for wall in (8, 9, 10, 11, 12)]
    mean = sum(logs) / 5
    se = math.sqrt(sum((log - mean) ** 2 for log in logs) / 4 / 5)
    expected = [mean, mean - 3 * se, mean + 3 * se]
    got = [math.log(end) for end in (found.ratio, found.low, found.high)]
    assert got == pytest.approx(expected, rel=1e-12)  # sums in another order


def test_an_interval_of_what_is_saved() -> None:
    """0.5 s before, 0.4 to 0.45 s less after: a mean, since seconds add up."""
    processes = [interleaved(wall, 2.0) for wall in (5.0, 10.0)]
    mean, se = 0.425, 0.025 / 1  # of two values
    found = Measured.of(processes).saved_s
    expected = (mean, mean - 3 * se, mean + 3 * se)
    got = (found.value, found.low, found.high)
    assert got == pytest.approx(expected, rel=1e-12)  # sums in another order
    assert Amount(1.0, 0.5, 2.0).times(5.0) == Amount(5.0, 2.5, 10.0)


def test_equal_processes_have_no_interval() -> None:
    found = Spread.of([4.0, 4.0])
    assert found.low == found.ratio == found.high == pytest.approx(4.0, rel=1e-15)  # exp of log


@pytest.mark.parametrize(
    ("processes", "quick", "count"),
    [
        (iter([interleaved(2, 2)] * 5), True, 2),
        (iter([interleaved(2, 2)] * 5), False, 5),
        (iter([interleaved(2, 2, before_s=1.5)] * 5), False, 3),
        (iter([interleaved(2, 2, before_s=1.5)] * 5), True, 2),
    ],
)
def test_how_many_processes(
    compared: Compared, processes: Iterator[Interleaved], quick: bool, count: int
) -> None:
    begun: list[tuple[int, int]] = []
    found = measure(SIDE, KEY, quick=quick, begun=lambda at, of: begun.append((at, of)))
    assert found.processes == len(compared) == count
    assert [at for at, _ in begun] == list(range(1, count + 1))
    assert begun[-1] == (count, count)


# --- counts


def test_the_sides_of_a_swapped_path_are_swapped() -> None:
    originals = {path.name: path for path in _engine.load()}
    swapped = {path.name: path for path in _claims_swapped.load()}
    assert set(swapped) == set(originals)
    path = swapped["signature.Cold"]
    assert path.workload == originals["signature.Cold"].workload
    assert [case.label for case in path.cases] == ["sets=1000"]
    assert path.cases[0].counted
    body, original = path.cases[0].open(), originals["signature.Cold"].cases[0].open()
    body.fresh()
    assert body.after() == original.before()
    assert body.before() == original.after()
    body.close()
    original.close()


def test_both_sides_are_counted_by_the_instrument_that_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def count(side: Side, key: object, kind: Kind) -> dict[str, int]:
        asked.append((side.loader == _claims_swapped.LOADER, key, kind))
        times = 10 if side.loader == _claims_swapped.LOADER else 1
        if kind is Kind.MEMORY:
            return {"allocations": 7 * times, "peak_bytes": 100 * times}
        return {"opens": 3 * times}

    monkeypatch.setattr(_claims_measured, "_count", count)
    monkeypatch.setattr(instruments, "unavailable", lambda kind: "")
    found = count_both(SIDE, KEY, ["allocations", "opens", "peak_bytes"])
    assert found == {"allocations": (70, 7), "opens": (30, 3), "peak_bytes": (1000, 100)}
    assert asked == [
        (True, KEY, Kind.MEMORY),
        (False, KEY, Kind.MEMORY),
        (True, KEY, Kind.COUNTERS),
        (False, KEY, Kind.COUNTERS),
    ]
    with pytest.raises(NotMeasuredError, match=r"counts no writes; it counts \['opens'\]"):
        count_both(SIDE, KEY, ["writes"])


def test_what_cannot_be_counted_here_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "unavailable", lambda kind: "no memray")
    with pytest.raises(NotMeasuredError, match="memory cannot be counted here: no memray"):
        count_both(SIDE, KEY, ["allocations"])


def test_nothing_to_count_asks_nobody() -> None:
    assert count_both(SIDE, KEY, ()) == {}


@pytest.mark.stress
def test_commits_of_both_sides_are_counted() -> None:
    head = Run(read_project(Path(__file__).resolve().parents[2])).head
    found = count_both(head, KEY, ["commits"])
    assert found["commits"][0] >= 100
    assert found["commits"][1] == 1
