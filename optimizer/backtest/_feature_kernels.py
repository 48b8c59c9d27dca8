"""Compiled kernels of the features: arrays in, arrays out, nothing validated by raising.

Each does the arithmetic of its plain twin in `optimizer.reference.features`, operation for
operation, so no `fastmath`. A kernel and all it calls stay in this one file, because numba's disk
cache notices changes to this file only.

All take rows of a (T, N) matrix, go on from the state they left, and have the same arguments:

    values   (n, N) the rows to add; three such matrices for the average true range
    lanes    (k, N) a row for each number that is kept of a column
    kept     (r, N) rows that are kept
    place    (2,)   how many bars the feature looks at, and where in its block it stands
    out      (n, N) filled

Rows are short, so what is done once a row counts: no views of rows, and few arrays in a loop over
the columns, since the compiled loop first tests that no two of them overlap.
"""

# mypy: disable-error-code="untyped-decorator"
# numba ships no types, so its decorators are untyped.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BARS, AT = 0, 1  # in `place`

_inline = numba.njit(error_model="numpy", forceinline=True)


def _compiled(function: Callable[..., Any]) -> Any:
    """Compiled when first called; kept on disk where a folder for it can be written to."""
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return numba.njit(**options)(function)


@_compiled
def first_below(high: Floats, low: Floats) -> int:
    """Where, counted along the rows, a high is below its low; -1 if nowhere."""
    highs, lows = high.reshape(-1), low.reshape(-1)
    below = 0
    for i in range(highs.size):
        below += highs[i] < lows[i]
    if below == 0:
        return -1
    for i in range(highs.size):
        if highs[i] < lows[i]:
            return i
    return -1


@_compiled
def first_refused(values: Floats, above: float) -> int:
    """Where, counted along the rows, a value is infinite or not above `above`; -1 if nowhere."""
    flat = values.reshape(-1)
    refused = 0
    for i in range(flat.size):
        refused += abs(flat[i]) == np.inf or flat[i] <= above
    if refused == 0:
        return -1
    for i in range(flat.size):
        if abs(flat[i]) == np.inf or flat[i] <= above:
            return i
    return -1


# --- sums of windows
#
# Lanes are base, total and squares, kept rows the sums of the ends of the last block, then those of
# their squares. The sums of an end are needed until the block that is being filled reaches its
# place; from then on the place holds the value that came there.


@_inline
def _fill(lanes: Floats, kept: Floats, bars: int) -> None:
    """Turn the full block into the sums of its ends, about its last value."""
    n_assets = lanes.shape[1]
    for a in range(n_assets):
        lanes[0, a] = kept[bars - 1, a]
        lanes[1, a] = 0.0
        kept[bars - 1, a] = 0.0
    for j in range(bars - 2, -1, -1):
        for a in range(n_assets):
            kept[j, a] = kept[j + 1, a] + (kept[j, a] - lanes[0, a])


@_inline
def _fill_squares(lanes: Floats, kept: Floats, bars: int) -> None:
    """The same of the squares, before `_fill` writes over the values."""
    n_assets = lanes.shape[1]
    for a in range(n_assets):
        lanes[0, a] = kept[bars - 1, a]
        lanes[2, a] = 0.0
        kept[2 * bars - 1, a] = 0.0
    for j in range(bars - 2, -1, -1):
        for a in range(n_assets):
            offset = kept[j, a] - lanes[0, a]
            kept[bars + j, a] = kept[bars + j + 1, a] + offset * offset


@_compiled
def rolling_mean(values: Floats, lanes: Floats, kept: Floats, place: Ints, out: Floats) -> None:
    """The mean of the last `bars` values."""
    n, n_assets = values.shape
    bars = place[BARS]
    at = place[AT]
    scale = 1.0 / bars
    for t in range(n):
        for a in range(n_assets):
            kept[at, a] = values[t, a]
        at += 1
        if at < bars:
            for a in range(n_assets):
                total = lanes[1, a] + (values[t, a] - lanes[0, a])
                lanes[1, a] = total
                out[t, a] = lanes[0, a] + (total + kept[at, a]) * scale
        else:
            at = 0
            _fill(lanes, kept, bars)
            for a in range(n_assets):
                out[t, a] = lanes[0, a] + kept[0, a] * scale
    place[AT] = at


