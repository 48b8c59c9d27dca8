"""Trials on a part of the data: how large a part, which rows, and who earns more of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optimizer.errors import EfficiencyError

FRACTION = "optimizer:fraction"
"""User attribute of a trial: the part of the data that it was last evaluated on, if on any."""
FIRST_TRIALS, EARLY_TRIALS = 20, 50
"""Below these trial numbers the first and the second level apply; the guide's own."""
TRIALS = 100
"""The guide's number of trials, where a study has none."""
PROMISING_RATIO = 1 / 10
"""The part of the trials that were seen on a part of the data that earns all of them, at most."""
RECENT_TRIALS = 30
"""With how many values a value is compared, the last ones: a guided search gets better, so that
among all values nearly every late one would be promising."""


@dataclass(frozen=True, slots=True)
class Subsampling:
    """How much of the data a trial is given; immutable, pure.

    By number, as the guide has it, trials below 20 get `first_fraction`, trials below 50 twice
    that, later ones all data. Adaptive, the first trials get all data, as many of them as the
    harmonic mean of `first_fraction` and 1 is of all (a third at 0.2, two thirds at 0.5): without
    values on all data a sampler learns what is good on a part, and a search that began so hardly
    comes back from it. Each later trial begins on `first_fraction`, and a promising one is
    evaluated again on all: one step of asynchronous successive halving, with a bound on how many
    take it. A step between would cost each of them an evaluation more.

    A value on a part of the data must never count as the study's best.

    Args:
        first_fraction: of the rows, above 0 and at most 1.
        adaptive: promising trials earn more, instead of late ones.

    Raises:
        EfficiencyError: a fraction out of range.

    Example:
        >>> guide = Subsampling(0.3, adaptive=False)
        >>> [guide.fraction(number) for number in (0, 19, 20, 49, 50)]
        [0.3, 0.3, 0.6, 0.6, 1.0]
        >>> [Subsampling(0.2).fraction(number, 60) for number in (0, 19, 20, 59)]
        [1.0, 1.0, 0.2, 0.2]
    """

    first_fraction: float = 0.3
    adaptive: bool = True

    def __post_init__(self) -> None:
        _check_fraction(self.first_fraction)

    def fraction(
        self, number: int, n_trials: int | None = None, *, promising: bool = False
    ) -> float:
        """How much of the data the trial of this number gets at first; 1.0 is all.

        Of so many trials: `n_trials`, or the guide's 100 where nobody said. A promising one (a
        point of a warm start, say) gets all data at once.
        """
        if promising or (not self.adaptive and number >= EARLY_TRIALS):
            return 1.0
        first = float(self.first_fraction)
        if self.adaptive:
            return 1.0 if number < self._whole(n_trials or TRIALS) else first
        return first if number < FIRST_TRIALS else min(2.0 * first, 1.0)

    def _whole(self, n_trials: int) -> int:
        """How many trials get all data because they are the first."""
        first = float(self.first_fraction)
        return round(2.0 * first / (1.0 + first) * n_trials)

    def is_promising(
        self, value: float, others: Sequence[float], direction: str, earned: int = 0
    ) -> bool:
        """Whether a value earns all data, given the values of other trials on the same part.

        It does while fewer than a tenth of the last 30 values, itself included, are better, and
        fewer than a tenth of all have earned them. The first one does. NaN never does, and is
        worse than any number. Cost: constant.

        Args:
            value: of the trial, on its part of the data.
            others: those of the other trials on the same part, in the order of their ends.
            direction: "minimize" or "maximize".
            earned: how many of the others earned all data.

        Raises:
            EfficiencyError: another direction.
        """
        sign = sign_of(direction)
        if math.isnan(value):
            return False
        if earned >= max(1.0, PROMISING_RATIO * (len(others) + 1)):
            return False
        recent = others[-RECENT_TRIALS:]
        better = sum(1 for other in recent if sign * other > sign * value)
        return better < max(1.0, PROMISING_RATIO * (len(recent) + 1))


