"""When a trial is stopped: it is too far from the best, seen against a typical trial."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from optimizer.efficiency.subsampling import sign_of
from optimizer.errors import EfficiencyError


def is_hopeless(
    value: float,
    others: Sequence[float],
    direction: str,
    *,
    threshold: float = 0.1,
    min_trials: int = 10,
) -> bool:
    """Whether a trial has less than `threshold` of what the best one has over a typical one.

    The guide stops trials "below 10% of the best". As a ratio of values that means nothing where
    values are negative, where zero is no floor, and where smaller is better; and adding a constant
    to the objective would change who is stopped. So both are measured from a typical trial, the
    median of the others: a trial is stopped if

        (value - median) / (best - median) < threshold

    where numerator and denominator are negative together when minimizing. The ratio is 1 for the
    best and 0 for a typical trial, does not change when the objective is shifted or scaled, and
    the worst trial has no say in it, so one wild loss does not save the others. A threshold of 0
    stops what is worse than a typical trial, 1 what is worse than the best; a negative one stops
    less, -1 what is as far below it as the best is above.

    Nobody is stopped before `min_trials` others have a number to be compared with, nor where
    nothing tells how far is far: at least half of the others equal the best, or the distance is
    not finite. After that NaN is always stopped. Others that are NaN are left out. Cost: a sort of
    `others`.

    Args:
        value: what the trial has reached.
        others: what the others had at the same step or on the same part of the data, in the
            order of their trials.
        direction: "minimize" or "maximize".
        threshold: ratio, at most 1.
        min_trials: how many others there must be, at least 1.

    Raises:
        EfficiencyError: another direction, a threshold that is NaN, infinite or above 1, or a
            minimum below 1.

    Example:
        >>> done = [-9.0, -5.0, -5.0, -5.0, -1.0]
        >>> [is_hopeless(v, done, "maximize", min_trials=5) for v in (-1.0, -4.5, -4.7, -20.0)]
        [False, False, True, True]
    """
    sign = sign_of(direction)
    check_pruning(threshold, min_trials)
    known = [sign * other for other in others if not math.isnan(other)]
    if len(known) < min_trials:
        return False
    if math.isnan(value):
        return True
    best = max(known)
    typical = min(statistics.median(known), statistics.median(known[:min_trials]))
    spread = best - typical
    if not math.isfinite(spread) or spread <= 0.0:
        return False
    return (sign * value - typical) / spread < threshold


def check_pruning(threshold: float, min_trials: int) -> None:
    """Refuse a threshold or a minimum that makes no sense.

    Raises:
        EfficiencyError: see `is_hopeless`.
    """
    if not math.isfinite(threshold) or threshold > 1.0:
        raise EfficiencyError(
            f"pruning threshold is {threshold!a:.80}; pass a finite ratio of at most 1, such as 0.1"
        )
    if min_trials < 1:
        raise EfficiencyError(
            f"trials before pruning are {min_trials!a:.80}; pass an integer of at least 1"
        )
