"""What a profile says in a few sentences: the same on the page and in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import _colours
import _model
import _trend
import _words
from _leak import least_per_100

IDLE_WORTH = 0.2  # of the lanes' time; from here on idle workers are worth a sentence
LITTLE = "less than 1% of the peak in ten times as many trials"
_STATES = ("complete", "pruned", "fail", "running")
_WORKER = 0.1  # of a lane's busy time in the study's own work makes it a worker's
_FAILED = {"fail": "failed"}


def trial_ms(profile: _model.Profile) -> float | None:
    """Time of all phases per trial, all processes together; None without marked trials."""
    known = [phase.ms_per_trial for phase in profile.phases if phase.ms_per_trial is not None]
    return sum(known) if known else None


def busy_share(profile: _model.Profile) -> float | None:
    """Share of the lanes' time in which they did not wait; None without lanes."""
    length = sum(lane.end_s - lane.start_s for lane in profile.lanes)
    busy = sum(lane.busy_s for lane in profile.lanes)
    return min(1.0, busy / length) if length > 0 else None


def idle_share(profile: _model.Profile) -> float:
    """Share of the workers' time with nothing to do; a wait for the disk is something to do."""
    chosen = workers(profile)
    length = sum(lane.end_s - lane.start_s for lane in chosen)
    used = sum(
        segment.end_s - segment.start_s
        for lane in chosen
        for segment in lane.segments
        if segment.phase not in _colours.NOTHING_TO_DO
    )
    return max(0.0, 1 - used / length) if length > 0 else 0.0


def workers(profile: _model.Profile) -> Sequence[_model.Lane]:
    """Lanes that evaluate; one that only hands out trials may wait. All, where none evaluates."""
    found = [
        lane
        for lane in profile.lanes
        if sum(one.end_s - one.start_s for one in lane.segments if one.phase in _colours.OWN_WORK)
        > _WORKER * lane.busy_s
    ]
    return found or profile.lanes


def trials_in_words(profile: _model.Profile) -> str:
    """`1,000 trials (980 complete, 20 pruned)`, or why there are none."""
    if not profile.trials:
        return _words.clean(profile.trials_absent) or "no trials"
    total = _words.counted(len(profile.trials), "trial")
    return f"{total} ({', '.join(states(profile))})"


def states(profile: _model.Profile) -> list[str]:
    """How many trials ended how: `980 complete`, `20 pruned`."""
    found = Counter(trial.state for trial in profile.trials)
    known = [state for state in _STATES if found[state]]
    known += sorted(state for state in found if state not in _STATES)
    return [f"{found[state]:,} {_words.clean(_FAILED.get(state, state), 40)}" for state in known]


def sentences(profile: _model.Profile) -> list[str]:
    """What to know first, most important first."""
    said = [*_largest(profile), *_grown(profile), *_idle(profile), *_leak(profile)]
    if profile.memory is not None:
        peak = (
            f"{_capital(held(profile.memory))} peaks at {_words.size(profile.memory.peak_bytes)}."
        )
        said = [peak, *said] if profile.kind == "memory" else [*said, peak]
    lost = [one for one in profile.memory.processes if not one.recorded] if profile.memory else []
    if lost:
        said.append(f"{_words.counted(len(lost), 'process', 'processes')} could not be recorded.")
    return said or ["Nothing was recorded."]


def held(memory: _model.Memory) -> str:
    """What the peak is the peak of, in words: heaps where they are known."""
    heaps = any(point[2] is not None for curve in memory.curves for point in curve.points)
    of = "the heap" if heaps else "resident memory"
    recorded = sum(one.peak_bytes is not None for one in memory.processes)
    return f"{of} of {recorded} processes together" if recorded > 1 else of


@dataclass
class Held:
    """What one line of source holds at the peaks of its processes."""

    function: str
    file: str
    line: int
    bytes: int = 0
    allocations: int = 0
    pids: set[int] = field(default_factory=set)


def leaks(profile: _model.Profile) -> bool:
    """Whether memory grows from trial to trial, beyond chance and by more than a trifle."""
    memory = profile.memory
    if memory is None or memory.leak is None or memory.leak.low <= 0:
        return False
    least = least_per_100(_trend.ended(profile), memory.peak_bytes)
    return memory.leak.bytes_per_100_trials >= least


def by_line(allocators: Sequence[_model.Allocator]) -> list[Held]:
    """Allocators of one line in several processes as one, the largest first."""
    found: dict[tuple[str, str, int], Held] = {}
    for one in allocators:
        key = (one.function, one.file, one.line)
        held = found.setdefault(key, Held(*key))
        held.bytes += one.bytes
        held.allocations += one.allocations
        held.pids.add(one.pid)
    return sorted(found.values(), key=lambda held: -held.bytes)


def ranked(profile: _model.Profile) -> list[_model.Phase]:
    """The phases, the largest first."""
    return sorted(profile.phases, key=lambda phase: -phase.seconds)


def _largest(profile: _model.Profile) -> list[str]:
    large = [phase for phase in ranked(profile) if phase.share >= 0.1][:3]
    if not large:
        return []
    first, *rest = large
    text = f"{_capital(first.name)} takes {_words.share(first.share)} of the time"
    if rest:
        text += ", " + _words.listed([f"{one.name} {_words.share(one.share)}" for one in rest])
    return [text + "."]


def _grown(profile: _model.Profile) -> list[str]:
    found = _trend.growth(profile)
    if found is None:
        return []
    tenths = f"{_words.milliseconds(found.first_ms)} → {_words.milliseconds(found.last_ms)}"
    if found.trend == 0 and not _trend.SHRUNK < found.ratio < _trend.GROWN:
        first, last = _words.milliseconds(found.first_ms), _words.milliseconds(found.last_ms)
        costs = f"{first} in the first tenth and {last} in the last"
        return [f"A trial costs {costs}, which may be chance."]
    if found.trend == 0:
        return [f"A trial costs about the same in the first tenth and in the last ({tenths})."]
    text = f"A trial of the last tenth costs {_compared(found.ratio)} of the first ({tenths})"
    if found.most is not None:
        change = _words.milliseconds(abs(_trend.change_ms(found.most)))
        sign = "+" if found.trend > 0 else "-"
        text += f", above all in {_words.clean(found.most.name)} ({sign}{change})"
    return [text + "."]


def _compared(ratio: float) -> str:
    if ratio >= 2:
        times = f"{_words.digits(ratio, 2)}" if ratio < 1e6 else "countless"
        return f"{times} times one"
    return f"{ratio - 1:.0%} more than one" if ratio > 1 else f"{1 - ratio:.0%} less than one"


def _idle(profile: _model.Profile) -> list[str]:
    idle = idle_share(profile)
    count = len(workers(profile))
    if count < 2 or idle < IDLE_WORTH:
        return []
    return [f"The {count} workers have nothing to do {_words.share(idle)} of their time."]


def _leak(profile: _model.Profile) -> list[str]:
    leak = profile.memory.leak if profile.memory else None
    if leak is None:
        return []
    line = _words.place(leak.file, leak.line, str(profile.run.get("working_directory", "")))
    if leak.low > 0:
        said = f"{_words.size(leak.bytes_per_100_trials)} more per 100 trials"
        if not leaks(profile):
            return [f"The heap grows little: by {said}, {LITTLE}."]
        return [f"{_words.clean(leak.function)} ({line}): this line holds {said}."]
    return ["The heap does not grow from trial to trial, as far as one can tell."]


def _capital(text: str) -> str:
    return _words.clean(text[:1].upper() + text[1:])
