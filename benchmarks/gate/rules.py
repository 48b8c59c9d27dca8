"""The numbers that separate noise from a regression, and the arithmetic behind them.

Paired CPU time is judged in three stages. Few pairs look at every case, fewer still at one whose
pairs agree that it is not slower; a case that looks slower is measured again from nothing, with
enough pairs that the mean must stand three standard errors clear of noise. The first stage's pairs
are not used again: a case is suspected because they came out high, so they would bias the second
mean upwards. The second stage ends early for a case that is clearly not slower, or so much slower
that no noise could have done it.

A machine with busy neighbors has minutes whose pairs scatter more, and more often to one side, than
their own spread tells; with many hot paths a second stage then says slower, now and then, of code
that is the same. So a third stage comes last, when those minutes may have passed: as
many new pairs, whose own mean must exceed half the limit, and with which the second's must stand
further clear of noise. Real slowdowns that it lets pass are few beside those that the second stage
misses by itself.

A case that looks faster is measured again, too: of many hot paths some look so by luck, in three
pairs above all, and whoever then moved a baseline would be called slower ever after.
"""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .errors import NotMeasuredError


class Verdict(enum.StrEnum):
    """What the gate says of a hot path, the worst first."""

    FAILED = "failed"
    NOT_MEASURED = "not measured"
    WORSE = "worse"
    BETTER = "better"
    NEW = "new"
    SAME = "same"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"


RANK = tuple(Verdict)  # the worst first: what a hot path is called by


def telling(witness: str) -> int:
    """Its place in `TELLING`; what is not named there comes last."""
    return TELLING.index(witness) if witness in TELLING else len(TELLING)


def uncounted(found: Iterable[tuple[str, str, float | None]]) -> str:
    """In place of counters, where there are none: what else witnesses, verdicts, values tell."""
    words = {
        witness: "answers agree" if witness == AGREEMENT else f"claim {now or 0.0:.3g}x"
        for witness, verdict, now in found
        if witness in (AGREEMENT, "claim") and verdict == Verdict.SAME
    }
    return ", ".join(words.values()) or "-"


@dataclass(frozen=True)
class CpuRule:
    """Pairs and limits of the stages; limits are relative changes."""

    first_pairs: int
    suspect_above: float
    calm_below: float  # mean + 1.3 se
    second_pairs: int  # as many again in the third
    fail_mean_above: float
    fail_bound_above: float  # mean - 3 se
    every_pair: bool = False  # of the first stage, for a case that is calm, too


# What is counted, the most telling first: what a reader with room for three of them is shown.
TELLING = (
    *("statements", "commits", "fsyncs", "processes", "files", "steps", "instructions"),
    *("bytecodes", "peak_bytes", "allocations"),
)
AGREEMENT = "agreement"  # of before and after: no witness, but what comes before all
STAGES = ("first", "second", "third", "gain")  # of paired CPU time, in the order of measuring

CAREFUL = CpuRule(6, 0.012, 0.020, 24, 0.018, 0.006)
FAST = CpuRule(5, 0.020, 0.028, 12, 0.025, 0.010)

SLOWER_WALL = 2.0  # this code over the baseline's: the last net, for what no other witness sees
WALL_AGAIN = 5  # pairs that must confirm it
LOST_CLAIM = 0.9  # share of the stored before/after ratio
BETTER_BELOW = -0.05
GAIN_PAIRS = 8  # new ones, that must say of a case that looks faster that it is
CALM_AFTER = 2  # pairs of the first stage
CALM_BY = 1.3  # standard errors
CLEARED_AFTER = 6  # pairs of the second stage, or of the third
LEAST_SCATTER = 0.012  # standard deviation of one pair: a few may agree by luck
CONVICTED_AFTER = 6
CONFIRMED_ABOVE = 0.5  # share of the limit that the third stage alone must exceed
CONFIRMED_BY = 3.5  # standard errors that both stages together must stand clear
CONVICTED_ABOVE = 0.10  # far above any limit
CONVICTED_BY = 6.0  # standard errors that the mean must stand above the limit
TRIMMED = 0.2  # share of the rounds dropped at each end before they are averaged
TRIMMED_PAIRS = 1 / 8  # share of the pairs dropped at each end; none of the first stage's


