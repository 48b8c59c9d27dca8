"""Records: written whole, read back the same, refused in one line where they are damaged."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from sample_history import MACHINE, record, recorded

from benchmarks import _history_store
from benchmarks._history_store import COST_RATIO, HistoryError, Machine, Recorded


def test_a_record_is_read_back_the_same(tmp_path: Path) -> None:
    paths = {
        "stores.Add": recorded("n=1", "n=10", ratio=0.125),
        "stores.Late": Recorded("w2", {"n=1": None}),
        "stores.Fails": Recorded("w3", {"n=1": "it raised"}),
    }
    ref = record("t1", paths)
    file = ref.write(tmp_path)
    assert file.parent.name == MACHINE.name == "a-chip-r-3000-2-cores"
    assert _history_store.read(file) == ref
    assert _history_store.read_all(tmp_path) == [ref]
    assert [one.name for one in file.parent.iterdir()] == [file.name]  # nothing unfinished


def test_a_file_is_small_and_a_line_a_path(tmp_path: Path) -> None:
    paths = {f"suite.Path{i}": recorded("n=1", "n=10") for i in range(50)}
    file = record("t1", paths).write(tmp_path)
    assert file.stat().st_size < 10_000
    assert sum("suite.Path" in line for line in file.read_text().splitlines()) == 50
    json.loads(file.read_text())


def test_timings_keep_four_digits_and_counts_all(tmp_path: Path) -> None:
    path = recorded("n=1", ratio=0.123456789, instructions=123_456_789)
    file = record("t1", {"a.B": path}).write(tmp_path)
    found = _history_store.read(file).paths["a.B"].cases["n=1"]
    assert isinstance(found, dict)
    assert (found[COST_RATIO], found["instructions"]) == (0.1235, 123_456_789)


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"format": 99}', '{"format": 1, "paths": 3}'])
def test_what_is_no_record_is_named(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "machine" / "abc.json"
    file.parent.mkdir()
    file.write_text(damage)
    with pytest.raises(HistoryError, match=r"abc\.json") as found:
        _history_store.read_all(tmp_path)
    assert "\n" not in str(found.value)


def test_what_a_record_lacks() -> None:
    held = record("t1", {"a.A": recorded(), "a.B": recorded(workload="old")})
    assert held.lacks({"a.A": "w1", "a.B": "new", "a.C": "w1"}) == ["a.B", "a.C"]


def test_a_newer_record_wins_where_both_hold_a_path() -> None:
    older = record("t1", {"a.A": recorded(), "a.B": recorded(workload="old")})
    newer = record("t1", {"a.B": recorded(workload="new")}, date="2026-02-01")
    both = older.joined(newer)
    assert [path.workload for path in both.paths.values()] == ["w1", "new"]
    assert (both.date, both.seconds) == ("2026-02-01", 2.0)


def test_the_last_recorded_workload_is_the_one_shown() -> None:
    old = record("t2", {"a.A": recorded(workload="old")}, date="2026-01-01")
    new = record("t1", {"a.A": recorded(workload="new")}, date="2026-02-01")
    assert _history_store.workloads_now([new, old]) == {"a.A": "new"}


def test_a_machine_is_its_processor_not_its_name() -> None:
    here = Machine.here("cpython 3.12.1", {"numpy": "2.0", "idle": "1.0"})
    assert here.python == "3.12.1"
    assert here.packages == {"numpy": "2.0"}
    assert dataclasses.replace(here, cores=1).name.endswith("-1-core")
