"""From memray's captures to the model: processes, curves, growth per trial, holders at the peak."""

from __future__ import annotations

import bisect
import contextlib
import json
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _leak
import _marks
import _model
import _words
from _resident import Resident

READER = Path(__file__).with_name("_memory_reader.py")
# A capture that ends so long before its process was cut off: where the process said when it
# ended, and where it was only seen.
_CLOSED_MS, _CUT_MS = 100, 2000
_GAP_MS = 1000  # memray takes a snapshot every 10 ms; a busy machine makes it wait
_UNSEEN_S = 1.0  # a process that ended sooner may have ended before its recording began
_MOST_ALLOCATORS, _MOST_OTHERS = 60, 3
_DRIFT_S = 0.05
_MOST_FAILURES = 3  # of the reader in a row, without a single answer
_BATCH_NS = 200e6  # memray looks every 10 ms


@dataclass(frozen=True)
class Clock:
    """Monotonic nanoseconds at which the study began, and the wall clock's lead over them."""

    origin_ns: int
    wall_minus_monotonic_ns: int
    end_s: float

    @classmethod
    def lead_ns(cls) -> int:
        """How far the wall clock is ahead of the monotonic one, now."""
        return time.time_ns() - time.monotonic_ns()

    def second(self, wall_ms: float) -> float:
        return (wall_ms * 1e6 - self.wall_minus_monotonic_ns - self.origin_ns) / 1e9

    def wall_ms(self, ns: int) -> float:
        return (ns + self.wall_minus_monotonic_ns) / 1e6


@dataclass
class Evidence:
    """Everything a recording left: captures, marks, and what was seen from outside."""

    captures: list[Path]
    marks: _marks.Marks
    resident: Mapping[int, Resident]
    clock: Clock
    reasons: Mapping[int, str] = field(default_factory=dict)  # why there may be no capture
    drift_ns: int = 0  # of the wall clock against the monotonic one, from begin to end


@dataclass
class Reading:
    """The memory of a study and what the exit code and the files need to know."""

    memory: _model.Memory
    remarks: list[str]
    lost: list[int]  # processes whose capture is missing or not whole
    pids: dict[Path, int] = field(default_factory=dict)  # whose each readable capture is
    unread: dict[Path, str] = field(default_factory=dict)  # and why the others are not


def read(
    evidence: Evidence,
    reader: Sequence[str],
    environ: Mapping[str, str],
    identity: Mapping[str, Any] | None = None,
) -> Reading:
    """Read all captures with the study's own memray and put them together.

    reader: the command of the study's interpreter, to which the script of the reader is added.
    identity: the user to read as, in the words of `subprocess`. Raises OSError when that
    interpreter does not start.
    """
    ends = sorted(one.end_ns for one in evidence.marks.trials if one.end_ns is not None)
    moments_ns = [int(one) for one in _leak.moments(ends, _BATCH_NS)]
    moments_ms = [evidence.clock.wall_ms(one) for one in moments_ns]
    answers = _ask(evidence.captures, moments_ms, [*reader, str(READER)], environ, identity or {})
    good = [one for one in answers if not one["error"]]
    bad = {one["path"]: str(one["error"]) for one in answers if one["error"]}
    processes, remarks = _processes(evidence, good, bad)
    peak = _peak(good)
    leak, absent, others = _growth(evidence, good, ends, peak)
    memory = _model.Memory(
        processes=tuple(processes),
        curves=_curves(evidence, good),
        leak=leak,
        leak_absent=absent,
        allocators=_allocators(good),
        peak_bytes=peak,
    )
    return Reading(
        memory,
        [*remarks, *others, *_drifted(evidence)],
        [one.pid for one in processes if not one.recorded],
        {Path(one["path"]): one["pid"] for one in good},
        {Path(path): error for path, error in bad.items()},
    )


def _drifted(evidence: Evidence) -> list[str]:
    drift_s = abs(evidence.drift_ns) / 1e9
    if drift_s < _DRIFT_S:
        return []
    return [
        f"the clock of the machine was set by {_words.seconds(drift_s)} meanwhile: trials and "
        "memory are told together less exactly"
    ]


