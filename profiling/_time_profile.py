"""From what was captured to the profile: samples, marks and lives in, the model out."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import _clock
import _marks
import _model
import _phases
import _places
import _samples
import _words
from _clock import Life
from _sources import Sources

FEWEST_SAMPLES = 20
STILL = "wait for disk"  # py-spy must wait for a thread that waits for the disk
_SHORT_END_S = 0.05  # of a process, that nobody need know of
_UNSEEN_S = 0.5  # a worker that lived longer than this must have been sampled
PATCHED = frozenset({"optuna.study._optimize", "optuna.study.study"})  # marked in all versions
_RUNS_TRIALS = re.compile(r"/optuna/study/(_optimize\.py _run_trial|study\.py (Study\.)?ask)$")


@dataclass(frozen=True)
class Capture:
    """What a recording left behind.

    lives: of threads, in seconds since `origin_ns`. end_s: when the study ended.
    rate: samples a second. armed: whether the hook could mark trials at all. cut: whether the
    study ran on when the sampler had ended. since_s: when it began, by the clock that dates files.
    """

    samples: Path
    marks: _marks.Marks
    lives: Mapping[tuple[int, int], Life]
    origin_ns: int
    end_s: float
    rate: float
    armed: bool = True
    cut: bool = False
    since_s: float = math.inf


@dataclass(frozen=True)
class Built:
    """The profile, without `run`, and what the exit code needs to know."""

    profile: _model.Profile
    samples: int
    lost: tuple[int, ...]  # processes of the study without a capture


def build(capture: Capture, title: str) -> Built:
    """Read everything and attribute it.

    Raises OSError, or ValueError when the file of samples is not what it should be.
    """
    sources = Sources(capture.since_s)
    samples = _samples.read(capture.samples, sources)
    whole_s = capture.end_s
    if capture.cut:
        capture = _as_far_as_seen(capture, samples)
    verdicts = _phases.verdicts_of(samples, sources)
    still = [verdict.phase == STILL for verdict in verdicts]
    works = [not verdict.waits for verdict in verdicts]
    marked = _places.marked(capture.marks.trials, capture.origin_ns)
    edges = _clock.edges(
        samples, capture.lives, capture.origin_ns / 1e9, capture.end_s, still, works, marked
    )
    trials = capture.marks.model_trials(capture.origin_ns)
    reading = _phases.read(samples, verdicts, edges, trials, capture.end_s)
    lost = _lost(capture, samples)
    remarks = [*reading.remarks, *_remarks(capture, samples, edges, lost)]
    remarks += _unseen(capture, whole_s) + _changed(sources, samples)
    profile = _model.Profile(
        kind="time",
        title=title,
        run={},
        duration_s=capture.end_s,
        trials=trials,
        trials_absent="" if trials else _why_no_trials(capture, samples),
        phases=reading.phases,
        lanes=reading.lanes,
        flame=reading.flame,
        memory=None,
        advice=(),
        remarks=tuple(remarks),
    )
    return Built(profile, samples.count, lost)


def origin_ns(marks: _marks.Marks, launched_ns: int) -> int:
    """When the study began: as soon as it was sampled, if the hook held it up until then."""
    return marks.processes[0].start_ns if marks.processes else launched_ns


def shifted(lives: Mapping[tuple[int, int], Life], origin_ns: int) -> dict[tuple[int, int], Life]:
    """The same lives, counted from an origin."""
    origin_s = origin_ns / 1e9
    return {
        key: Life(life.born_s - origin_s, life.seen_s - origin_s) for key, life in lives.items()
    }


def _as_far_as_seen(capture: Capture, samples: _samples.Samples) -> Capture:
    """The capture as if the study had ended with the last round of samples."""
    if not samples.rounds:
        return capture
    end_s = samples.rounds[-1] + 1 / capture.rate - capture.origin_ns / 1e9
    end_s = min(max(end_s, 0.0), capture.end_s)
    marks = capture.marks.until(capture.origin_ns + int(end_s * 1e9))
    return dataclasses.replace(capture, marks=marks, end_s=end_s)


def _unseen(capture: Capture, whole_s: float) -> list[str]:
    if not capture.cut:
        return []
    seen, whole = _words.seconds(capture.end_s), _words.seconds(whole_s)
    return [
        f"sampling ended after {seen} and the study went on to {whole} unseen: every figure here "
        "is of the part that was seen. A lower --rate, or --most, looks at more of it"
    ]


def _changed(sources: Sources, samples: _samples.Samples) -> list[str]:
    """The study's own files that were edited while it ran; those of no frame are not told."""
    changed = sorted({file for _, file, _ in samples.frames if file in sources.changed})
    if not changed:
        return []
    names = _words.listed([_words.short_path(file) for file in changed[:3]])
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return [
        f"changed while the study ran: {names}{more}. Their lines are not those that ran, so they "
        "tell no phase, and line numbers are of the old text"
    ]


def _lost(capture: Capture, samples: _samples.Samples) -> tuple[int, ...]:
    """Workers that ran trials, or lived long enough, and were never sampled."""
    sampled = {lane.pid for lane in samples.lanes}
    worked = {mark.pid for mark in capture.marks.trials}
    lost = []
    for process in capture.marks.processes:
        life = capture.lives.get((process.pid, process.pid))
        lived_s = life.seen_s - life.born_s if life else 0.0
        worker = process.kind in ("spawn", "forkserver", "fork") and lived_s > _UNSEEN_S
        if process.pid not in sampled and (process.pid in worked or worker):
            lost.append(process.pid)
    return tuple(lost)


def _why_no_trials(capture: Capture, samples: _samples.Samples) -> str:
    if not capture.armed:
        return "the study was not armed at its start, so its trials could not be marked"
    if not capture.marks.processes:
        return "the study's interpreter did not load the hook that marks trials (-I, -S or -E?)"
    if capture.marks.patched < PATCHED and any(
        _RUNS_TRIALS.search(f"{file} {function}") for function, file, _ in samples.frames
    ):
        return "Optuna ran trials, but the hook could not get at them to mark them"
    return "no trial of Optuna began"


def _remarks(
    capture: Capture,
    samples: _samples.Samples,
    edges: Sequence[Sequence[float]],
    lost: tuple[int, ...],
) -> list[str]:
    remarks = [f"process {pid} was never sampled: its time is missing" for pid in lost]
    first = min((times[0] for times in edges), default=0.0)
    if first > max(0.5, 0.01 * capture.end_s):
        remarks.append(
            f"the first {first:.1f} s were not sampled: the study had not been found yet"
        )
    ending_s = max((lane.ending for lane in samples.lanes), default=0) / capture.rate
    if ending_s > max(_SHORT_END_S, 0.01 * capture.end_s):
        remarks.append(
            f"the last {ending_s:.1f} s of a process held no Python, which is no phase: "
            "it freed memory, ran handlers of its end, or became another program"
        )
    remarks += [f"marking trials: {trouble}" for trouble in capture.marks.troubles[:3]]
    return remarks
