"""The plain twins of the features: one series, one bar after the other.

`optimizer.backtest.features` states the definitions. Each class here takes the bars of one series
by `push`, which returns the feature at that bar, and does the arithmetic of the compiled kernel in
the same order, so both give the same bits; it validates nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

NAN = math.nan


class _WindowSums:
    """Sums over the last `window` values about one of them; nothing is ever taken away again.

    Bars are cut into blocks of `window`. A window that ends in the middle of a block is the end of
    the block before it and the beginning of its own. The sums of all ends are made once, when a
    block is full; those of the beginnings grow by one value a bar. All are taken about `base`, the
    last value of the full block: a value of the window, so no difference is larger than its range.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.base = NAN  # so that what comes before the first full block is NaN
        self.total = 0.0
        self.squares = 0.0
        self.block: list[float] = []  # the values of the block that is being filled
        self.totals = [0.0] * window  # [j]: of the full block's values from j on
        self.all_squares = [0.0] * window

    def push(self, value: float) -> tuple[float, float, float]:
        """The base, the sum and the sum of squares of the window's values minus the base."""
        self.block.append(value)
        at = len(self.block)
        if at == self.window:
            self.fill(value)
            return self.base, self.totals[0], self.all_squares[0]
        offset = value - self.base
        self.total += offset
        self.squares += offset * offset
        return self.base, self.total + self.totals[at], self.squares + self.all_squares[at]

    def fill(self, base: float) -> None:
        """Turn the full block into the sums of its ends, about its last value."""
        total = 0.0
        squares = 0.0
        for j in range(self.window - 2, -1, -1):
            offset = self.block[j] - base
            total += offset
            squares += offset * offset
            self.totals[j] = total
            self.all_squares[j] = squares
        # The end that is the last value alone: 0 about itself, NaN if it is NaN.
        self.totals[-1] = self.all_squares[-1] = 0.0
        self.base = base
        self.total = self.squares = 0.0
        self.block.clear()


class RollingMean:
    """Mean of the last `window` values."""

    def __init__(self, window: int) -> None:
        self.sums = _WindowSums(window)
        self.scale = 1.0 / window

    def push(self, value: float) -> float:
        base, total, _ = self.sums.push(value)
        return base + total * self.scale


class _Deviation:
    """Sums of a window, and the sample standard deviation that follows from them."""

    def __init__(self, window: int) -> None:
        self.sums = _WindowSums(window)
        self.scale = 1.0 / window
        self.freedom = 1.0 / (window - 1)

    def push(self, value: float) -> tuple[float, float, float]:
        """The base, the sum about it, and the deviation."""
        base, total, squares = self.sums.push(value)
        spread = squares - total * total * self.scale
        if spread < 0.0:
            spread = 0.0
        return base, total, math.sqrt(spread * self.freedom)


class ZScore:
    """Distance of a value from the mean of its window, in its standard deviations."""

    def __init__(self, window: int) -> None:
        self.deviation = _Deviation(window)

    def push(self, value: float) -> float:
        base, total, deviation = self.deviation.push(value)
        above = (value - base) - total * self.deviation.scale
        return above / deviation if deviation != 0.0 else NAN


class Volatility:
    """Sample standard deviation of the last `window` returns."""

    def __init__(self, window: int) -> None:
        self.deviation = _Deviation(window)
        self.last = NAN

    def push(self, value: float) -> float:
        change = (value - self.last) / self.last
        self.last = value
        return self.deviation.push(change)[2]


class Momentum:
    """Return over the last `window` bars."""

    def __init__(self, window: int) -> None:
        self.past = [NAN] * window
        self.at = 0

    def push(self, value: float) -> float:
        past = self.past[self.at]
        self.past[self.at] = value
        self.at = (self.at + 1) % len(self.past)
        return (value - past) / past


class Ewma:
    """Exponentially weighted mean, begun at the first value."""

    def __init__(self, span: int) -> None:
        self.span = span
        self.weight = 2.0 / (span + 1.0)
        self.seen = 0
        self.mean = 0.0

    def push(self, value: float) -> float:
        if value != value:
            return NAN
        step = 1.0 if self.seen == 0 else self.weight
        self.mean += (value - self.mean) * step
        self.seen += 1
        return self.mean if self.seen >= self.span else NAN


class _WilderMean:
    """Mean of the first `period` values, then smoothed with a weight of 1 / `period`."""

    def __init__(self, period: int) -> None:
        self.period = period
        self.seen = 0
        self.mean = 0.0

    def push(self, value: float) -> None:
        if self.seen < self.period:
            self.seen += 1
        step = 1.0 / self.seen
        self.mean += (value - self.mean) * step


class Rsi:
    """Wilder's relative strength index."""

    def __init__(self, period: int) -> None:
        self.gain = _WilderMean(period)
        self.loss = _WilderMean(period)
        self.last = NAN

    def push(self, value: float) -> float:
        change = value - self.last
        if value == value:
            self.last = value
        if change != change:
            return NAN
        self.gain.push(change if change > 0.0 else 0.0)
        self.loss.push(-change if change < 0.0 else 0.0)
        if self.gain.seen < self.gain.period:
            return NAN
        both = self.gain.mean + self.loss.mean
        return 100.0 * self.gain.mean / both if both > 0.0 else 50.0


class Atr:
    """Wilder's average true range."""

    def __init__(self, period: int) -> None:
        self.mean = _WilderMean(period)
        self.last = NAN

    def push(self, high: float, low: float, close: float) -> float:
        if high != high or low != low or close != close:
            return NAN
        true_range = high - low
        rise, fall = abs(high - self.last), abs(low - self.last)
        if rise > true_range:
            true_range = rise
        if fall > true_range:
            true_range = fall
        self.last = close
        self.mean.push(true_range)
        return self.mean.mean if self.mean.seen >= self.mean.period else NAN


def rolling_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of the last `window` values, at each bar. Cost: constant a bar."""
    mean = RollingMean(window)
    return [mean.push(value) for value in values]


def zscore(values: Sequence[float], window: int) -> list[float]:
    """The distance from the mean of the last `window` values, in standard deviations."""
    score = ZScore(window)
    return [score.push(value) for value in values]


def volatility(values: Sequence[float], window: int) -> list[float]:
    """The standard deviation of the last `window` returns, at each bar."""
    deviation = Volatility(window)
    return [deviation.push(value) for value in values]


def momentum(values: Sequence[float], window: int) -> list[float]:
    """The return over the last `window` bars, at each bar."""
    change = Momentum(window)
    return [change.push(value) for value in values]


def ewma(values: Sequence[float], span: int) -> list[float]:
    """The exponentially weighted mean of weight 2 / (span + 1), at each bar."""
    mean = Ewma(span)
    return [mean.push(value) for value in values]


def rsi(values: Sequence[float], period: int) -> list[float]:
    """The relative strength index, at each bar."""
    index = Rsi(period)
    return [index.push(value) for value in values]


def atr(
    high: Sequence[float], low: Sequence[float], close: Sequence[float], period: int
) -> list[float]:
    """The average true range, at each bar."""
    mean = Atr(period)
    bars = zip(high, low, close, strict=True)
    return [mean.push(*bar) for bar in bars]