def rows(n: int, fraction: float) -> slice:
    """The first rows, as many as the fraction of n asks for, rounded up; at least one if any.

    The block is contiguous, begins with the oldest row, and is the same for equal arguments; the
    block of a smaller fraction lies within that of a larger one. For a time series, the first
    block is the one without leaks: what a strategy computes at a row from the rows before it is
    the same in the block as in the whole, and which trials earn more data is decided on rows that
    lie before those that they earn. The most recent block would cut off every look-back at its
    start, and choose trials by the very rows that the final value ends with. Data without an order
    in time should be shuffled once, before the study.

    Args:
        n: rows there are.
        fraction: above 0 and at most 1.

    Raises:
        EfficiencyError: a negative n or a fraction out of range.

    Example:
        >>> rows(10, 0.3), rows(3, 0.01), rows(10, 1.0)
        (slice(0, 3, None), slice(0, 1, None), slice(0, 10, None))
    """
    _check_fraction(fraction)
    if n < 0:
        raise EfficiencyError(f"found {n} rows, expected at least 0")
    # 0.07 x 100 is 7.000000000000001 in floats, and means 7 rows.
    return slice(0, min(n, math.ceil(n * fraction - 1e-9 * n) or min(n, 1)))


def part(data: Mapping[str, Any], fraction: float) -> Mapping[str, Any]:
    """The data of a trial: the block `rows` of everything that has as many rows as the data.

    The data have as many rows as their longest array, frame, series or table has. Whatever has
    that many, is cut, along its first axis; also lists and tuples, and what lies in a dict. The
    rest is passed on as it is: test sets, settings, names of columns. Row numbers that point into
    the data are not understood: keep dates or a mask instead, or look at the length first.

    Arrays, frames and tables are views; lists and tuples are copied. Cost: constant for each item
    otherwise. At 1.0, `data` itself is returned.

    Args:
        data: name -> numpy array, pandas frame or series, Arrow table or array, or anything else.
        fraction: above 0 and at most 1.

    Raises:
        EfficiencyError: a fraction out of range.
    """
    _check_fraction(fraction)
    if fraction == 1.0:
        return data
    n = max(_lengths(data), default=0)
    block = rows(n, fraction)
    return {name: _cut(item, n, block) for name, item in data.items()}


def step_of(fraction: float) -> int:
    """The step at which a trial that was only seen on a part reports its value: per cent."""
    return round(100 * fraction)


def sign_of(direction: str) -> int:
    """1 where larger is better, -1 where smaller is.

    Raises:
        EfficiencyError: neither "minimize" nor "maximize".
    """
    if direction not in ("minimize", "maximize"):
        raise EfficiencyError(f"direction is {direction!a:.80}; pass 'minimize' or 'maximize'")
    return 1 if direction == "maximize" else -1


def _check_fraction(fraction: float) -> None:
    if not 0.0 < fraction <= 1.0:
        raise EfficiencyError(
            f"found {fraction!a:.80} as fraction of the data, expected above 0 and at most 1"
        )


def _lengths(data: Mapping[str, Any]) -> list[int]:
    found = []
    for item in data.values():
        inner = list(item.values()) if isinstance(item, Mapping) else item
        found += [_array_rows(one) for one in (inner if _is_list(inner) else [inner])]
    return found


def _array_rows(item: Any) -> int:
    """Rows of an array, frame or table; 0 for everything else."""
    try:  # whatever a foreign class calls shape or num_rows
        shape = getattr(item, "shape", ())
        length = shape[0] if shape else getattr(item, "num_rows", 0) or _arrow_length(item)
        return int(length)
    except (TypeError, ValueError, IndexError):
        return 0


def _arrow_length(item: Any) -> int:
    """Arrow arrays have neither a shape nor a number of rows."""
    ours = type(item).__module__.partition(".")[0] == "pyarrow" and hasattr(item, "slice")
    return len(item) if ours else 0


def _cut(item: Any, n: int, block: slice) -> Any:
    if isinstance(item, Mapping):
        return {name: _cut(one, n, block) for name, one in item.items()}
    if _is_list(item) and len(item) != n:
        cut = [_cut(one, n, block) for one in item]
        if all(one is other for one, other in zip(cut, item, strict=True)):
            return item
        return cut if isinstance(item, list) else _tuple_like(item, cut)
    if _is_list(item):
        return item[block]
    if _array_rows(item) != n or n == 0:
        return item
    if hasattr(item, "iloc"):
        return item.iloc[block]
    if hasattr(item, "num_rows") or _arrow_length(item):
        return item.slice(block.start, block.stop)
    return item[block]


def _is_list(item: Any) -> bool:
    return isinstance(item, (list, tuple))


def _tuple_like(item: tuple[Any, ...], cut: list[Any]) -> Any:
    make = getattr(type(item), "_make", type(item))  # a named tuple takes its fields one by one
    return make(cut)
