"""What memray left, put together: the peak, the reader, and captures that are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from script_modules import script_module

memory = script_module("_memory")
marks = script_module("_marks")
model = script_module("_model")
reader = script_module("_memory_reader")
study_memory = script_module("study_memory")
S = 1_000_000_000


def answer(pid: int, last_s: float, peak: int = 100) -> dict[str, Any]:
    points = [[0, 10, 0], [last_s * 1000, 20, peak]]
    return {"path": f"/x/{pid}-1.bin", "pid": pid, "peak_bytes": peak, "points": points}


def test_the_peak_of_one_process_is_exact_and_of_several_the_most_at_once() -> None:
    assert memory._peak([answer(5, 2.0, peak=100)]) == 100
    assert memory._peak([answer(5, 2.0, peak=100), answer(6, 2.0, peak=50)]) == 150
    early, late = answer(5, 1.0, peak=100), answer(6, 9.0, peak=50)
    late["points"] = [[8000, 1, 0], [9000, 1, 50]]
    assert memory._peak([early, late]) == 100


def test_processes_that_follow_each_other_do_not_add_up_however_long_the_run() -> None:
    main, first, second = answer(5, 36_000.0, peak=1), answer(6, 30.0), answer(7, 61.0)
    first["points"] = [[0, 1, 0], [10_000, 1, 100], [30_000, 1, 100]]
    second["points"] = [[31_000, 1, 100], [61_000, 1, 90]]
    main["points"] = [[0, 1, 1], [36_000_000, 1, 1]]
    assert memory._peak([main, first, second]) == 101


def test_thinned_points_keep_peaks_and_valleys_of_heap_and_resident_memory() -> None:
    points = [(n, 1000, 500) for n in range(6000)]
    points[100], points[200], points[300] = (100, 1000, 900), (200, 1000, 5), (300, 4000, 500)
    comp = reader._thinned(points)
    assert len(comp) <= reader._MOST_POINTS
    assert {(100, 1000, 900), (200, 1000, 5), (300, 4000, 500)} <= set(comp)
    assert comp == sorted(comp)


@pytest.mark.parametrize(
    ("moment", "end_ms", "place"),
    [
        (90, None, None),
        (100, None, 0),
        (150, None, 1),
        (290, None, 2),
        (301, None, None),  # it may have been terminated
        (960, 1000.0, 2),  # it was closed later: the last snapshot stands for it
        (1001, 1000.0, None),
    ],
)
def test_the_last_snapshot_stands_for_the_time_until_the_end(
    moment: int, end_ms: float | None, place: int | None
) -> None:
    assert reader._snapshot_at([100, 150, 200], moment, end_ms) == place


# --- the reader

READS = """
import json, os, sys
print({'a': 1})
print('{"a": 1}')
for path in json.load(sys.stdin)["captures"]:
    if path.endswith("deadly.bin"):
        sys.exit("it died")
    print(json.dumps({"path": path, "error": "torn" if "torn" in path else ""}), flush=True)
"""


def asked(program: str, *names: str) -> dict[str, str]:
    command = [sys.executable, "-S", "-c", program]
    answers = memory._ask([Path(name) for name in names], [], command, {}, {})
    return {one["path"]: one["error"] for one in answers}


def test_a_capture_that_the_reader_dies_of_takes_no_other_along() -> None:
    """And what else is printed, by a sitecustomize for example, is no answer."""
    died = "memray gave up reading it: it died"
    comp = asked(READS, "a.bin", "deadly.bin", "torn.bin", "2-deadly.bin", "b.bin")
    assert comp == {
        "a.bin": "",
        "deadly.bin": died,
        "torn.bin": "torn",
        "2-deadly.bin": died,
        "b.bin": "",
    }


def test_a_reader_that_never_answers_is_not_asked_for_ever() -> None:
    names = [f"{n}.bin" for n in range(100)]
    comp = asked("import sys; sys.exit('no memray')", *names)
    assert set(comp) == set(names)
    assert set(comp.values()) == {"memray gave up reading it: no memray"}


def test_a_clock_that_was_set_meanwhile_is_told() -> None:
    evidence = memory.Evidence([], marks.Marks(), {}, memory.Clock(0, 0, 10.0))
    assert memory._drifted(evidence) == []
    evidence.drift_ns = -2 * S
    assert "was set by 2.00 s" in memory._drifted(evidence)[0]


# --- captures are kept


def test_no_capture_that_could_not_be_read_is_deleted(tmp_path: Path) -> None:
    names = ["5-1.bin", "5-2.bin", "5-1.bin.8", "6-1.bin", "7-1.bin"]
    paths = [tmp_path / "captures" / name for name in names]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_text(path.name)
    evidence = memory.Evidence(paths, marks.Marks(), {}, memory.Clock(0, 0, 10.0))
    made = [model.Process(pid, 1, "spawn", False, "torn", None) for pid in (5, 6, 8)]
    found = model.Memory(tuple(made), (), None, "", (), 0)
    unread = {paths[0]: "torn", paths[1]: "torn", paths[2]: "torn"}
    reading = memory.Reading(found, [], [5], {paths[3]: 6, paths[4]: 7}, unread)
    recording = script_module("_record").Recording(tmp_path)
    study_memory._keep(recording, evidence, reading, 5)
    kept = {path.name: path.read_text() for path in tmp_path.glob("*.bin")}
    assert kept == {
        "memory-unread-5.bin": "5-1.bin",
        "memory-unread-5-1.bin": "5-2.bin",
        "memory-unread-8.bin": "5-1.bin.8",
        "memory-spawn-6.bin": "6-1.bin",
    }
    said = study_memory._why_none(evidence, reading, 5)
    assert said == "the study itself: torn; it is kept as memory-unread-5.bin"


def test_why_there_is_no_profile_is_said_of_the_study_and_not_of_its_workers() -> None:
    evidence = memory.Evidence([], marks.Marks(), {}, memory.Clock(0, 0, 10.0))
    reading = memory.Reading(model.Memory((), (), None, "", (), 0), [], [])
    evidence.reasons = {6: "_memory_hook: a worker's trouble"}
    assert "did not load the hook" in study_memory._why_none(evidence, reading, None)
    assert study_memory._why_none(evidence, reading, 5) == "the study itself: it left no capture"
    evidence.reasons = {5: "_memory_hook: its own"}
    assert study_memory._why_none(evidence, reading, 5) == "_memory_hook: its own"


def test_what_another_profiler_put_into_the_environment_is_left_out() -> None:
    ours = {"VELOCITY_PROFILE_SIGNAL": "61", "VELOCITY_PROFILE_MARKS": "/x", "HOME": "/h"}
    hook = str(study_memory.HOOK)
    assert study_memory.unprofiled({**ours, "PYTHONPATH": hook}) == {"HOME": "/h"}
    path = os.pathsep.join([hook, "/lib"])
    assert study_memory.unprofiled({**ours, "PYTHONPATH": path})["PYTHONPATH"] == "/lib"
    assert study_memory.unprofiled({"PYTHONPATH": path}) == {"PYTHONPATH": path}
