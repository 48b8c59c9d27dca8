"""The records as asv's results, and what asv's step detection found in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from git_project import GitProject
from sample_history import MACHINE, record, recorded

from benchmarks import _history_asv
from benchmarks._history import CODE, commits
from benchmarks._history_asv import QUANTITIES, Commit, Regression, publish, write_results
from benchmarks._history_store import COLUMNS, HistoryError, Recorded
from benchmarks.gate.repository import Repository

COMMITS = [Commit(f"c{i}" * 20, f"t{i}", 1_700_000_000 + i, f"change {i}") for i in range(3)]


def results(folder: Path, commit: Commit) -> dict[str, Any]:
    file = folder / MACHINE.name / f"{commit.hash[:8]}-history.json"
    found: dict[str, Any] = json.loads(file.read_text())["results"]
    return found


def test_every_quantity_is_a_graph_with_a_line_a_case(tmp_path: Path) -> None:
    assert write_results([record("t0")], COMMITS, tmp_path) == 1
    benchmarks = json.loads((tmp_path / "benchmarks.json").read_text())
    graphs = {f"stores.Add.{quantity.name}" for quantity in QUANTITIES.values()}
    assert graphs == {f"stores.Add.{name}" for name in (
        *("cost_ratio", "cpu_time", "instructions", "peak_memory", "allocations"),
    )}  # fmt: skip
    assert benchmarks.keys() == {"version", *graphs}
    assert benchmarks["stores.Add.cpu_time"]["params"] == [["'n=1'", "'n=10'"]]
    assert results(tmp_path, COMMITS[0])["stores.Add.instructions"] == [
        *([1000, 1000], [["'n=1'", "'n=10'"]], "w1"),
    ]
    assert QUANTITIES.keys() == set(COLUMNS)


def test_a_record_stands_for_every_commit_of_its_tree(tmp_path: Path) -> None:
    twice = [*COMMITS, Commit("d" * 40, "t0", 1_700_000_009, "back again")]
    assert write_results([record("t0", commit="rebased away")], twice, tmp_path) == 2
    assert results(tmp_path, twice[-1]) == results(tmp_path, twice[0])


def test_what_was_measured_with_another_workload_is_left_out(tmp_path: Path) -> None:
    old = record("t0", {"a.A": recorded(workload="old")}, date="2026-01-01")
    new = record("t1", {"a.A": recorded(workload="new")}, date="2026-02-01")
    write_results([old, new], COMMITS, tmp_path)
    assert results(tmp_path, COMMITS[0]) == {}
    assert "a.A.cost_ratio" in results(tmp_path, COMMITS[1])


def test_what_is_not_there_is_no_point(tmp_path: Path) -> None:
    cases = {"n=1": None, "n=2": "it raised", "n=3": recorded().cases["n=1"]}
    write_results([record("t0", {"a.A": Recorded("w1", cases)})], COMMITS, tmp_path)
    assert results(tmp_path, COMMITS[0])["a.A.cost_ratio"][0] == [None, None, 0.1]
    write_results([record("t0", {"a.A": Recorded("w1", {"n=1": None})})], COMMITS, tmp_path)
    assert results(tmp_path, COMMITS[0]) == {}


def test_results_of_before_are_gone(tmp_path: Path) -> None:
    write_results([record("t0")], COMMITS, tmp_path)
    write_results([record("t1")], COMMITS, tmp_path)
    assert not (tmp_path / MACHINE.name / f"{COMMITS[0].hash[:8]}-history.json").exists()


def test_regressions_name_graph_and_commit(tmp_path: Path) -> None:
    index = {"revision_to_hash": {"1": "a" * 40, "2": "b" * 40}}
    (tmp_path / "index.json").write_text(json.dumps(index))
    found = [
        ["a.A.cpu_time('n=1')", "path", {}, 0, 2.0, 1.0, [[1, 2, 1.0, 2.0]]],
        ["a.A.cost_ratio('n=1')", "path", {}, 0, 0.3, 0.0, [[None, 1, 0.0, 0.3]]],
        ["a.A.allocations('n=1')", "path", {}, 0, 2.0, 1.0, None],
    ]
    (tmp_path / "regressions.json").write_text(json.dumps({"regressions": found}))
    ratio, time = _history_asv.regressions(tmp_path)
    assert time == Regression("a.A.cpu_time('n=1')", 1.0, 2.0, "b" * 40)
    assert time.line({"b" * 40: "a change"}) == (
        "a.A.cpu_time('n=1'): 1 → 2 (+100.0%) at bbbbbbbb a change"
    )
    assert "from nothing" in ratio.line({})


# What each quantity is before and after the change in the middle, and whether that is listed.
STEPS: dict[str, tuple[str, float, float, bool]] = {
    "cost_ratio": ("ratio", 0.1, 0.13, True),
    "cpu_time": ("cpu_s", 0.002, 0.003, False),  # the machine may have become slower
    "instructions": ("instructions", 1_000_000, 1_020_000, True),
    "small": ("peak", 4_096, 4_300, False),  # 5%, but within what memory moves by itself
    "large": ("peak", 4_096, 4_400, True),
}


def test_asv_lists_steps_of_the_code_and_none_of_the_machine(tmp_path: Path) -> None:
    project, records = GitProject.create(tmp_path / "project"), []
    for i in range(24):
        project.commit({f"{CODE}/__init__.py": f"A = {i}\n"}, f"change {i}")
    made = commits(Repository(project.root))
    for i, commit in enumerate(reversed(made)):
        paths = {}
        for name, (column, before, after, _) in STEPS.items():
            now: dict[str, Any] = {column: after if i >= 12 else before}
            paths[f"a.{name}"] = recorded(**now)
        records.append(record(commit.tree, paths, commit=commit.hash))
    folder = tmp_path / "asv"
    assert write_results(records, made, folder / "results") == 24
    found = _history_asv.regressions(publish(records, project.root, folder))
    assert {one.graph.split(".")[1] for one in found} == {
        name for name, (*_, told) in STEPS.items() if told
    }
    assert {one.commit for one in found} == {made[11].hash}


def test_what_asv_could_not_do_is_told(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"asv publish failed \(\d+\): .") as found:
        publish([], tmp_path, tmp_path / "folder")  # no repository
    assert "\n" not in str(found.value)
