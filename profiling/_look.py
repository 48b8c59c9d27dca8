"""One look at a live study: what is known before it, what came of it, and the trials it saw."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import _armed
import _marks
import _model
import _record
import _target
from _launch import OK


@dataclasses.dataclass
class Look:
    """One look at a live study."""

    options: argparse.Namespace
    recording: _record.Recording
    armed: _armed.Armed | None
    begun_ns: int
    title: str
    words: list[str]  # of the study's command line
    interruption: _target.Interruption
    alive: frozenset[int] = frozenset()  # the study's processes when the look began
    profile: _model.Profile | None = None
    reason: str = ""
    code: int = OK
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


def marks_since(look: Look, until_ns: int) -> _marks.Marks:
    """What an armed study noted of the processes and trials that lived while it was looked at."""
    if look.armed is None:
        return _marks.Marks()
    known = _marks.read(look.armed.folder)
    known.processes = _lived(known.processes, look.alive, look.begun_ns, until_ns)
    lived = {one.pid for one in known.processes}
    known.trials = [
        one if (one.end_ns or 0) <= until_ns else _still_running(one)
        for one in known.trials
        if one.pid in lived
        and one.start_ns < until_ns
        and (one.end_ns is None or one.end_ns > look.begun_ns)
    ]
    return known


def _lived(
    processes: Sequence[_marks.ProcessMark], alive: Collection[int], begun_ns: int, until_ns: int
) -> list[_marks.ProcessMark]:
    """Those that lived between two moments: alive at the first one, or born since.

    That a process has not noted its end says nothing: one that is killed never does.
    """
    found = {}
    for one in processes:  # in order of time: an id may have been used twice
        born_in_it = begun_ns <= one.start_ns < until_ns
        went_on = one.start_ns < begun_ns and one.pid in alive
        if born_in_it or (went_on and (one.end_ns is None or one.end_ns > begun_ns)):
            found[one.pid] = one
    return list(found.values())


def _still_running(trial: _marks.TrialMark) -> _marks.TrialMark:
    return dataclasses.replace(trial, end_ns=None, state="running")


def inside(trials: Sequence[_model.Trial]) -> tuple[_model.Trial, ...]:
    return tuple(dataclasses.replace(one, start_s=max(one.start_s, 0.0)) for one in trials)
