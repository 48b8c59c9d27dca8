"""The memory of a live study: its allocations where it was armed, else its resident memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence

import _armed
import _memory
import _model
import _plain
import _target
import _words
from _launch import CAPTURE_LOST, NO_PROFILE
from _look import Look, inside, marks_since
from _resident import ResidentWatcher

_NOT_ARMED = "the study was not armed at its start (--arm), so its allocations cannot be seen"
_NO_MARKS = "the study was not armed at its start, so its trials could not be marked"
_SHARED = (
    "resident memory is what the study holds and what it has not given back; pages that processes "
    "share count once for each of them"
)
_SILENT = "it did not answer the signal in time: a call of the C library takes longer?"


def look_at(look: Look) -> None:
    """Follow a study for its time, and put what was seen into the look."""
    absent = _NOT_ARMED if look.armed is None else _armed.why_not(look.armed)
    recorded = None if absent else look.armed
    states: dict[int, str] = {}
    late: list[int] = []
    lead_ns = _memory.Clock.lead_ns()
    with ResidentWatcher(look.options.pid) as resident:
        try:
            if recorded is not None:
                states = _armed.begin(recorded, look.interruption.asked)
            _follow(look, recorded)
        finally:
            until_ns = time.monotonic_ns()  # the study runs on while its captures are closed
            if recorded is not None:
                late = _armed.end(recorded)
    drift_ns = _memory.Clock.lead_ns() - lead_ns
    clock = _memory.Clock(look.begun_ns, lead_ns, (until_ns - look.begun_ns) / 1e9)
    marks = marks_since(look, until_ns)
    evidence = _memory.Evidence([], marks, resident.seen, clock, drift_ns=drift_ns)
    if recorded is not None:
        evidence.captures = _armed.captures(recorded, look.begun_ns)
        evidence.reasons = _reasons(recorded, states)
    if evidence.captures:
        _allocations(look, evidence)
    else:
        absent = absent or _why_none(evidence.reasons)
        _resident_only(look, evidence, absent, resident.highest_bytes)
    if late:
        pids = ", ".join(map(str, late))
        look.reason = f"still recording: {pids}; it ends by itself when its call has ended"


def _follow(look: Look, recorded: _armed.Armed | None) -> None:
    """Let the time pass; a study that records goes on as long as the look does."""
    deadline = time.monotonic() + look.options.duration
    renewed = 0.0
    while not look.interruption.asked.is_set() and (now := time.monotonic()) < deadline:
        if _target.state(look.options.pid) in ("", "Z", "X"):
            look.reason = "the study ended before the time was over"
            return
        if recorded is not None and now - renewed > _armed.LEASE_S / 10:
            with contextlib.suppress(OSError):  # then it ends by itself
                _armed.renew(recorded)
            renewed = now
        look.interruption.asked.wait(0.05)


def _reasons(armed: _armed.Armed, states: dict[int, str]) -> dict[int, str]:
    """Why processes may have left no capture."""
    silent = {pid: _SILENT for pid, state in states.items() if state == "armed"}
    return silent | _plain.troubles(armed.folder)


def _why_none(reasons: Mapping[int, str]) -> str:
    """Why no process at all recorded."""
    said = next(iter(reasons.values()), "no process of it listened")
    return f"no process of the study recorded ({_words.clean(said)})"


def _allocations(look: Look, evidence: _memory.Evidence) -> None:
    assert look.armed is not None
    environ, identity = _armed.reader(look.armed)
    try:
        reading = _memory.read(evidence, [look.armed.python], environ, identity)
    finally:
        _armed.take(evidence.captures, look.recording.folder)
    remarks = [*reading.remarks, *_held_before(look, evidence)]
    _profile_memory(look, evidence, reading.memory, remarks)
    if reading.lost:
        look.code = CAPTURE_LOST
        look.reason = f"the capture of processes is lost: {', '.join(map(str, reading.lost))}"


def _held_before(look: Look, evidence: _memory.Evidence) -> list[str]:
    """memray begins at zero: what the study held already is not in its figures."""
    seen = evidence.resident.get(look.options.pid)
    held = f" (resident memory: {_words.size(seen.points[0][1])})" if seen else ""
    said = "heap and allocations are those since the look began, without what was held already"
    return [said + held]


def _resident_only(look: Look, evidence: _memory.Evidence, absent: str, highest: int) -> None:
    processes, curves = [], []
    for one in evidence.resident.values():
        if not one.python:
            continue
        points = tuple(((ns - look.begun_ns) / 1e9, size, None) for ns, size in one.points)
        peak = max(size for _, size, _ in points)
        kind = "main" if one.pid == look.options.pid else "other"
        lost = "its allocations were not seen, only its resident memory"
        processes.append(_model.Process(one.pid, one.parent, kind, False, lost, peak))
        curves.append(_model.Curve(one.pid, points))
    if not processes:
        look.code, look.reason = NO_PROFILE, "no profile: the study ended before it was seen"
        return
    memory = _model.Memory(tuple(processes), tuple(curves), None, absent, (), highest)
    _profile_memory(look, evidence, memory, [_SHARED])


def _profile_memory(
    look: Look, evidence: _memory.Evidence, memory: _model.Memory, remarks: Sequence[str]
) -> None:
    trials = inside(evidence.marks.model_trials(look.begun_ns))
    absent = "" if trials else _NO_MARKS if look.armed is None else "no trial of Optuna ran"
    look.profile = _model.Profile(
        kind="memory",
        title=look.title,
        run={},
        duration_s=evidence.clock.end_s,
        trials=trials,
        trials_absent=absent,
        phases=(),
        lanes=(),
        flame=None,
        memory=memory,
        advice=(),
        remarks=tuple(remarks),
    )
