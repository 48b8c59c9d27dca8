"""How fast memory grows from trial to trial, and which line of source it is.

A line's growth is what it holds more at the end of a batch of trials than at its beginning.  The
batches give the slope and, by their spread, its interval: trials that follow each other are not
independent, batches nearly are.  A line that grew and then stayed, as a cache does, is no leak.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

BATCHES, FEWEST_BATCHES = 20, 5
FEWEST_TRIALS = 30
NO_GROWTH = "no line of source holds steadily more from trial to trial"
_WARM_UP = 0.1  # of the trials: imports and caches fill
_LEAST_GROWTH = 16 * 1024  # bytes over all trials; less is noise of single objects
_TIMES, _SMALL = 10, 0.01  # so many times the trials recorded, and a share of the peak
_STEADY = 1 / 3  # of its slope a line must keep in the second half


@dataclass(frozen=True)
class Line:
    """A line of source and the bytes it held, over all processes, at each moment.

    pid: the process in which it grew most.
    """

    function: str
    file: str
    line: int
    held: tuple[int, ...]
    pid: int


@dataclass(frozen=True)
class Slope:
    """Bytes per trial, with a 95% interval."""

    per_trial: float
    low: float
    high: float


def moments(ends: Sequence[float], least: float = 0.0) -> list[float]:
    """When to look: the edges of the batches, at ends of trials; empty for too few trials.

    ends: when the trials ended, in any unit. least: how long a batch should take, for what is
    looked at is known to some precision only; fast trials make fewer batches.
    """
    ordered = sorted(ends)
    if len(ordered) < FEWEST_TRIALS:
        return []
    first = max(int(len(ordered) * _WARM_UP), 1)
    batches = min(BATCHES, len(ordered) - first)
    if least > 0.0:
        span = ordered[-1] - ordered[first - 1]
        batches = min(batches, max(int(span / least), FEWEST_BATCHES))
    places = [first + round(n * (len(ordered) - first) / batches) for n in range(batches + 1)]
    return sorted({ordered[place - 1] for place in places})


def slope(trials: Sequence[float], held: Sequence[float]) -> Slope:
    """The growth per trial: trials ended and bytes held at the same moments, three or more.

    The interval is that of a ratio of sums over batches, by Student's t.
    """
    steps = [b - a for a, b in pairwise(trials)]
    grown = [b - a for a, b in pairwise(held)]
    total = sum(steps)
    if len(steps) < 2 or total <= 0:
        raise ValueError(f"{len(steps)} batches with {total} trials; expected two or more")
    mean = sum(grown) / total
    squares = sum((g - mean * s) ** 2 for g, s in zip(grown, steps, strict=True))
    count = len(steps)
    error = math.sqrt(count / (count - 1) * squares) / total
    reach = student(count - 1) * error
    return Slope(mean, mean - reach, mean + reach)


def student(freedom: int) -> float:
    """The 97.5% quantile of Student's t (Cornish-Fisher; within 1% from 4 degrees on)."""
    z = 1.959964
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def least_per_100(trials: int, peak_bytes: int) -> float:
    """Bytes per 100 trials from which on a growth is worth an alarm.

    Less adds below a hundredth to the peak even in a study of ten times the trials recorded.
    """
    return 100 * _SMALL * peak_bytes / (_TIMES * max(trials, 1))


def growing(trials: Sequence[float], lines: Sequence[Line]) -> list[tuple[Line, Slope]]:
    """The lines that grow steadily, the fastest first."""
    found = []
    for line in lines:
        if line.held[-1] - line.held[0] < _LEAST_GROWTH:
            continue
        whole = slope(trials, line.held)
        if whole.low > 0 and _steady(trials, line.held, whole):
            found.append((line, whole))
    return sorted(found, key=lambda item: -item[1].per_trial)


def _steady(trials: Sequence[float], held: Sequence[float], whole: Slope) -> bool:
    half = len(held) // 2
    later = (held[-1] - held[half]) / max(trials[-1] - trials[half], 1)
    return later >= _STEADY * whole.per_trial
