"""From captures to processes: who is recorded, who is lost and why."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from script_modules import script_module

memory = script_module("_memory")
marks = script_module("_marks")
leak = script_module("_leak")
resident = script_module("_resident")
reader = script_module("_memory_reader")
S = 1_000_000_000


def mark(pid: int, kind: str = "spawn", end_s: float | None = None) -> Any:
    end_ns = None if end_s is None else int(end_s * S)
    return marks.ProcessMark(pid, 1, kind, "3.11.7", 0, end_ns)


def seen(pid: int, until_s: float, python: bool = True, command: str = "python x.py") -> Any:
    points = [(int(until_s * S * n / 10), 1_000_000) for n in range(11)]
    return resident.Resident(pid, 1, python, command, points)


def answer(
    pid: int, last_s: float, closed: bool = True, peak: int = 100, lag_ms: float = 0.0
) -> dict[str, Any]:
    return {
        "error": "",
        "path": f"/x/{pid}-1.bin",
        "pid": pid,
        "start_ms": 0,
        "last_ms": last_s * 1000,
        "end_ms": last_s * 1000 + lag_ms if closed else None,
        "peak_bytes": peak,
        "points": [[0, 10, 0], [last_s * 1000, 20, peak]],
        "allocators": [],
        "at_ms": [],
        "lines": [],
    }


def processes(
    found: list[Any],
    good: list[dict[str, Any]],
    bad: dict[str, str] | None = None,
    outside: list[Any] | None = None,
    reasons: dict[int, str] | None = None,
) -> dict[int, Any]:
    known = marks.Marks(processes=found)
    around = {one.pid: one for one in outside or []}
    evidence = memory.Evidence([], known, around, memory.Clock(0, 0, 10.0), reasons or {})
    made, _ = memory._processes(evidence, good, bad or {})
    return {one.pid: one for one in made}


def test_a_closed_capture_is_whole_however_long_packing_took() -> None:
    comp = processes([mark(5, end_s=9.0)], [answer(5, 2.0)])[5]
    assert (comp.recorded, comp.lost, comp.peak_bytes) == (True, "", 100)


def test_a_worker_that_was_terminated_is_whole_up_to_its_end() -> None:
    comp = processes([mark(5)], [answer(5, 2.0, closed=False)], outside=[seen(5, 2.1)])[5]
    assert comp.recorded


@pytest.mark.parametrize("end_s", [None, 9.0])
def test_a_capture_that_ends_before_its_process_is_cut_off(end_s: float | None) -> None:
    comp = processes([mark(5, end_s=end_s)], [answer(5, 2.0, closed=False)], outside=[seen(5, 9)])
    assert not comp[5].recorded
    assert "cut off 7.0 s before it ended" in comp[5].lost


def test_a_closed_capture_that_cannot_be_read_to_its_end_is_told() -> None:
    assert processes([mark(5)], [answer(5, 2.0, lag_ms=300)])[5].recorded
    comp = processes([mark(5)], [answer(5, 2.0, lag_ms=2500)])[5]
    assert (comp.recorded, comp.lost) == (
        False,
        "its capture was cut off 2.5 s before it ended: is the disk full?",
    )


def test_an_unreadable_capture_is_told_even_beside_a_readable_one() -> None:
    bad = {"/x/5-7.bin": "OSError: torn"}
    comp = processes([mark(5)], [answer(5, 2.0)], bad)[5]
    assert (comp.recorded, comp.lost) == (False, "its capture cannot be read: OSError: torn")
    assert processes([mark(5)], [answer(5, 2.0)], {"/x/55-7.bin": "x", "/x/5-7.bin.6": "x"})[
        5
    ].recorded


def test_a_process_without_a_capture_is_lost_with_the_hooks_reason() -> None:
    trouble = "_memory_hook: ModuleNotFoundError: No module named 'memray'"
    comp = processes([mark(5)], [], outside=[seen(5, 3.0)], reasons={5: trouble})[5]
    assert (comp.recorded, comp.lost, comp.peak_bytes) == (False, trouble, None)
    other = {6: trouble}  # the trouble of another process is none of its own
    assert processes([mark(5, end_s=3.0)], [], reasons=other)[5].lost == "it left no capture"


def test_a_process_that_ended_before_its_recording_began_is_not_lost() -> None:
    assert processes([mark(5)], [], outside=[seen(5, 0.2)]) == {}
    assert processes([mark(5)], []) == {}


def test_a_python_that_never_loaded_the_hook_is_lost() -> None:
    outside = [
        seen(6, 3.0),
        seen(7, 3.0, python=False),
        seen(8, 0.3),
        seen(9, 3.0, command="python -c from multiprocessing.resource_tracker import main"),
    ]
    comp = processes([mark(5)], [answer(5, 3.0)], outside=outside)
    assert sorted(comp) == [5, 6]
    assert "did not load the hook" in comp[6].lost


def test_trials_are_counted_when_a_process_was_looked_at() -> None:
    """The last look at one that ended at once is earlier than the end of its last trial."""
    ends = [S * n // 10 for n in range(1, 61)]
    evidence = memory.Evidence([], marks.Marks(), {}, memory.Clock(0, 0, 10.0))
    moments_ms = [one / 1e6 for one in leak.moments(ends, memory._BATCH_NS)]
    good = [{**answer(5, 2.0), "at_ms": [*(one + 50.0 for one in moments_ms[:-1]), 5550.0]}]
    comp = memory._ended_at(evidence, good, ends)
    assert comp == [*(round(one / 100) for one in moments_ms[:-1]), 55.0]


def test_what_else_grows_is_told_only_where_it_is_more_than_a_trifle() -> None:
    ends = [S * n // 10 for n in range(1, 101)]
    evidence = memory.Evidence([], marks.Marks(), {}, memory.Clock(0, 0, 10.0))
    moments_ms = [one / 1e6 for one in leak.moments(ends, memory._BATCH_NS)]
    lines = [
        [name, "/x/study.py", 7, [round(per_trial * at / 100) for at in moments_ms]]
        for name, per_trial in (("most", 9000), ("more", 2000), ("little", 500))
    ]
    good = [{**answer(5, 11.0), "at_ms": moments_ms, "lines": lines}]
    found, absent, said = memory._growth(evidence, good, ends, 100_000_000)
    assert (found.function, absent) == ("most", "")
    assert len(said) == 1
    assert "200 kB per 100 trials in more" in said[0]


# --- the line an allocation belongs to

SITE = "/v/lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("stack", "owner"),
    [
        ([("f", "/s/study.py", 3), ("g", "/s/study.py", 9)], ("f", "/s/study.py", 3)),
        ([("zeros", f"{SITE}/numpy/x.py", 1), ("f", "/s/study.py", 3)], ("f", "/s/study.py", 3)),
        (
            [
                ("copy", f"{SITE}/numpy/x.py", 1),
                ("keep", f"{SITE}/optuna/y.py", 2),
                ("f", "/s.py", 3),
            ],
            ("keep", f"{SITE}/optuna/y.py", 2),
        ),
        (
            [
                ("<listcomp>", "/s/study.py", 3),
                ("<genexpr>", "/s/study.py", 4),
                ("f", "/s/study.py", 5),
            ],
            ("f", "/s/study.py", 3),
        ),
        (
            [("<listcomp>", "/s/study.py", 0), ("f", "/s/study.py", 5), ("g", "/s/study.py", 7)],
            ("f", "/s/study.py", 5),
        ),
        ([("<module>", "/s/study.py", 3)], ("<module>", "/s/study.py", 3)),
        ([("f", "<frozen importlib._bootstrap>", 3)], ("f", "<frozen importlib._bootstrap>", 3)),
        ([], ("no Python frame", "", 0)),
    ],
)
def test_an_allocation_belongs_to_the_line_that_called_the_library(
    stack: list[tuple[str, str, int]], owner: tuple[str, str, int]
) -> None:
    assert reader._owner_of(stack) == owner


class Interval:
    def __init__(self, blocks: int, size: int) -> None:
        self.n_allocations, self.n_bytes = blocks, blocks * size


def held(*blocks: tuple[int, int, int, int | None]) -> list[int]:
    """What a line holds at four steps; of each: first step, how many, their size, if small."""
    owner, made = ("f", "/s.py", 3), reader._Held(4)
    for first, count, size, small in blocks:
        made.add(owner, first, 4, Interval(count, size), small)
    ((*_, comp),) = reader._series(made.changes(), [0, 1, 2, 3])
    return list(comp)


def test_small_blocks_that_numpy_keeps_are_not_held_by_the_line_that_asked_for_them() -> None:
    assert held((0, 2, 64, 64), (1, 3, 64, 64), (2, 2, 64, 64)) == [0, 0, 0, 0]
    sizes = [(step, 7, 8 * size, 8 * size) for step in range(4) for size in range(step, 100, 4)]
    assert held(*sizes) == [0, 0, 0, 0]


def test_what_grows_beyond_the_blocks_that_numpy_keeps_is_a_growth() -> None:
    assert held(*((step, 10, 64, 64) for step in range(4))) == [192, 832, 1472, 2112]


def test_large_blocks_and_those_of_python_itself_count_all() -> None:
    assert held((0, 2, 4000, None), (2, 1, 64, None)) == [8000, 8000, 8064, 8064]


@pytest.mark.stress
@pytest.mark.skipif(importlib.util.find_spec("memray") is None, reason="memray is not installed")
def test_numpys_own_reserve_is_no_growth(tmp_path: Path) -> None:
    """Arrays of ever new sizes are freed at once; 200 that stay are found."""
    script, capture = tmp_path / "arrays.py", tmp_path / "arrays.bin"
    script.write_text(
        "import sys, time, memray, numpy\n"
        "kept = []\n"
        "with memray.Tracker(sys.argv[1], trace_python_allocators=True):\n"
        "    for size in range(8, 1000, 8):\n"
        "        numpy.empty(size, numpy.uint8); numpy.empty(size, numpy.uint8)\n"
        "        kept += [numpy.empty(600, numpy.uint8) for _ in range(2)]\n"
        "        time.sleep(0.002)\n"
        "    time.sleep(0.1)\n"
    )
    subprocess.run([sys.executable, str(script), str(capture)], check=True, timeout=60)
    comp = reader._read(str(capture), [])
    start_ms, end_ms = comp["start_ms"], comp["last_ms"]
    moments = [start_ms + (end_ms - start_ms) * n / 4 for n in range(5)]
    lines = reader._read(str(capture), moments)["lines"]
    grown = {line: series[-1] - series[0] for _, file, line, series in lines if file == str(script)}
    assert abs(grown.get(5, 0)) < 4_000
    assert 248 * 600 * 0.7 < grown[6] < 248 * 900


def test_captures_that_are_just_packed_are_left_alone(tmp_path: Path) -> None:
    names = ["7-1.bin", "7-1.bin.8", "7-1.bin.lz4.tmp", "7.armed", "7-1.bin.8.9"]
    for name in names:
        (tmp_path / name).touch()
    comp = script_module("study_memory").captures_in(tmp_path)
    assert [path.name for path in comp] == ["7-1.bin", "7-1.bin.8", "7-1.bin.8.9"]
