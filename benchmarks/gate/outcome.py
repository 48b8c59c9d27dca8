"""What was measured of one case, before anybody judges it."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import GateError, SkippedError
from .instruments import Counts, Details, Kind
from .rules import CpuRule, Paired, counter_decreased, counter_increased

Key = tuple[str, str]  # hot path, case
Progress = Callable[[str], None]


@dataclass
class Outcome:
    """What was measured of one case, and what went wrong."""

    counters: Counts = field(default_factory=dict)
    base_counters: Counts = field(default_factory=dict)
    unreached: frozenset[Kind] = frozenset()  # not counted: no changed file can be imported here
    first: Paired | None = None
    second: Paired | None = None
    third: Paired | None = None
    gain: Paired | None = None  # of a case that looked faster
    wall: tuple[float, ...] = ()  # head / base of wall time, one for each process pair
    cpu_s: float | None = None  # this code's CPU seconds a call, to say how large the body is
    claim_looks: list[float] = field(default_factory=list)  # before / after, one for each process
    claim_by_pairs: bool = False  # below its floor; the pairs are sure that nothing is lost
    claim_spread: tuple[float, float, float] | None = None  # again: ratio, its bounds
    claim_base: float | None = None  # the ratio of the baseline's code, by turns with it
    claim_kept: float | None = None  # what is kept of it at most: this code's over the baseline's
    agree: bool | None = None
    error: GateError | None = None
    skipped: set[str] = field(default_factory=set)  # the sides on which the suite skips the case
    again: SecondLook | None = None

    @property
    def decisive(self) -> Paired | None:
        """The pairs that the verdict rests on: all of the last stages, none of the suspicion."""
        if self.gain is not None:
            return self.gain
        if self.second is not None and self.third is not None:
            return self.second.together(self.third)
        return self.second or self.first

    def doubtful(self, rule: CpuRule) -> bool:
        """Whether it is slower by the second stage, but not beyond all doubt."""
        second = self.second
        return second is not None and second.slower(rule) and not second.convicted(rule)

    def slower(self, rule: CpuRule) -> bool:
        """Whether the stages of CPU time say so; a doubt is a yes until a third has said no."""
        if self.second is None or not self.second.slower(rule):
            return False
        return self.third is None or self.second.confirmed(self.third, rule)

    @property
    def faster(self) -> bool:
        """Whether new pairs said so of a case that had looked it."""
        return self.gain is not None and self.gain.faster

    @property
    def claim(self) -> float | None:
        """before / after of CPU time: the geometric mean of the looks at it."""
        return statistics.geometric_mean(self.claim_looks) if self.claim_looks else None

    def fail(self, error: GateError) -> None:
        """Keep the first error; what comes after it may be its consequence."""
        if isinstance(error, SkippedError):
            self.skipped.add(error.side)
        self.error = self.error or error


@dataclass
class SecondLook:
    """Both sides counted again, here and now, because their counts differed."""

    before: dict[str, list[int]] = field(default_factory=dict)  # one value for each count
    now: dict[str, list[int]] = field(default_factory=dict)
    details_before: Details = field(default_factory=dict)
    details_now: Details = field(default_factory=dict)

    def counted(self, name: str) -> bool:
        """Whether both sides counted it again."""
        return bool(self.before.get(name) and self.now.get(name))

    def increased(self, name: str) -> bool:
        """Whether it did: all counts of now lie above all of before, the least and the most by
        more than is allowed.

        What differs from call to call by itself overlaps (what a body does twice a second, say):
        a rise within its own scatter is not seen.
        """
        before, now = self.before[name], self.now[name]
        rose = all(counter_increased(name, pick(before), pick(now)) for pick in (min, max))
        return rose and min(now) > max(before)

    def decreased(self, name: str) -> bool:
        """Whether all counts of now lie below all of before, in the same way."""
        before, now = self.before[name], self.now[name]
        fell = all(counter_decreased(name, pick(before), pick(now)) for pick in (min, max))
        return fell and max(now) < min(before)


Outcomes = dict[Key, Outcome]


def pair_core() -> int | None:
    """The core that pairs are pinned to; None where a process cannot be pinned."""
    return max(_cores(), default=None)


def exact_core() -> int | None:
    """The core of everything that is exact: another one, if there is one."""
    return min(_cores(), default=None)


def _cores() -> set[int]:
    try:
        return os.sched_getaffinity(0)
    except AttributeError:  # macOS
        return set()
