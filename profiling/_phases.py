"""What a recording says: phases, lanes and the flame, out of samples and marks.

The seconds of a phase are thread seconds: a thread that does the work of a phase for one second
adds one second, so two workers that are busy for ten seconds add twenty.  A thread that waits for
other threads or processes of the study counts only while none of them works, and a moment in
which nobody works counts once.  So a coordinator that waits for busy workers adds nothing, a
helper thread that waits for ever is no phase, and `wait for workers` is time in which the study
stood still (or slept, outside a trial).  A wait for the disk is a trial's own and always counts,
and so does one for a program that no samples are taken of.

Shares are of the sum of all phases.  Time per trial is what was spent between the beginning of
the first trial and the end of the last, by the number of finished trials; the first and the last
tenth of the trials likewise, by the time in which they ended, where a tenth is many times the
trials that run at once: a few workers' first trials end together, and so do their last.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import _rules
from _classify import Classifier, Verdict, is_nobodys
from _model import Flame, Hot, Lane, Phase, Segment, Stack, Trial
from _samples import SampledLane, Samples
from _sources import Sources

HOT_LINES = 5
LANE_SEGMENTS = 20_000  # of a lane; finer ones are merged by majority, which hides small phases
LEAST_S = 1e-6  # of a wait; less is what rounding leaves
IDLE_SHARE = 0.005  # lanes that worked less are no worker's
TURNS_SHARE = 0.1  # lanes of one process that worked more may have waited for each other
WAVES = 5  # trials of each worker that a tenth must hold
FEWEST_FOR_TENTHS = 10  # trials; with fewer nobody looks for tenths
_RESTING = ("wait for workers", "wait for disk")

Span = tuple[float, float]


@dataclass(frozen=True)
class Reading:
    """The parts of a profile that come from samples."""

    phases: tuple[Phase, ...]
    lanes: tuple[Lane, ...]
    flame: Flame
    remarks: tuple[str, ...]


def verdicts_of(samples: Samples, sources: Sources | None = None) -> list[Verdict]:
    """The phase of every stack."""
    classifier = Classifier(samples.frames, sources)
    return [classifier.verdict(stack) for stack in samples.stacks]


def read(
    samples: Samples,
    verdicts: Sequence[Verdict],
    edges: Sequence[Sequence[float]],
    trials: Sequence[Trial],
    end_s: float,
) -> Reading:
    """Phases, lanes and flame; edges as from `_clock.edges`, one list per lane."""
    chosen = [i for i, lane in enumerate(samples.lanes) if not _is_tracker(samples, lane.pid)]
    windows = _Windows.of(trials)
    tally = _Tally(windows)
    _count_work(samples, edges, verdicts, chosen, tally)
    starters = _starters(samples, chosen)
    lanes = [_lane(samples, edges, verdicts, i, starters) for i in chosen]
    busy = [lane for lane in lanes if _used_s(lane) > IDLE_SHARE * end_s]
    left_out = len(lanes) - len(busy)
    waited = "thread that only waited is" if left_out == 1 else "threads that only waited are"
    remarks = [f"{left_out} {waited} not drawn"] if left_out else []
    remarks += _taking_turns(busy, end_s)
    if windows and not windows.tenth and windows.trials >= FEWEST_FOR_TENTHS:
        remarks.append(
            f"first and last tenth are not compared: {windows.trials} trials are too few for as "
            "many as ran at once"
        )
    phases = tally.phases(samples, verdicts)
    flame = tally.flame(samples, verdicts)
    return Reading(phases, tuple(busy or lanes), flame, tuple(remarks))


class Union:
    """A union of spans that tells how much of a span it covers."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self.starts: list[float] = []
        self.ends: list[float] = []
        self.before: list[float] = []  # covered before each start
        total = 0.0
        for start, end in sorted(spans):
            if self.ends and start <= self.ends[-1]:
                if end > self.ends[-1]:
                    total += end - self.ends[-1]
                    self.ends[-1] = end
            elif end > start:
                self.starts.append(start)
                self.ends.append(end)
                self.before.append(total)
                total += end - start

    def until(self, moment: float) -> float:
        """How much is covered before a moment."""
        i = bisect_right(self.starts, moment) - 1
        if i < 0:
            return 0.0
        return self.before[i] + min(moment, self.ends[i]) - self.starts[i]

    def spans(self) -> list[Span]:
        return list(zip(self.starts, self.ends, strict=True))