def _ask(
    captures: Sequence[Path],
    moments_ms: Sequence[float],
    command: Sequence[str],
    environ: Mapping[str, str],
    identity: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """What the reader says of each capture; one that it dies of does not take the others along."""
    answers: dict[str, dict[str, Any]] = {}
    waiting, failures = [str(one) for one in captures], 0
    while waiting:
        request = json.dumps({"captures": waiting, "moments_ms": moments_ms})
        # In a session of its own: a Ctrl-C at the terminal is for the one who waits for it.
        done = subprocess.run(
            command,
            input=request,
            env=dict(environ),
            capture_output=True,
            text=True,
            errors="replace",
            start_new_session=True,
            **identity,
        )
        found = _answers(done.stdout, waiting)
        failures = 0 if found else failures + 1
        answers |= found
        left = [one for one in waiting if one not in found]
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        given_up = left if failures >= _MOST_FAILURES else left[:1]
        answers |= {
            one: {"path": one, "error": f"memray gave up reading it: {said}"} for one in given_up
        }
        waiting = [one for one in left if one not in given_up]
    return [answers[str(one)] for one in captures]


def _answers(printed: str, asked: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The answers among what was printed: a sitecustomize of the study may print, too."""
    found = {}
    for line in printed.splitlines():
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                answer = json.loads(line)
                if answer.get("path") in asked and "error" in answer:
                    found[str(answer["path"])] = answer
    return found


# --- processes


def _processes(
    evidence: Evidence, good: Sequence[Mapping[str, Any]], bad: Mapping[str, str]
) -> tuple[list[_model.Process], list[str]]:
    peaks: dict[int, int] = {}
    lasts: dict[int, tuple[float, float | None]] = {}
    for one in good:
        pid = one["pid"]
        peaks[pid] = max(peaks.get(pid, 0), one["peak_bytes"])
        last_ms = one["last_ms"] or one["start_ms"]
        if pid not in lasts or last_ms > lasts[pid][0]:
            lasts[pid] = last_ms, one["end_ms"]
    marked = {mark.pid: mark for mark in evidence.marks.processes if mark.kind != "tracker"}
    found, remarks = [], []
    for pid, mark in marked.items():
        lost = "" if pid in peaks else _why_lost(evidence, mark, bad)
        if pid in peaks:
            lost = _why_broken(mark, bad) or _why_cut(evidence, mark, *lasts[pid])
        elif not lost:
            remarks.append(f"process {pid} ended before its recording began: it had run nothing")
            continue
        kind = "other" if mark.kind == "server" else mark.kind
        parent = None if mark.kind == "main" else mark.parent
        found.append(_model.Process(pid, parent, kind, not lost, lost, peaks.get(pid)))
    found += _unmarked(evidence, {mark.pid for mark in evidence.marks.processes})
    if any(one.kind in ("fork", "forkserver") for one in found):
        remarks.append(
            "a forked process is charged what it allocates itself: what it shares with its "
            "parent is the parent's"
        )
    return found, remarks


def _why_lost(evidence: Evidence, mark: _marks.ProcessMark, bad: Mapping[str, str]) -> str:
    """Why there is no capture; empty when the process ended before there could be one."""
    if broken := _why_broken(mark, bad):
        return broken
    seen = evidence.resident.get(mark.pid)
    lived_s = (seen.points[-1][0] - mark.start_ns) / 1e9 if seen and seen.points else 0.0
    worked = any(trial.pid == mark.pid for trial in evidence.marks.trials)
    reason = evidence.reasons.get(mark.pid, "")
    if mark.end_ns is None and lived_s < _UNSEEN_S and not worked and not reason:
        return ""
    return reason or "it left no capture"


def _why_broken(mark: _marks.ProcessMark, bad: Mapping[str, str]) -> str:
    """Why a capture of a process cannot be read; empty where all can."""
    for path, error in bad.items():
        name = Path(path).name
        if name.endswith(f".bin.{mark.pid}") or re.fullmatch(rf"{mark.pid}-\d+\.bin", name):
            return f"its capture cannot be read: {error}"
    return ""


def _why_cut(
    evidence: Evidence, mark: _marks.ProcessMark, last_ms: float, end_ms: float | None
) -> str:
    """Why a capture does not tell everything: what can be read ends before its process does."""
    if end_ms is not None:
        early_ms = end_ms - last_ms
        if early_ms < _GAP_MS:
            return ""
        return _cut_off(early_ms)
    seen = evidence.resident.get(mark.pid)
    moments = [seen.points[-1][0]] if seen and seen.points else []
    if mark.end_ns is not None:
        moments.append(mark.end_ns)
    early_ms = evidence.clock.wall_ms(max(moments)) - last_ms if moments else 0.0
    # A process that ended in its own order has closed its capture, unless memray gave up before.
    if early_ms < (_CLOSED_MS if mark.end_ns is not None else _CUT_MS):
        return ""
    return _cut_off(early_ms)


def _cut_off(early_ms: float) -> str:
    return f"its capture was cut off {early_ms / 1000:.1f} s before it ended: is the disk full?"


def _unmarked(evidence: Evidence, marked: set[int]) -> list[_model.Process]:
    """Python processes that were seen from outside only."""
    lost = []
    for one in evidence.resident.values():
        if one.pid in marked or not one.python or "resource_tracker" in one.command:
            continue
        if one.points[-1][0] - one.points[0][0] < _UNSEEN_S * 1e9:
            continue
        why = f"it did not load the hook (-I, -S, -E or another environment?): {one.command[:80]}"
        lost.append(_model.Process(one.pid, one.parent, "other", False, why, None))
    return lost


# --- what was held


def _curves(evidence: Evidence, good: Sequence[Mapping[str, Any]]) -> tuple[_model.Curve, ...]:
    points: dict[int, list[tuple[float, int, int | None]]] = {}
    for one in good:
        points.setdefault(one["pid"], []).extend(
            (evidence.clock.second(ms), resident, heap) for ms, resident, heap in one["points"]
        )
    origin_ns = evidence.clock.origin_ns
    trackers = {mark.pid for mark in evidence.marks.processes if mark.kind == "tracker"}
    for pid, seen in evidence.resident.items():
        if pid not in points and seen.python and pid not in trackers:
            points[pid] = [((ns - origin_ns) / 1e9, size, None) for ns, size in seen.points]
    within = {
        pid: sorted(one for one in found if one[0] <= evidence.clock.end_s)  # some live on
        for pid, found in points.items()
    }
    return tuple(_model.Curve(pid, tuple(found)) for pid, found in within.items() if found)


def _peak(good: Sequence[Mapping[str, Any]]) -> int:
    """The most that all processes held at once; that of a single one is exact."""
    alone = max((one["peak_bytes"] for one in good), default=0)
    # (when, whether it has ended, process, heap): who ends does so after all else of its moment.
    changes = sorted(
        change
        for number, one in enumerate(good)
        if one["points"]
        for change in (
            *((ms, False, number, heap or 0) for ms, _, heap in one["points"]),
            (max(point[0] for point in one["points"]), True, number, 0),
        )
    )
    now = [0] * len(good)
    together = highest = 0
    for _, _, number, heap in changes:
        together += heap - now[number]
        now[number] = heap
        highest = max(highest, together)
    return int(max(alone, highest))


def _allocators(good: Sequence[Mapping[str, Any]]) -> tuple[_model.Allocator, ...]:
    found = [
        _model.Allocator(function, file, line, size, count, one["pid"])
        for one in good
        for function, file, line, size, count in one["allocators"]
    ]
    return tuple(sorted(found, key=lambda one: -one.bytes)[:_MOST_ALLOCATORS])


# --- growth per trial


def _growth(
    evidence: Evidence, good: Sequence[Mapping[str, Any]], ends: Sequence[int], peak: int
) -> tuple[_model.Leak | None, str, list[str]]:
    """The leak, or why there is none to tell, and remarks on what else grows."""
    if len(ends) < _leak.FEWEST_TRIALS:
        few = f"{len(ends)} trials ended, a slope needs {_leak.FEWEST_TRIALS}"
        return None, few if evidence.marks.trials else "no trials were marked", []
    trials = _ended_at(evidence, good, ends)
    if len(set(trials)) < 4:
        return None, "the trials were too short to tell their ends apart", []
    found = _leak.growing(trials, _summed(good, len(trials)))
    if not found:
        return None, _leak.NO_GROWTH, []
    (line, slope), others = found[0], found[1:]
    leak = _model.Leak(
        100 * slope.per_trial,
        100 * slope.low,
        100 * slope.high,
        line.function,
        line.file,
        line.line,
        line.pid,
    )
    said = [
        f"memory also grows by {_words.size(100 * other.per_trial)} per 100 trials in "
        f"{one.function} ({_words.place(one.file, one.line)})"
        for one, other in others[:_MOST_OTHERS]
        if 100 * other.per_trial >= _leak.least_per_100(len(ends), peak)
    ]
    return leak, "", said


def _ended_at(
    evidence: Evidence, good: Sequence[Mapping[str, Any]], ends: Sequence[int]
) -> list[float]:
    """How many trials had ended when the processes were looked at, moment by moment."""
    moments = _leak.moments(ends, _BATCH_NS)
    counts = []
    for n, moment in enumerate(moments):
        looked = [one["at_ms"][n] for one in good if one["at_ms"][n] is not None]
        at_ms = sum(looked) / len(looked) if looked else evidence.clock.wall_ms(int(moment))
        at_ns = at_ms * 1e6 - evidence.clock.wall_minus_monotonic_ns
        counts.append(float(bisect.bisect_right(ends, at_ns)))
    return counts


def _summed(good: Sequence[Mapping[str, Any]], count: int) -> list[_leak.Line]:
    """Each line of source with what it held over all processes."""
    series: dict[tuple[str, str, int], list[int]] = {}
    growth: dict[tuple[str, str, int], tuple[int, int]] = {}
    for one in good:
        for function, file, number, held in one["lines"]:
            key = (function, file, number)
            total = series.setdefault(key, [0] * count)
            for n, size in enumerate(held):
                total[n] += size
            grown = (held[-1] - held[0], one["pid"])
            growth[key] = max(growth.get(key, grown), grown)
    return [_leak.Line(*key, tuple(held), growth[key][1]) for key, held in series.items()]
