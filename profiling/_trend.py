"""Does a trial cost more at the end of a study than at its beginning, beyond chance?"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import _colours
import _model

GROWN, SHRUNK = 1.25, 0.8  # last tenth over first tenth: less than this either way is no trend
SMALLEST_GROWTH_MS = 0.05
SIGMAS = 3.0  # standard errors by which two figures must differ
RATE_HZ = 100.0  # of samples, where a profile does not say its own: the coarsest that is common
_GROUPS = 50
_FEWEST = 4  # trials of a group
_FEWEST_GROUPS = 4

Groups = tuple[dict[str, list[float]], int]
_last: list[tuple[_model.Profile, Groups]] = []  # of the profile that was asked about last


@dataclass(frozen=True)
class Growth:
    """Cost of a trial in the first and in the last tenth of the trials."""

    first_ms: float
    last_ms: float
    sigmas: float  # standard errors by which the cost differs, or rises over all trials
    most: _model.Phase | None = None  # that changed most, in the direction of the whole

    @property
    def ratio(self) -> float:
        return self.last_ms / self.first_ms if self.first_ms > 0 else math.inf

    @property
    def trend(self) -> int:
        """1 grows, -1 shrinks, 0 neither: too little, or no more than chance gives."""
        if abs(self.last_ms - self.first_ms) < SMALLEST_GROWTH_MS or self.sigmas < SIGMAS:
            return 0
        return 1 if self.ratio >= GROWN else -1 if self.ratio <= SHRUNK else 0


def growth(profile: _model.Profile) -> Growth | None:
    """How the cost of a whole trial changed; None where the tenths are not known."""
    known = [phase for phase in profile.phases if _known(phase)]
    if not known:
        return None
    first = sum(phase.first_tenth_ms or 0.0 for phase in known)
    last = sum(phase.last_tenth_ms or 0.0 for phase in known)
    sign = 1 if last >= first else -1
    most = max(known, key=lambda phase: sign * change_ms(phase))
    groups, size = per_group(profile)
    together = [sum(costs) for costs in zip(*groups.values(), strict=True)]
    tenths, line = _sigmas(profile, first, last, together, size)
    chosen = most if sign * change_ms(most) > 0 else None
    return Growth(first, last, max(tenths, line), chosen)


def of_phase(profile: _model.Profile, phase: _model.Phase) -> Growth | None:
    """The same of one phase.

    Where the whole may be chance a line through a phase is not enough, for a disk or a machine that
    drifts draws one as well: its tenths themselves must differ.
    """
    if not _known(phase):
        return None
    first, last = phase.first_tenth_ms or 0.0, phase.last_tenth_ms or 0.0
    groups, size = per_group(profile)
    tenths, line = _sigmas(profile, first, last, groups.get(phase.name, []), size)
    whole = growth(profile)
    agrees = whole is not None and whole.trend * (last - first) > 0
    return Growth(first, last, max(tenths, line) if agrees else tenths, phase)


def grows(profile: _model.Profile, phase: _model.Phase) -> bool:
    """Whether this phase costs more per trial at the end, by more than chance."""
    found = of_phase(profile, phase)
    return found is not None and found.trend > 0


def change_ms(phase: _model.Phase) -> float:
    """Last tenth less first tenth."""
    return (phase.last_tenth_ms or 0.0) - (phase.first_tenth_ms or 0.0)


def _known(phase: _model.Phase) -> bool:
    return phase.first_tenth_ms is not None and phase.last_tenth_ms is not None


def _sigmas(
    profile: _model.Profile, first: float, last: float, groups: Sequence[float], size: int
) -> tuple[float, float]:
    """By how many standard errors the tenths differ, and a line through all groups rises.

    The error is that of counting samples, or of the spread between trials where that is larger.
    The line finds a steady growth that two tenths alone would not show on a noisy machine.
    """
    sample_ms = 1e3 / rate_hz(profile)
    trials = max(1, ended(profile) // 10)
    spread = 2 * _variance(groups) * size / trials
    error = math.sqrt(max((first + last) * sample_ms / trials, spread))
    tenths = abs(last - first) / error if error > 0 else math.inf
    count = len(groups)
    if count < _FEWEST_GROUPS:
        return tenths, 0.0
    middle, mean = (count - 1) / 2, sum(groups) / count
    width = count * (count**2 - 1) / 12
    slope = sum((n - middle) * (one - mean) for n, one in enumerate(groups)) / width
    error = math.sqrt(max(_variance(groups), mean * sample_ms / size) / width)
    same_way = slope * (last - first) > 0 and error > 0
    return tenths, abs(slope) / error if same_way else 0.0


def mean_error_ms(profile: _model.Profile, phase: _model.Phase) -> float:
    """Standard error of a phase's milliseconds per trial, over all trials."""
    trials = max(1, ended(profile))
    counted = (phase.ms_per_trial or 0.0) * 1e3 / rate_hz(profile) / trials
    groups, size = per_group(profile)
    return math.sqrt(max(counted, _variance(groups.get(phase.name, [])) * size / trials))


