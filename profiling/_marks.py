"""Reads what the hook in the study's processes noted: processes and trials."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import _model
import _plain


@dataclass(frozen=True)
class ProcessMark:
    """A Python process of the study; `kind`: main, spawn, server, forkserver, fork, tracker, other.

    `server` is multiprocessing's fork server itself, `forkserver` a child of it.
    """

    pid: int
    parent: int
    kind: str
    version: str
    start_ns: int
    end_ns: int | None


@dataclass(frozen=True)
class TrialMark:
    """A trial; `serial` is unique in the process that began it."""

    serial: int
    number: int
    study: str
    pid: int
    tid: int
    start_ns: int
    end_ns: int | None
    state: str


@dataclass
class Marks:
    """Everything noted, in order of time; times are monotonic nanoseconds."""

    processes: list[ProcessMark] = field(default_factory=list)
    trials: list[TrialMark] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    patched: set[str] = field(default_factory=set)  # modules of Optuna whose trials are marked

    def model_trials(self, origin_ns: int) -> tuple[_model.Trial, ...]:
        """The trials as the model has them, in seconds since the recording began."""
        return tuple(
            _model.Trial(
                mark.number,
                mark.pid,
                (mark.start_ns - origin_ns) / 1e9,
                None if mark.end_ns is None else (mark.end_ns - origin_ns) / 1e9,
                mark.state,
            )
            for mark in self.trials
        )

    def until(self, end_ns: int) -> Marks:
        """What had been noted until then: who began later is left out, a running trial runs."""
        return Marks(
            [one for one in self.processes if one.start_ns < end_ns],
            [
                one
                if one.end_ns is not None and one.end_ns <= end_ns
                else replace(one, end_ns=None, state="running")
                for one in self.trials
                if one.start_ns < end_ns
            ],
            self.troubles,
            self.patched,
        )


@dataclass(frozen=True)
class _Orphan:
    """The end of a trial that began in another process, or nowhere; study "": not known."""

    number: int
    study: str
    end_ns: int
    state: str


def read(folder: Path) -> Marks:
    """The marks of all processes in a folder; a line that was cut off is left out.

    Raises OSError when the folder cannot be read.
    """
    marks = Marks()
    orphans: list[_Orphan] = []
    for path in sorted(folder.glob("*.marks")):
        _read_process(path, marks, orphans)
    for path in sorted(folder.glob("*.trouble")):
        marks.troubles += _plain.text(path).splitlines()
    for orphan in sorted(orphans, key=lambda one: one.end_ns):
        _end_elsewhere(marks.trials, orphan)
    marks.processes.sort(key=lambda process: process.start_ns)
    marks.trials.sort(key=lambda trial: trial.start_ns)
    if marks.processes:
        first = marks.processes[0]
        marks.processes[0] = ProcessMark(
            first.pid, first.parent, "main", first.version, first.start_ns, first.end_ns
        )
    return marks


def _read_process(path: Path, marks: Marks, orphans: list[_Orphan]) -> None:
    text = _plain.text(path)
    begun: dict[int, TrialMark] = {}
    process: ProcessMark | None = None
    for line in text.split("\n")[:-1]:  # what follows the last line break was cut off
        words = line.split()
        if not words:
            continue
        if words[0] == "!":
            marks.troubles.append(f"process {path.name.partition('-')[0]}: {line[2:]}")
        elif words[0] == "P" and len(words) == 7:
            process = ProcessMark(
                int(words[3]), int(words[4]), words[5], words[6], int(words[1]), None
            )
        elif words[0] == "X" and process is not None:
            process = ProcessMark(*_but_end(process), end_ns=int(words[1]))
        elif words[0] == "M" and len(words) == 4:
            marks.patched.add(words[3])
        elif process is not None and words[0] in "SE" and len(words) in (6, 7):
            _trial_line(words, process.pid, begun, orphans)
    if process is not None:
        marks.processes.append(process)
    marks.trials += [trial for trial in begun.values() if trial.number >= 0]


def _but_end(process: ProcessMark) -> tuple[int, int, str, str, int]:
    return process.pid, process.parent, process.kind, process.version, process.start_ns


def _trial_line(
    words: list[str], pid: int, begun: dict[int, TrialMark], orphans: list[_Orphan]
) -> None:
    time_ns, tid, serial, number = (int(word) for word in words[1:5])
    if words[0] == "S":
        begun[serial] = TrialMark(serial, number, words[5], pid, tid, time_ns, None, "running")
    elif serial in begun:
        begun[serial] = replace(begun[serial], end_ns=time_ns, state=words[5])
    else:
        orphans.append(_Orphan(number, "".join(words[6:]), time_ns, words[5]))


def _end_elsewhere(trials: list[TrialMark], orphan: _Orphan) -> None:
    """A trial that one process asked for and another told."""
    for index, mark in enumerate(trials):
        same = mark.number == orphan.number and orphan.study in ("", mark.study)
        if same and mark.end_ns is None and mark.start_ns <= orphan.end_ns:
            trials[index] = replace(mark, end_ns=orphan.end_ns, state=orphan.state)
            return
