"""In which round was each sample of a thread taken, by the marks of its trials?

A thread takes part in successive rounds, except where py-spy failed to read its process: then it
has a sample less, and what follows lies a round later.  The marks tell when trials began and
ended, and a sample tells by its frames whether a trial was being run; of all places the right one
contradicts the marks least.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from _marks import TrialMark
from _samples import SampledLane, Samples

FEWEST_TRIALS = 5  # fewer ends and beginnings of trials decide nothing
MOST_LOST = 24  # samples of a thread that are looked for
LEAST_ROUNDS = 4  # of a trial
LOSS = 3.0  # contradictions that a lost sample must explain
_EARLIEST, _LATEST = -3, 3  # rounds by which the first place may be wrong
FEWEST_SAMPLES = 20  # inside trials


def marked(trials: Sequence[TrialMark], origin_ns: int) -> dict[tuple[int, int], list[float]]:
    """By (process, thread) its trials' beginnings and ends in turn, in seconds since the origin.

    Threads whose trials overlap, or end elsewhere, are left out: there nothing can be told.
    """
    by_thread: dict[tuple[int, int], list[TrialMark]] = {}
    for trial in trials:
        by_thread.setdefault((trial.pid, trial.tid), []).append(trial)
    found = {}
    for key, own in by_thread.items():
        ended = [trial for trial in own if trial.end_ns is not None]
        moments = [ns for trial in ended for ns in (trial.start_ns, trial.end_ns or 0)]
        if len(ended) >= FEWEST_TRIALS and moments == sorted(moments):
            found[key] = [(ns - origin_ns) / 1e9 for ns in moments]
    return found


def inside_trials(samples: Samples) -> list[bool]:
    """By stack, whether a trial is being asked for or told, by the hook's own frames."""
    sure = [_runs_a_trial(function, file) for function, file, _ in samples.frames]
    return [any(sure[frame] for frame in stack) for stack in samples.stacks]


def _runs_a_trial(function: str, file: str) -> bool:
    if file.endswith("/_hook/_trial_hook.py"):
        return function.rpartition(".")[2] in ("ask", "tell", "_tell_with_warning")
    return False


def placed(
    lane: SampledLane,
    first: int,
    begun: Sequence[float],
    inside: Sequence[bool],
    moments: Sequence[float],
) -> list[int]:
    """The round of each sample; moments: as from `marked`.

    Cost: `MOST_LOST` steps for each sample inside a trial.
    """
    offsets = range(_EARLIEST, _LATEST + MOST_LOST + 1)
    count = len(begun)

    def contradicts(place: int) -> bool:
        if not 0 <= place < count:
            return True
        return bisect_right(moments, begun[place]) % 2 == 0

    wrong = [contradicts(first + n) for n in range(_EARLIEST, len(lane.stacks) + offsets[-1] + 1)]
    costs = [0.0 if n <= _LATEST - _EARLIEST else math.inf for n in range(len(offsets))]
    lost: dict[int, list[bool]] = {}  # before a sample, by offset: whether one more was lost
    for k, stack in enumerate(lane.stacks):
        if not inside[stack]:
            continue
        step = lost[k] = [False] * len(costs)
        for n in range(1, len(costs)):
            if costs[n - 1] + LOSS < costs[n]:
                costs[n], step[n] = costs[n - 1] + LOSS, True
        costs = [cost + wrong[k + n] for n, cost in enumerate(costs)]
    best = min(range(len(costs)), key=lambda n: (costs[n], abs(offsets[n])))
    places = [0] * len(lane.stacks)
    for k in range(len(lane.stacks) - 1, -1, -1):
        places[k] = first + k + offsets[best]
        while k in lost and lost[k][best]:
            best -= 1
    return places


def long_enough(moments: Sequence[float], begun: Sequence[float]) -> bool:
    """Whether trials take several rounds: shorter ones are met by chance and tell nothing."""
    trial_s = 2 * (moments[-1] - moments[0]) / len(moments)
    return trial_s * len(begun) >= LEAST_ROUNDS * (begun[-1] - begun[0])