@dataclass(frozen=True)
class _Windows:
    """The time of all trials, and of the first and the last tenth of them."""

    trials: int
    tenth: int
    all: Span
    first: Span
    last: Span

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> _Windows | None:
        ends = sorted(trial.end_s for trial in trials if trial.end_s is not None)
        if not ends:
            return None
        begin = min(trial.start_s for trial in trials)
        tenth = _tenth(trials, len(ends))
        first = (begin, ends[tenth - 1]) if tenth else (begin, begin)
        last = (ends[-tenth - 1], ends[-1]) if tenth else (ends[-1], ends[-1])
        return cls(len(ends), tenth, (begin, ends[-1]), first, last)


def _tenth(trials: Sequence[Trial], ended: int) -> int:
    """How many trials a tenth of the ended ones has; 0 where that tells nothing."""
    tenth = ended // 10
    moments = sorted(  # at one moment the ends come first
        moment
        for trial in trials
        if trial.end_s is not None
        for moment in ((trial.start_s, 1), (trial.end_s, -1))
    )
    at_once = max(accumulate(change for _, change in moments), default=0)
    return tenth if at_once <= 1 or tenth >= WAVES * at_once else 0


def _starters(samples: Samples, chosen: Sequence[int]) -> set[int]:
    """Processes that started one which is sampled as well."""
    sampled = {samples.lanes[i].pid for i in chosen}
    return {parent for pid, parent in samples.parents.items() if pid in sampled}


def _waits(verdict: Verdict, lane: SampledLane, starters: set[int]) -> bool:
    """Whether a thread waits for work that is counted elsewhere: that of a program is not."""
    return verdict.waits and not (verdict.program and lane.pid not in starters)


def _used_s(lane: Lane) -> float:
    """Seconds in which a thread did anything but wait for others."""
    return sum(one.end_s - one.start_s for one in lane.segments if one.phase != _rules.WAIT)


def _taking_turns(lanes: Sequence[Lane], end_s: float) -> list[str]:
    """What samples do not tell of several busy threads of one process."""
    busy = Counter(lane.pid for lane in lanes if lane.busy_s > TURNS_SHARE * end_s)
    return [
        f"{count} threads of process {pid} were busy: their Python code runs one at a time (but "
        "for builds without the GIL), and waits for that turn count as what waits"
        for pid, count in busy.items()
        if count > 1
    ]


class _Tally:
    """Seconds per stack, in all and in the windows of the trials."""

    def __init__(self, windows: _Windows | None) -> None:
        self.windows = windows
        self.seconds: dict[int, float] = defaultdict(float)
        self.inside: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])

    def add(self, stack: int, phase: str, start: float, end: float, seconds: float) -> None:
        self.seconds[stack] += seconds
        if self.windows is None:
            return
        middle = (start + end) / 2
        windows = (self.windows.all, self.windows.first, self.windows.last)
        for i, (begin, stop) in enumerate(windows):
            if begin <= middle < stop:
                self.inside[phase][i] += seconds

    def phases(self, samples: Samples, verdicts: Sequence[Verdict]) -> tuple[Phase, ...]:
        """The largest first."""
        total: dict[str, float] = defaultdict(float)
        hot: dict[str, dict[tuple[str, str, int], float]] = defaultdict(lambda: defaultdict(float))
        for stack, seconds in self.seconds.items():
            verdict = verdicts[stack]
            total[verdict.phase] += seconds
            if verdict.blamed >= 0:
                frame = samples.frames[samples.stacks[stack][verdict.blamed]]
                hot[verdict.phase][frame] += seconds
        whole = sum(total.values()) or 1.0
        return tuple(
            Phase(name, seconds, seconds / whole, *self._per_trial(name), _hottest(hot[name]))
            for name, seconds in sorted(total.items(), key=lambda item: -item[1])
            if seconds > 0.0
        )

    def _per_trial(self, phase: str) -> tuple[float | None, float | None, float | None]:
        windows = self.windows
        if windows is None:
            return None, None, None
        whole, first, last = self.inside[phase]
        per_trial = whole * 1e3 / windows.trials
        if not windows.tenth:
            return per_trial, None, None
        return per_trial, first * 1e3 / windows.tenth, last * 1e3 / windows.tenth

    def flame(self, samples: Samples, verdicts: Sequence[Verdict]) -> Flame:
        """Stacks merged by function: lines are told by the hot lines of each phase.

        Generated code and frames of ours are drawn as part of what called them.
        """
        numbers: dict[tuple[str, str], int] = {}
        frames: list[tuple[str, str, int]] = []
        place: dict[int, int] = {}
        for index in sorted({frame for stack in self.seconds for frame in samples.stacks[stack]}):
            function, file, line = samples.frames[index]
            key = function, file
            if key not in numbers:
                numbers[key] = len(frames)
                frames.append((function, file, line))
            place[index] = numbers[key]
        merged: dict[tuple[tuple[int, ...], str], float] = defaultdict(float)
        for stack, seconds in self.seconds.items():
            whole = samples.stacks[stack]
            drawn = [frame for frame in whole if not is_nobodys(samples.frames[frame])]
            inner = tuple(place[frame] for frame in drawn or whole)
            merged[inner, verdicts[stack].phase] += seconds
        return Flame(
            tuple(frames),
            tuple(Stack(inner, seconds, phase) for (inner, phase), seconds in merged.items()),
        )


