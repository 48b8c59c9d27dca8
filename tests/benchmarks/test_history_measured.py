"""What is measured of a commit: which cases, what is taken over, what lacks a part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sample_history import described, numbers, record
from toy_project import Toy, bare, nothing_left, quick

from benchmarks import _history_measured, _registry
from benchmarks._history_measured import cases_of
from benchmarks._history_store import (
    ALLOCATIONS,
    COST_RATIO,
    CPU_S,
    INSTRUCTIONS,
    PEAK_BYTES,
    Recorded,
)
from benchmarks.gate import instruments, worker
from benchmarks.gate.instruments import Kind
from benchmarks.gate.project import read_project
from benchmarks.gate.run import Run

__all__ = ["bare", "nothing_left", "quick"]  # fixtures


@pytest.fixture
def two(bare: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Toy, str, str]:
    """The toy project, a commit of it whose code lacks `rows`, and the whole one."""
    monkeypatch.setattr(_history_measured, "TURNS", 1)
    toy = bare.copy(tmp_path / "toy")
    whole = toy.git("rev-parse", "HEAD")
    toy.edit("optimizer/__init__.py", "def rows(", "def renamed(")
    return toy, toy.commit({}, "without rows"), whole


def tree_of(toy: Toy, commit: str) -> str:
    return toy.git("rev-parse", f"{commit}:optimizer")


def test_a_commit_is_measured_and_what_it_lacks_is_told(two: tuple[Toy, str, str]) -> None:
    toy, without, _ = two
    run = Run(read_project(toy.root))
    said: list[str] = []
    found = _history_measured.measure(
        *(run, without, tree_of(toy, without), run.declared),
        said=said.append,
    )
    assert (found.commit, found.tree) == (without, tree_of(toy, without))
    assert found.paths["toy.Rows"].cases == {"n=5": None}
    cases = found.paths["toy.Work"].cases
    both, alone = cases["n=20"], cases["n=50"]
    assert isinstance(both, dict)
    assert isinstance(alone, dict)
    assert both[COST_RATIO] > 0
    assert both[CPU_S] > 0
    assert alone[COST_RATIO] is None  # there `before` never runs
    assert alone[CPU_S] > 0
    assert said[0] == "process 1 of 1"
    assert [line.partition(":")[0] for line in found.exempt] == ["instructions", "memory"]


@pytest.mark.stress
def test_memory_is_counted_on_the_other_core(
    two: tuple[Toy, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.gate import memory

    if reason := memory.unavailable():
        pytest.skip(reason)
    monkeypatch.setattr(
        *(instruments, "unavailable"), lambda kind: "" if kind is Kind.MEMORY else "not here"
    )
    toy, _, whole = two
    run = Run(read_project(toy.root), names=["toy.Work"])
    found = _history_measured.measure(run, whole, tree_of(toy, whole), run.selected)
    case = found.paths["toy.Work"].cases["n=20"]
    assert isinstance(case, dict)
    assert case[PEAK_BYTES] > 0
    assert case[ALLOCATIONS] > 0
    assert case[INSTRUCTIONS] is None


def test_counts_of_what_no_change_reaches_are_taken_over(two: tuple[Toy, str, str]) -> None:
    toy, without, whole = two
    run = Run(read_project(toy.root))
    workloads = {path["name"]: path["workload"] for path in run.declared}
    paths = {"toy.Work": Recorded(workloads["toy.Work"], {"n=20": numbers(), "n=50": numbers()})}
    same = record(tree_of(toy, whole), paths)
    stale = record(tree_of(toy, whole), {"toy.Work": Recorded("old", paths["toy.Work"].cases)})

    def taken(tree: str, known: Any) -> dict[str, int]:
        cases = cases_of(run.declared)
        _history_measured._take_over(run, tree, cases, known)
        return cases["toy.Work", "n=20"].counts

    counts = {INSTRUCTIONS: 1000, PEAK_BYTES: 4096, ALLOCATIONS: 7}
    assert taken(tree_of(toy, whole), same) == counts
    assert taken(tree_of(toy, whole), stale) == {}  # of another workload
    assert taken(tree_of(toy, without), same) == {}  # the suite imports the changed file
    assert taken(tree_of(toy, whole), record("0" * 40, paths)) == {}  # a tree nobody has


def test_instructions_are_of_one_case_a_path() -> None:
    path = described()
    path["cases"].append({**path["cases"][0], "label": "n=10"})
    first, second = cases_of([path]).values()
    assert first.counted_by(Kind.INSTRUCTIONS)
    assert not second.counted_by(Kind.INSTRUCTIONS)
    assert second.counted_by(Kind.MEMORY)
    second.counts = {PEAK_BYTES: 1, ALLOCATIONS: 1}
    assert not second.counted_by(Kind.MEMORY)  # it was taken over


@pytest.mark.parametrize(
    ("cases", "chosen"),
    [
        ([(True, True), (True, False)], [0]),
        ([(False, True), (True, False), (True, False)], [0, 1]),  # a ratio is wanted, too
        ([(False, False), (False, False)], [0]),
    ],
)
def test_which_cases_are_recorded(cases: list[tuple[bool, bool]], chosen: list[int]) -> None:
    path = described()
    path["cases"] = [
        {"label": str(i), "compared": compared, "timed": timed, "counted": True}
        for i, (compared, timed) in enumerate(cases)
    ]
    assert [label for _, label in cases_of([path])] == [str(i) for i in chosen]


def test_every_hot_path_has_every_quantity() -> None:
    paths = [worker._describe(path) for path in _registry.load()]
    cases = cases_of(paths)
    for path in paths:
        mine = [case for (name, _), case in cases.items() if name == path["name"]]
        assert any(case.compared for case in mine), path["name"]
        assert any(case.counted_by(Kind.INSTRUCTIONS) for case in mine), path["name"]
        assert any(case.counted_by(Kind.MEMORY) for case in mine), path["name"]
