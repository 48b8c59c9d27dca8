"""The table in the terminal."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import pytest
from hostile_profiles import hostile
from sample_profiles import empty, growing, leaking, unmarked
from script_modules import script_module

if TYPE_CHECKING:
    import _report as report
    import _terminal as terminal
else:
    report = script_module("_report")
    terminal = script_module("_terminal")


@pytest.mark.parametrize("width", [40, 80, 132])
@pytest.mark.parametrize("make", [growing, leaking, unmarked, empty, hostile])
def test_lines_fit_and_hold_no_control_character(make: Any, width: int) -> None:
    for line in terminal.lines(report.complete(make()), width):
        assert len(line) <= max(width, terminal.NARROWEST)
        assert line.isprintable()


def test_colour_is_ours_alone() -> None:
    for line in terminal.lines(hostile(), 100, colour=True):
        assert re.sub(r"\x1b\[[0-2]?m|\x1b\[31m", "", line).isprintable()


def test_the_table_says_where_time_goes_and_what_grows() -> None:
    text = "\n".join(report.lines(growing(), 132))
    assert "400 trials (375 complete, 20 pruned, 5 failed)" in text
    row = next(line for line in text.splitlines() if line.startswith("sampler "))
    assert "40%" in row
    assert "12.0 ms → 71.3 ms" in row
    assert "x5.9 grows" in row
    assert row.endswith("sampler.py:480")
    order = [text.index(f"\n{phase} ") for phase in ("sampler", "objective", "storage", "other")]
    assert order == sorted(order)


def test_workers_memory_and_remarks_are_told() -> None:
    assert re.search(r"1001  MainThread +84%", "\n".join(report.lines(growing(), 100)))
    text = "\n".join(report.lines(leaking(), 100))
    assert "this line holds 400 kB more per 100 trials (390 kB to 410 kB)" in text
    assert "not recorded: process 1002: killed before it wrote" in text
    assert "note: Process 1002 was lost" in text
    assert "no trials are marked" in "\n".join(report.lines(unmarked(), 100))


def test_processes_that_are_lost_for_one_reason_share_a_line() -> None:
    profile = leaking()
    assert profile.memory is not None
    one = next(one for one in profile.memory.processes if not one.recorded)
    both = (one, dataclasses.replace(one, pid=2002))
    memory = dataclasses.replace(profile.memory, processes=both)
    text = "\n".join(terminal.lines(dataclasses.replace(profile, memory=memory), 100))
    assert text.count("not recorded") == 1
    assert f"not recorded: processes {one.pid}, 2002: killed" in text


def test_only_the_largest_phases_get_advice_here() -> None:
    lines = terminal.lines(report.complete(growing()), 100)
    start = lines.index("what would help")
    phases = [line.split(" (")[0] for line in lines[start + 1 :] if not line.startswith(" ")]
    assert list(dict.fromkeys(phases))[:3] == ["sampler", "objective", "storage"]
    assert "further advice" in lines[-1]