def _hottest(lines: dict[tuple[str, str, int], float]) -> tuple[Hot, ...]:
    largest = sorted(lines.items(), key=lambda item: -item[1])[:HOT_LINES]
    return tuple(Hot(*frame, seconds) for frame, seconds in largest)


def _count_work(
    samples: Samples,
    edges: Sequence[Sequence[float]],
    verdicts: Sequence[Verdict],
    chosen: Sequence[int],
    tally: _Tally,
) -> None:
    """Put every sample on the tally: work as it is, waits where nobody works and once."""
    starters = _starters(samples, chosen)
    work: list[Span] = []
    waits: list[tuple[bool, float, float, int]] = []  # objective first
    for i in chosen:
        times = edges[i]
        for place, stack in enumerate(samples.lanes[i].stacks):
            start, end = times[place], times[place + 1]
            verdict = verdicts[stack]
            if _waits(verdict, samples.lanes[i], starters):
                waits.append((verdict.phase != _rules.OBJECTIVE, start, end, stack))
            else:
                work.append((start, end))
                tally.add(stack, verdict.phase, start, end, end - start)
    taken = Union(work)
    for rank in (False, True):
        mine = [wait for wait in waits if wait[0] is rank]
        reached = 0.0
        for _, start, end, stack in sorted(mine, key=lambda wait: wait[1:3]):
            begin = max(start, reached)
            if begin < end:
                alone = (end - begin) - (taken.until(end) - taken.until(begin))
                if alone > LEAST_S:
                    tally.add(stack, verdicts[stack].phase, begin, end, alone)
                reached = end
        taken = Union([*taken.spans(), *((start, end) for _, start, end, _ in mine)])


def _lane(
    samples: Samples,
    edges: Sequence[Sequence[float]],
    verdicts: Sequence[Verdict],
    index: int,
    starters: set[int],
) -> Lane:
    lane, times = samples.lanes[index], edges[index]
    segments: list[Segment] = []
    busy = 0.0
    for place, stack in enumerate(lane.stacks):
        phase = verdicts[stack].phase
        if _waits(verdicts[stack], lane, starters):
            phase = _rules.WAIT
        if phase not in _RESTING:
            busy += times[place + 1] - times[place]
        if segments and segments[-1].phase == phase:
            segments[-1] = Segment(segments[-1].start_s, times[place + 1], phase)
        else:
            segments.append(Segment(times[place], times[place + 1], phase))
    drawn = tuple(coarse(segments, LANE_SEGMENTS))
    return Lane(lane.pid, lane.name, times[0], times[-1], busy, drawn)


def coarse(segments: Sequence[Segment], most: int) -> list[Segment]:
    """At most about `most` segments: in equal steps of time, the phase that fills most of each."""
    if len(segments) <= most:
        return list(segments)
    begin, end = segments[0].start_s, segments[-1].end_s
    step = (end - begin) / most
    merged: list[Segment] = []
    i = 0
    for number in range(most):
        left, right = begin + number * step, begin + (number + 1) * step
        inside: dict[str, float] = defaultdict(float)
        while i < len(segments) and segments[i].start_s < right:
            one = segments[i]
            inside[one.phase] += min(one.end_s, right) - max(one.start_s, left)
            if one.end_s > right:
                break
            i += 1
        phase = max(inside, key=lambda name: inside[name]) if inside else _rules.OTHER
        if merged and merged[-1].phase == phase:
            merged[-1] = Segment(merged[-1].start_s, right, phase)
        else:
            merged.append(Segment(left, right, phase))
    return merged


def _is_tracker(samples: Samples, pid: int) -> bool:
    """multiprocessing's own helper process, which does nothing of a study."""
    return "multiprocessing.resource_tracker" in samples.commands.get(pid, "")