@_inline
def _spread(total: float, squares: float, scale: float) -> float:
    spread = squares - total * total * scale
    return 0.0 if spread < 0.0 else spread


@_inline
def _add_row(
    lanes: Floats, kept: Floats, at: int, bars: int, scale: float, out: Floats, t: int
) -> int:
    """Count in the row that was kept at `at`; the spread of the window goes to row `t` of out."""
    n_assets = lanes.shape[1]
    if at + 1 < bars:
        for a in range(n_assets):
            offset = kept[at, a] - lanes[0, a]
            lanes[1, a] += offset
            lanes[2, a] += offset * offset
        at += 1
        for a in range(n_assets):
            total = lanes[1, a] + kept[at, a]
            out[t, a] = _spread(total, lanes[2, a] + kept[bars + at, a], scale)
        return at
    _fill_squares(lanes, kept, bars)
    _fill(lanes, kept, bars)
    for a in range(n_assets):
        out[t, a] = _spread(kept[0, a], kept[bars, a], scale)
    return 0


@_inline
def _score(above: float, deviation: float) -> float:
    score = above / deviation
    # Also where squares underflowed, and the quotient is infinite.
    return score if deviation != 0.0 else np.nan


@_compiled
def zscore(values: Floats, lanes: Floats, kept: Floats, place: Ints, out: Floats) -> None:
    """The distance from the mean of the last `bars` values, in standard deviations."""
    n, n_assets = values.shape
    bars = place[BARS]
    at = place[AT]
    scale = 1.0 / bars
    freedom = 1.0 / (bars - 1)
    for t in range(n):
        for a in range(n_assets):
            kept[at, a] = values[t, a]
        at = _add_row(lanes, kept, at, bars, scale, out, t)
        # In a full block the total is 0, and the sums of its longest end are those of the window.
        for a in range(n_assets):
            above = (values[t, a] - lanes[0, a]) - (lanes[1, a] + kept[at, a]) * scale
            out[t, a] = _score(above, np.sqrt(out[t, a] * freedom))
    place[AT] = at


@_compiled
def volatility(values: Floats, lanes: Floats, kept: Floats, place: Ints, out: Floats) -> None:
    """The standard deviation of the last `bars` returns; the fourth lane is the last value."""
    n, n_assets = values.shape
    bars = place[BARS]
    at = place[AT]
    scale = 1.0 / bars
    freedom = 1.0 / (bars - 1)
    for t in range(n):
        for a in range(n_assets):
            kept[at, a] = (values[t, a] - lanes[3, a]) / lanes[3, a]
            lanes[3, a] = values[t, a]
        at = _add_row(lanes, kept, at, bars, scale, out, t)
    place[AT] = at
    flat = out.reshape(-1)
    for i in range(flat.size):
        flat[i] = np.sqrt(flat[i] * freedom)


@_compiled
def momentum(values: Floats, lanes: Floats, kept: Floats, place: Ints, out: Floats) -> None:
    """The return over the last `bars` bars; kept are the last values, the oldest at `at`."""
    n, n_assets = values.shape
    bars = place[BARS]
    at = place[AT]
    for t in range(n):
        if t >= bars:
            for a in range(n_assets):
                out[t, a] = (values[t, a] - values[t - bars, a]) / values[t - bars, a]
        else:
            slot = (at + t) % bars
            for a in range(n_assets):
                out[t, a] = (values[t, a] - kept[slot, a]) / kept[slot, a]
    for t in range(max(n - bars, 0), n):
        slot = (at + t) % bars
        for a in range(n_assets):
            kept[slot, a] = values[t, a]
    place[AT] = (at + n) % bars


# --- smoothed values: the first lane is how many were seen, at most `bars`


@_compiled
def ewma(values: Floats, lanes: Floats, kept: Floats, place: Ints, out: Floats) -> None:
    """The exponentially weighted mean of weight 2 / (bars + 1); lanes are seen and mean."""
    n, n_assets = values.shape
    bars = float(place[BARS])
    weight = 2.0 / (bars + 1.0)
    for t in range(n):
        for a in range(n_assets):
            value, seen, mean = values[t, a], lanes[0, a], lanes[1, a]
            known = value == value
            step = weight if seen > 0.0 else 1.0
            moved = mean + (value - mean) * step
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
