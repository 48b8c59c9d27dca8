"""What others used beside a study: counted by processes, and told where it differs."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sample_profiles import growing
from script_modules import script_module
from test_compare import slower

if TYPE_CHECKING:
    import _beside as beside
    import _model as model
    import compare
else:
    beside = script_module("_beside")
    model = script_module("_model")
    compare = script_module("compare")


def written(folder: Path, *rows: tuple[int, int, int, int, int]) -> None:
    """A /proc of these: process, parent, session, own seconds, seconds of its ended children."""
    tick = os.sysconf("SC_CLK_TCK")
    for pid, parent, session, own, children in rows:
        (folder / str(pid)).mkdir(exist_ok=True)
        middle = "0 " * 7
        text = f"{pid} (a) b) S {parent} {pid} {session} {middle}{own * tick} 0 {children * tick} 0"
        (folder / str(pid) / "stat").write_text(text + " 20 0 1")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(beside, "_PROC", tmp_path)
    return tmp_path


def test_neighbors_count_and_the_study_does_not(proc: Path) -> None:
    me = os.getpid()
    written(proc, (1, 0, 1, 5, 7), (me, 1, 1, 50, 60), (2, 1, 2, 10, 3), (3, 1, 9, 400, 500))
    assert beside._used_s(None) == 5 + 10 + 3 + 400 + 500
    assert beside._used_s(9) == 5 + 10 + 3


def test_what_the_study_left_to_those_above_is_not_counted(proc: Path) -> None:
    """Its fork server ends after it and is inherited, with the time of all its workers."""
    me = os.getpid()
    written(proc, (1, 0, 1, 5, 7), (me, 1, 1, 0, 0))
    before = beside._used_s(None)
    written(proc, (1, 0, 1, 5, 7000), (me, 1, 1, 0, 0))
    assert beside._used_s(9) == before


def test_without_proc_nothing_is_said(proc: Path) -> None:
    assert beside.Beside().facts(None) == {}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
def test_this_machine_can_be_read() -> None:
    facts = beside.Beside().facts(None)
    assert facts[beside.PROCESSORS] == os.cpu_count()
    assert facts[beside.USED] >= 0


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ((0.1, 2), (1.0, 2), (0.1, 1.0)),
        ((0.1, 2), (0.4, 2), None),
        ((1.0, 64), (9.0, 64), None),
        (None, (1.0, 2), None),
        (("much", 2), (1.0, 2), None),
    ],
)
def test_a_difference_is_one_of_a_fifth_of_the_processors(
    before: Any, after: Any, told: Any
) -> None:
    names = (beside.USED, beside.PROCESSORS)
    runs = [dict(zip(names, one, strict=True)) if one else {} for one in (before, after)]
    assert beside.difference(*runs) == told


def with_beside(profile: model.Profile, used: float) -> model.Profile:
    run = {**profile.run, beside.USED: used, beside.PROCESSORS: 2}
    return dataclasses.replace(profile, run=run)


def test_what_got_slower_beside_a_neighbor_is_not_judged() -> None:
    """A load hits waits and short phases most, and may leave the objective as it was."""
    before = with_beside(growing(), 0.1)
    for name in ("objective", "storage", "wait for disk"):
        for used, verdict in ((1.4, "machine"), (0.1, "worse"), (0.0, "worse")):
            after = with_beside(slower(growing(), name, 4.0), used)
            moves, unit = compare.moved(before, after, 0.1)
            comp = {move.name: move.verdict for move in moves}
            assert comp[name] == comp["together"] == verdict
            said = "\n".join(compare.lines(before, after, moves, unit, 10.0))
            told = "others used 0.10 processors beside the first and 1.40 beside the second"
            assert (told in said) == (verdict == "machine")
            assert ("machine: more ran beside the second run" in said) == (verdict == "machine")


def test_what_a_neighbor_cannot_explain_is_judged() -> None:
    """It makes nothing faster, and its end nothing slower."""
    quiet, busy = with_beside(growing(), 0.1), with_beside(growing(), 1.4)
    slow = slower(growing(), "storage", 3.0)
    for before, after, verdict in (
        (quiet, with_beside(slow, 1.4), "machine"),
        (with_beside(slow, 1.4), quiet, "machine"),
        (busy, with_beside(slow, 0.1), "worse"),
        (with_beside(slow, 0.1), busy, "better"),
    ):
        moves, _ = compare.moved(before, after, 0.1)
        assert {move.name: move.verdict for move in moves}["storage"] == verdict


def test_a_phase_that_is_new_beside_a_neighbor_is_not_judged() -> None:
    gone = tuple(one for one in growing().phases if one.name != "storage")
    before = with_beside(dataclasses.replace(growing(), phases=gone), 0.1)
    moves, _ = compare.moved(before, with_beside(growing(), 1.4), 0.1)
    assert {move.name: move.verdict for move in moves}["storage"] == "machine"
