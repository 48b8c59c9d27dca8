"""What compares our pool with others: it can say no, and each side does what is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from suite_sources import PATHS as GATED

from benchmarks import _peers, _peers_memory, _peers_workers
from benchmarks._claims_goals import GoalKind
from benchmarks._claims_table import read_beyond, split_case

PATHS = {path.name: path for path in _peers.load()}
POOLED = ("Transport", "FreshProcess", "BareProcesses")


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_peers_workers, "_N", 6)
    monkeypatch.setattr(_peers_workers, "_BARE", {"pool": 6, "study": 6})
    monkeypatch.setattr(_peers_workers, "_OBJECTIVE_S", 0.001)


LONG = ("peer=shared", "trials=2", "what=study", "peer=loky")
CASES = [
    pytest.param(name, case.label, marks=[pytest.mark.stress] if case.label in LONG else [])
    for name in POOLED
    for case in PATHS[f"peers_workers.{name}"].cases
]


@pytest.mark.parametrize(("name", "label"), CASES)
def test_both_sides_answer_the_same_and_could_disagree(name: str, label: str) -> None:
    if label == "peer=loky":
        pytest.importorskip("loky", reason="nox -s parity installs it")
    cores = os.sched_getaffinity(0)
    body = PATHS[f"peers_workers.{name}"].case(label).open()
    try:
        before, after = body.before(), body.after()
        if name != "BareProcesses":  # a busy machine may balance six short trials otherwise
            assert body.agree(before, after)
        assert not body.agree(before, after[:-1])
        assert not body.agree(before[:-1], after)
    finally:
        body.close()
    assert os.sched_getaffinity(0) == cores


@pytest.mark.parametrize(
    ("after", "even"), [([3, 3], True), ([2, 4], True), ([1, 5], False), ([6], False)]
)
def test_load_is_balanced(after: list[int], even: bool) -> None:
    body = _peers_workers._BareProcesses()
    body.n = 6
    assert body.agree([3, 3], after) is even


def test_trials_are_counted_by_process() -> None:
    assert _peers_workers._counts([7, 8, 7, 7]) == [1, 3]


# --- memory


def test_a_process_tells_what_it_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("only Linux tells what a process keeps")
    monkeypatch.setattr(_peers_memory, "_WARM", 3)
    found = _peers_memory._run("plain", 20, str(tmp_path / "study.db"))
    assert found["trials"] == 20
    assert found["bytes"] >= 1
    body = _peers_memory._KeptInMemory()
    assert body.agree(found, dict(found))
    assert body.figures(found, found) == {"bytes": (found["bytes"], found["bytes"])}
    for field in ("complete", "trials"):
        assert not body.agree(found, found | {field: found[field] + 1})


@pytest.mark.stress
def test_both_sides_keep_the_same_trials() -> None:
    body = PATHS["peers_memory.KeptInMemory"].case("trials=600").open()
    try:
        body.fresh()
        before: dict[str, Any] = body.before()
        body.fresh()
        assert body.agree(before, body.after())
    finally:
        body.close()


# --- what is said of them


def test_no_path_of_the_gate_stands_among_them_and_goals_are_of_cases() -> None:
    ours = {name for name in PATHS if name.startswith(("peers_workers.", "peers_memory."))}
    assert len(ours) == 4
    assert not ours & {*GATED}
    goals = {name: claim.goals for name, claim in read_beyond().items()}
    mine = {name: found for name, found in goals.items() if split_case(name)[0] in ours}
    kinds = {goal.kind for found in mine.values() for goal in found}
    assert {GoalKind.ADDED, GoalKind.WALL, GoalKind.MEMORY, GoalKind.BYTES} == kinds
    assert {split_case(name)[0] for name in mine} == ours