@dataclass(frozen=True)
class Paired:
    """Relative changes, one per pair of fresh processes, as natural logarithms of head / base."""

    logs: tuple[float, ...]
    samples: tuple[tuple[float, float], ...] = ()  # CPU seconds a call of head and base

    @property
    def mean(self) -> float:
        """The mean of all pairs but the extreme eighth at each end."""
        return math.expm1(statistics.fmean(self._inner()))

    @property
    def median(self) -> float:
        return math.expm1(statistics.median(self.logs))

    @property
    def se(self) -> float:
        """Standard error of the mean; infinite for a single pair.

        As Yuen has it for trimmed means: the dropped pairs count as the nearest one that is kept.
        """
        if len(self.logs) < 2:
            return math.inf
        inner = self._inner()
        dropped = (len(self.logs) - len(inner)) // 2
        winsorized = [inner[0]] * dropped + inner + [inner[-1]] * dropped
        return statistics.stdev(winsorized) * math.sqrt(len(self.logs)) / len(inner)

    @property
    def _careful_se(self) -> float:
        """Standard error of the mean, for a pair's scatter of at least what is believed of few."""
        return max(self.se, LEAST_SCATTER / math.sqrt(len(self.logs)))

    def _inner(self) -> list[float]:
        return without_extremes(self.logs, TRIMMED_PAIRS)

    def calm(self, rule: CpuRule) -> bool:
        """Whether the first stage may end early, with a pass: what scatters so is hardly slower."""
        if rule.every_pair or len(self.logs) < CALM_AFTER or self.suspect(rule):
            return False
        return max(self.mean, self.median) + CALM_BY * self._careful_se < rule.calm_below

    def suspect(self, rule: CpuRule) -> bool:
        return max(self.mean, self.median) > rule.suspect_above

    def slower(self, rule: CpuRule, by: float = 3.0) -> bool:
        """Whether the mean is above the limit, and `by` standard errors clear of noise."""
        bound = self.mean - by * self.se
        return self.mean > rule.fail_mean_above and bound > rule.fail_bound_above

    def cleared(self, rule: CpuRule, share: float = 1.0) -> bool:
        """Whether more pairs would hardly find it slower: the mean stands two standard errors
        below the limit, or a `share` of it. It ends a stage early with a pass, never with a
        failure.
        """
        enough = len(self.logs) >= CLEARED_AFTER
        return enough and self.mean + 2 * self._careful_se < share * rule.fail_mean_above

    def convicted(self, rule: CpuRule) -> bool:
        """Whether it is so much slower that all pairs would say the same.

        It asks for far more than `slower` does, so looking at it after each pair adds no failure.
        """
        enough = len(self.logs) >= CONVICTED_AFTER and self.mean > CONVICTED_ABOVE
        return enough and self.mean - CONVICTED_BY * self.se > rule.fail_mean_above

    def settled(self, rule: CpuRule) -> bool:
        """Whether a second stage may end early."""
        return self.cleared(rule) or self.convicted(rule)

    def denied(self, rule: CpuRule) -> bool:
        """Whether a third stage may end early: it will not confirm what the second said."""
        return self.cleared(rule, CONFIRMED_ABOVE)

    def confirmed(self, third: Paired, rule: CpuRule) -> bool:
        """Whether a third stage says the same as this second one."""
        alone = third.mean > CONFIRMED_ABOVE * rule.fail_mean_above
        return alone and self.together(third).slower(rule, CONFIRMED_BY)

    def together(self, other: Paired) -> Paired:
        return Paired(self.logs + other.logs, self.samples + other.samples)

    @property
    def faster(self) -> bool:
        """Clearly faster: an improvement worth ratcheting in."""
        return self.mean < BETTER_BELOW and self.mean + 3 * self.se < 0


def trimmed_mean(values: Sequence[float]) -> float:
    """Mean without the extreme fifth at each end; robust, and less noisy than the minimum."""
    return statistics.fmean(without_extremes(values, TRIMMED))


def without_extremes(values: Sequence[float], share: float) -> list[float]:
    """The values in order, without that share of them at each end."""
    ordered = sorted(values)
    drop = int(len(ordered) * share)
    return ordered[drop : len(ordered) - drop]


def log_ratio(now: float, before: float) -> float:
    """One pair's change: logarithm of the ratio of CPU times."""
    if not (now > 0.0 and before > 0.0):
        raise NotMeasuredError('it used no CPU time of its own: declare clock="process" or "tree"?')
    return math.log(now / before)


@dataclass(frozen=True)
class Growth:
    """How much of an increase is let pass: a share of the old value, and a number of units."""

    share: float = 0.0
    units: float = 0.0

    def exceeded(self, before: float, now: float) -> bool:
        return now - before > max(before * self.share, self.units)

    def __str__(self) -> str:
        words = [f"{self.share:.1%}"] if self.share else []
        words += [f"{self.units:g}"] if self.units else []
        return f"{' or '.join(words)} more" if words else "no more"


_ALLOWED = {
    "bytecodes": Growth(0.01),
    "instructions": Growth(0.01),
    "peak_bytes": Growth(0.01, 256),
    "allocations": Growth(0.001, 1),
}
_NO_GROWTH = Growth()
_INSTRUMENTAL = frozenset({"bytecodes", "instructions"})  # the CPU time tells what they are worth


def allowed_growth(counter: str) -> Growth:
    """What a counter may grow by: nothing, except where counting itself is not exact."""
    return _ALLOWED.get(counter, _NO_GROWTH)


def counter_increased(name: str, before: int, now: int) -> bool:
    """Whether a counter grew past what it is allowed."""
    return allowed_growth(name).exceeded(before, now)


def counter_decreased(name: str, before: int, now: int) -> bool:
    """Whether a counter fell by more than it may grow; fewer instructions are no news by itself."""
    return name not in _INSTRUMENTAL and allowed_growth(name).exceeded(now, before)
