"""Compiled kernels of the smoothed features; arguments and rules as in `_feature_kernels`.

The first lane is how many values were seen, at most `bars`.
"""

# mypy: disable-error-code="untyped-decorator"
# numba ships no types, so its decorators are untyped.

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from optimizer._compiled import compiled as _compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BARS = 0  # in `place`
ROWS = 32  # at once

# Into the Python of its callers, or it would be compiled alone and again in each of them.
_inline = numba.njit(error_model="numpy", inline="always")


@_inline
def _steady(values: Floats, t: int, lanes: Floats, bars: float) -> bool:
    """Whether all columns have seen enough, and have a value in the row."""
    lacking = 0
    for a in range(lanes.shape[1]):
        lacking += lanes[0, a] < bars or values[t, a] != values[t, a]
    return lacking == 0


@_inline
def _moved(mean: float, value: float, step: float) -> float:
    return mean + (value - mean) * step


@_inline
def _smooth(
    values: Floats, begin: int, stop: int, lanes: Floats, weight: float, out: Floats
) -> bool:
    """Rows without NaN, once enough were seen; with one, False, and lanes are as they were.

    The mean before a row is in the row before, where a NaN would stay to the end. Two rows at once
    are as many as eight tests of overlap allow.
    """
    n_assets = lanes.shape[1]
    for a in range(n_assets):
        out[begin, a] = _moved(lanes[1, a], values[begin, a], weight)
    paired = stop - (stop - begin - 1) // 2 * 2
    for t in range(begin + 1, paired):
        for a in range(n_assets):
            out[t, a] = _moved(out[t - 1, a], values[t, a], weight)
    for t in range(paired, stop, 2):
        for a in range(n_assets):
            mean = _moved(out[t - 1, a], values[t, a], weight)
            out[t, a] = mean
            out[t + 1, a] = _moved(mean, values[t + 1, a], weight)
    unknown = 0
    for a in range(n_assets):
        unknown += out[stop - 1, a] != out[stop - 1, a]
    if unknown > 0:
        return False
    for a in range(n_assets):
        lanes[1, a] = out[stop - 1, a]
    return True


@_compiled
def ewma(values: Floats, lanes: Floats, kept: Floats, place: Ints, out: Floats) -> None:
    """The exponentially weighted mean of weight 2 / (bars + 1); lanes are seen and mean."""
    n, n_assets = values.shape
    bars = float(place[BARS])
    weight = 2.0 / (bars + 1.0)
    for begin in range(0, n, ROWS):
        stop = min(begin + ROWS, n)
        if _steady(values, begin, lanes, bars) and _smooth(values, begin, stop, lanes, weight, out):
            continue
        for t in range(begin, stop):
            for a in range(n_assets):
                value, seen, mean = values[t, a], lanes[0, a], lanes[1, a]
                known = value == value
                moved = _moved(mean, value, weight if seen > 0.0 else 1.0)
                mean = moved if known else mean
                seen = seen + 1.0 if known and seen < bars else seen
                lanes[0, a] = seen
                lanes[1, a] = mean
                out[t, a] = mean if known and seen >= bars else np.nan


@_compiled
def rsi(values: Floats, lanes: Floats, kept: Floats, place: Ints, out: Floats) -> None:
    """Wilder's relative strength index; lanes are seen, gain, loss and the last value."""
    n, n_assets = values.shape
    bars = float(place[BARS])
    for t in range(n):
        for a in range(n_assets):
            value, last = values[t, a], lanes[3, a]
            seen, gain, loss = lanes[0, a], lanes[1, a], lanes[2, a]
            change = value - last
            known = change == change
            seen = seen + 1.0 if known and seen < bars else seen
            step = 1.0 / seen
            up = change if change > 0.0 else 0.0
            down = -change if change < 0.0 else 0.0
            rise = gain + (up - gain) * step
            fall = loss + (down - loss) * step
            gain = rise if known else gain
            loss = fall if known else loss
            lanes[0, a] = seen
            lanes[1, a] = gain
            lanes[2, a] = loss
            lanes[3, a] = value if value == value else last
            both = gain + loss
            index = 100.0 * gain / both if both > 0.0 else 50.0
            out[t, a] = index if known and seen >= bars else np.nan


@_compiled
def atr(
    high: Floats, low: Floats, close: Floats, lanes: Floats, kept: Floats, place: Ints, out: Floats
) -> None:
    """Wilder's average true range; lanes are seen, mean and the last close."""
    n, n_assets = close.shape
    bars = float(place[BARS])
    for t in range(n):
        for a in range(n_assets):
            widest = high[t, a] - low[t, a]
            rise = abs(high[t, a] - lanes[2, a])
            fall = abs(low[t, a] - lanes[2, a])
            widest = rise if rise > widest else widest
            widest = fall if fall > widest else widest
            out[t, a] = widest if close[t, a] == close[t, a] else np.nan
        for a in range(n_assets):
            widest, last, seen, mean = out[t, a], lanes[2, a], lanes[0, a], lanes[1, a]
            known = widest == widest
            seen = seen + 1.0 if known and seen < bars else seen
            moved = mean + (widest - mean) * (1.0 / seen)
            mean = moved if known else mean
            lanes[0, a] = seen
            lanes[1, a] = mean
            lanes[2, a] = close[t, a] if known else last
            out[t, a] = mean if known and seen >= bars else np.nan
