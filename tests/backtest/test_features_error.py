"""No rounding is left behind: the errors of features stay within the bounds that they promise.

The oracle follows the definitions in exact fractions; only its roots are rounded, to 60 digits.
"""

from __future__ import annotations

import itertools
import math
import os
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.backtest.features import (
    atr,
    ewma,
    momentum,
    rolling_mean,
    rsi,
    volatility,
    zscore,
)

JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")

U = Fraction(1, 2**53)
Exact = list[Fraction]


def exact(values: Any) -> Exact:
    return [Fraction(float(value)) for value in values]


def root(value: Fraction) -> Fraction:
    with localcontext() as context:
        context.prec = 60
        digits = Decimal(value.numerator) / Decimal(value.denominator)
        return Fraction(digits.sqrt())


def mean_of(window: Exact) -> Fraction:
    return sum(window, Fraction(0)) / len(window)


def deviation_of(window: Exact) -> Fraction:
    mean = mean_of(window)
    squares = sum(((one - mean) ** 2 for one in window), Fraction(0))
    return root(squares / (len(window) - 1))


def error_of(comp: float, ref: Fraction) -> Fraction:
    return abs(Fraction(float(comp)) - ref)


@st.composite
def series(draw: st.DrawFn, prices: bool = False) -> list[float]:
    """Values of which some are much larger than others, or much closer to each other."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(3, 40))
    kind = draw(st.sampled_from(["walk", "spikes", "far", "steps"]))
    values = 100.0 + rng.normal(0.0, 1.0, n).cumsum()
    if kind == "spikes":
        values = np.where(rng.random(n) < 0.2, 1e12, 1.0) * (1.0 + rng.random(n))
    elif kind == "far":
        values = 1e9 + rng.random(n) * 1e-3
    elif kind == "steps":
        values = rng.choice([0.1, 0.3, 700.0], n)
    found: list[float] = (np.abs(values) if prices else values).tolist()
    return found


WINDOW = st.integers(2, 12)
_quick = settings(max_examples=60, deadline=None)


@_quick
@given(series(), WINDOW)
def test_rolling_mean_stays_within_its_bound(values: list[float], window: int) -> None:
    comp, fractions = rolling_mean(values, window), exact(values)
    for at in range(window - 1, len(values)):
        seen = fractions[at + 1 - window : at + 1]
        ref = mean_of(seen)
        bound = U * abs(ref) + (window + 3) * U * (max(seen) - min(seen))
        assert error_of(comp[at], ref) <= bound


@_quick
@given(series(), WINDOW)
def test_zscore_stays_within_its_bound(values: list[float], window: int) -> None:
    comp, fractions = zscore(values, window), exact(values)
    bound = 4 * root(Fraction(window + 2)) * (window + 2) ** 2 * U
    for at in range(window - 1, len(values)):
        seen = fractions[at + 1 - window : at + 1]
        deviation = deviation_of(seen)
        if deviation == 0:
            assert math.isnan(comp[at])
        else:
            assert error_of(comp[at], (fractions[at] - mean_of(seen)) / deviation) <= bound


@_quick
@given(series(prices=True), WINDOW)
def test_volatility_stays_within_its_bound(values: list[float], window: int) -> None:
    comp, fractions = volatility(values, window), exact(values)
    returns = [(two - one) / one for one, two in itertools.pairwise(fractions)]
    for at in range(window, len(values)):
        seen = returns[at - window : at]
        ref = deviation_of(seen)
        bound = (2 * window**2 + 8 * window) * U * ref + 3 * U * max(map(abs, seen))
        assert error_of(comp[at], ref) <= bound


@_quick
@given(series(prices=True), WINDOW)
def test_momentum_stays_within_its_bound(values: list[float], window: int) -> None:
    comp, fractions = momentum(values, window), exact(values)
    for at in range(window, len(values)):
        ref = (fractions[at] - fractions[at - window]) / fractions[at - window]
        assert error_of(comp[at], ref) <= 3 * U * abs(ref)


@_quick
@given(series(), WINDOW)
def test_ewma_stays_within_its_bound(values: list[float], span: int) -> None:
    comp, fractions = ewma(values, span), exact(values)
    mean, largest = fractions[0], Fraction(0)
    for at, value in enumerate(fractions):
        mean += (value - mean) * Fraction(2, span + 1)
        largest = max(largest, abs(value))
        if at >= span - 1:
            assert error_of(comp[at], mean) <= (span + 8) * U * largest


def wilder(values: Exact, period: int) -> Exact:
    """The mean of the first `period` values, and what smoothing makes of it from there on."""
    means = [mean_of(values[:period])]
    for value in values[period:]:
        means.append(means[-1] + (value - means[-1]) / period)
    return means


@_quick
@given(series(), WINDOW)
def test_rsi_stays_within_its_bound(values: list[float], period: int) -> None:
    comp, fractions = rsi(values, period), exact(values)
    changes = [two - one for one, two in itertools.pairwise(fractions)]
    if len(changes) < period:
        return
    gains = wilder([max(change, Fraction(0)) for change in changes], period)
    losses = wilder([max(-change, Fraction(0)) for change in changes], period)
    for at, (gain, loss) in enumerate(zip(gains, losses, strict=True), start=period):
        if gain + loss == 0:
            assert comp[at] == 50.0
            continue
        largest = max(map(abs, changes[:at]))
        bound = 100 * (period + 8) * U * largest / (gain + loss)
        assert error_of(comp[at], 100 * gain / (gain + loss)) <= bound


@_quick
@given(series(), WINDOW)
def test_atr_stays_within_its_bound(close: list[float], period: int) -> None:
    rng = np.random.default_rng(len(close))
    spread = np.abs(close) * 0.01
    high, low = close + spread * rng.random(len(close)), close - spread * rng.random(len(close))
    comp = atr(high, low, close, period)
    highs, lows, closes = exact(high), exact(low), exact(close)
    ranges = [highs[0] - lows[0]]
    for at in range(1, len(close)):
        last = closes[at - 1]
        ranges.append(max(highs[at], last) - min(lows[at], last))
    if len(ranges) < period:
        return
    for at, ref in enumerate(wilder(ranges, period), start=period - 1):
        bound = (period + 8) * U * max(ranges[: at + 1])
        assert error_of(comp[at], ref) <= bound


@pytest.mark.skipif(JIT_OFF, reason="takes minutes uncompiled")
def test_a_million_bars_leave_nothing_behind() -> None:
    """What a running sum would drift by after a spike is still there at the end; here nothing is.

    A sum to which values are added, and from which they are taken away, keeps the rounding of the
    spike for ever.
    """
    rng = np.random.default_rng(5)
    values = rng.random(1_000_000) + 1.0
    values[100_000::200_000] = 1e16
    ends = range(len(values) - 5, len(values))
    window = 50
    mean, score = rolling_mean(values, window), zscore(values, window)
    for at in ends:
        seen = exact(values[at + 1 - window : at + 1])
        ref = mean_of(seen)
        assert error_of(mean[at], ref) <= U * ref + (window + 3) * U
        deviation = deviation_of(seen)
        bound = 4 * root(Fraction(window + 2)) * (window + 2) ** 2 * U
        assert error_of(score[at], (Fraction(float(values[at])) - ref) / deviation) <= bound
    running = values[:window].sum() + np.cumsum(values[window:] - values[:-window])[-1]
    drifted = abs(running - math.fsum(values[-window:])) / window
    assert drifted > 1e-3  # the naive sum fails the bound by far, so this workload can tell


@pytest.mark.parametrize("window", [20, 252])
def test_long_windows_of_real_sizes_are_far_better_than_the_bound(window: int) -> None:
    rng = np.random.default_rng(9)
    values = 100.0 * np.exp(rng.normal(0.0, 0.01, 2_000).cumsum())
    comp, score = volatility(values, window), zscore(values, window)
    fractions = exact(values)
    for at in (window, window + 1, 1_000, 1_999):
        seen = fractions[at - window : at + 1]
        returns = [(two - one) / one for one, two in itertools.pairwise(seen)]
        ref = deviation_of(returns)
        assert error_of(comp[at], ref) <= Fraction(1, 10**13) * ref
        ref = (seen[-1] - mean_of(seen[1:])) / deviation_of(seen[1:])
        assert error_of(score[at], ref) <= Fraction(1, 10**12)