def _variance(groups: Sequence[float]) -> float:
    """Of one group's mean, from differences of neighbours: a trend does not count as noise."""
    if len(groups) < 2:
        return 0.0
    return sum((b - a) ** 2 for a, b in itertools.pairwise(groups)) / 2 / (len(groups) - 1)


def rate_hz(profile: _model.Profile) -> float:
    """Samples a second."""
    told = profile.run.get("rate_hz")
    return float(told) if isinstance(told, int | float) and told > 0 else RATE_HZ


def ended(profile: _model.Profile) -> int:
    """How many trials ended."""
    return sum(trial.end_s is not None for trial in profile.trials)


def per_group(profile: _model.Profile) -> Groups:
    """Milliseconds per trial of each phase in groups of trials as they ended, and a group's size.

    Time of all lanes while a group ended, divided by its trials. Left out are waits for each other,
    what a process did before its first trial, and a last group that is not full. Empty where there
    are too few trials or no lanes. Cost: one pass over the segments; kept for the profile asked
    about last.
    """
    if not _last or _last[0][0] is not profile:
        _last[:] = [(profile, _per_group(profile))]
    return _last[0][1]


def _per_group(profile: _model.Profile) -> Groups:
    ends = sorted(trial.end_s for trial in profile.trials if trial.end_s is not None)
    size = max(_FEWEST, -(-len(ends) // _GROUPS))
    count = len(ends) // size
    if count < _FEWEST_GROUPS or not profile.lanes:
        return {}, size
    begun: dict[int, float] = {}
    for trial in profile.trials:
        begun[trial.pid] = min(trial.start_s, begun.get(trial.pid, trial.start_s))
    edges = [min(begun.values()), *(ends[(n + 1) * size - 1] for n in range(count))]
    found: dict[str, list[float]] = {}
    for lane in profile.lanes:
        since = begun.get(lane.pid, 0.0)
        counting = [
            segment
            for segment in lane.segments
            if segment.start_s >= since and segment.phase not in _colours.NOTHING_TO_DO
        ]
        for name, row in between(counting, edges).items():
            sums = found.setdefault(name, [0.0] * count)
            for index, one in enumerate(row):
                sums[index] += 1e3 * one / size
    return found, size


def between(segments: Sequence[_model.Segment], edges: Sequence[float]) -> dict[str, list[float]]:
    """Seconds of each phase between consecutive edges; idle segments are left out."""
    filled: dict[str, list[float]] = {}
    for segment in segments:
        if segment.phase == _colours.IDLE:
            continue
        row = filled.get(segment.phase)
        if row is None:
            row = filled[segment.phase] = [0.0] * (len(edges) - 1)
        index = max(0, bisect.bisect_right(edges, segment.start_s) - 1)
        while index < len(row) and edges[index] < segment.end_s:
            inside = min(segment.end_s, edges[index + 1]) - max(segment.start_s, edges[index])
            row[index] += max(0.0, inside)
            index += 1
    return filled
