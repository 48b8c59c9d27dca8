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

Rows are short, so what is done once a row counts, and columns that are left over beside whole
vectors do. So:

- what does not follow from the row before is done for some rows at once, which lie one behind the
  other: above all divisions and roots;
- no views of rows;
- few rows in a loop over the columns. The compiled loop first tests that none that is written
  overlaps another, and where that takes more than eight tests there is no vector loop at all.
"""

# mypy: disable-error-code="untyped-decorator"
# numba ships no types, so its decorators are untyped.

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from optimizer._compiled import compiled as _compiled
from optimizer.backtest._smoothed_kernels import atr, ewma, rsi

__all__ = [  # looked up by name: the smoothed ones here too
    "atr",
    "ewma",
    "first_below",
    "first_refused",
    "momentum",
    "rolling_mean",
    "rsi",
    "volatility",
    "zscore",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BARS, AT = 0, 1  # in `place`
ROWS = 32  # at once: what is made of them on the way stays in the nearest cache

# Into the Python of its callers, or it would be compiled alone and again in each of them.
_inline = numba.njit(error_model="numpy", inline="always")


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
def _fill(lanes: Floats, kept: Floats, bars: int, values: Floats, begin: int, at: int) -> None:
    """Turn the full block into the sums of its ends, about its last value.

    Its first `at` values were kept; the others are rows of `values` from `begin` on.
    """
    n_assets = lanes.shape[1]
    for a in range(n_assets):
        lanes[0, a] = values[begin + bars - 1 - at, a]
        lanes[1, a] = 0.0
        kept[bars - 1, a] = 0.0
    for j in range(bars - 2, at - 1, -1):
        for a in range(n_assets):
            kept[j, a] = kept[j + 1, a] + (values[begin + j - at, a] - lanes[0, a])
    for j in range(min(at, bars - 1) - 1, -1, -1):
        for a in range(n_assets):
            kept[j, a] = kept[j + 1, a] + (kept[j, a] - lanes[0, a])


@_inline
def _fill_squares(
    lanes: Floats, kept: Floats, bars: int, values: Floats, begin: int, at: int
) -> None:
    """The same of the squares, before `_fill` writes over the values."""
    n_assets = lanes.shape[1]
    for a in range(n_assets):
        lanes[0, a] = values[begin + bars - 1 - at, a]
        lanes[2, a] = 0.0
        kept[2 * bars - 1, a] = 0.0
    for j in range(bars - 2, at - 1, -1):
        for a in range(n_assets):
            offset = values[begin + j - at, a] - lanes[0, a]
            kept[bars + j, a] = kept[bars + j + 1, a] + offset * offset
    for j in range(min(at, bars - 1) - 1, -1, -1):
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
    t = 0
    while t < n:
        stop = min(n, t + bars - at)
        full = stop - t == bars - at
        for j in range(stop - t - full):
            for a in range(n_assets):
                total = lanes[1, a] + (values[t + j, a] - lanes[0, a])
                lanes[1, a] = total
                out[t + j, a] = lanes[0, a] + (total + kept[at + j + 1, a]) * scale
        if full:
            _fill(lanes, kept, bars, values, t, at)
            for a in range(n_assets):
                out[stop - 1, a] = lanes[0, a] + kept[0, a] * scale
            at = 0
        else:
            for j in range(stop - t):
                for a in range(n_assets):
                    kept[at + j, a] = values[t + j, a]
            at += stop - t
        t = stop
    place[AT] = at


@_inline
def _rows(flat: Floats, first: int, size: int) -> Floats:
    return flat[first : first + size]


@_inline
def _add_rows(
    values: Floats, begin: int, count: int, lanes: Floats, sums: Floats, out: Floats, t: int
) -> None:
    """Rows of `out` from t on become offsets from the base; sums, those up to each of them.

    Sums from the second row on; those of squares lie ROWS + 1 rows further down.
    """
    n_assets = lanes.shape[1]
    for j in range(count):
        for a in range(n_assets):
            out[t + j, a] = values[begin + j, a] - lanes[0, a]
    for a in range(n_assets):
        sums[0, a] = lanes[1, a]
        sums[ROWS + 1, a] = lanes[2, a]
    for j in range(count):
        for a in range(n_assets):
            offset = out[t + j, a]
            sums[j + 1, a] = sums[j, a] + offset
            sums[ROWS + 2 + j, a] = sums[ROWS + 1 + j, a] + offset * offset
    for a in range(n_assets):
        lanes[1, a] = sums[count, a]
        lanes[2, a] = sums[ROWS + 1 + count, a]


@_inline
def _deviation(total: float, squares: float, bars: int) -> float:
    spread = squares - total * total * (1.0 / bars)
    spread = 0.0 if spread < 0.0 else spread
    return float(np.sqrt(spread * (1.0 / (bars - 1))))


@_inline
def _score(above: float, deviation: float) -> float:
    score = above / deviation
    # Also where squares underflowed, and the quotient is infinite.
    return score if deviation != 0.0 else np.nan


@_inline
def _found(offset: float, total: float, squares: float, bars: int, scored: bool) -> float:
    """The standard deviation of a window, or the score of its last value."""
    deviation = _deviation(total, squares, bars)
    return _score(offset - total * (1.0 / bars), deviation) if scored else deviation


@_inline
def _add_windows(
    values: Floats,
    begin: int,
    count: int,
    lanes: Floats,
    kept: Floats,
    at: int,
    sums: Floats,
    out: Floats,
    t: int,
    flat: tuple[Floats, Floats, Floats, Floats],
    scored: bool,
) -> int:
    """Count in rows, at most to the end of the block, and fill as many of `out` from t on.

    `flat` are values, kept, sums and out as one row; to make that view takes longer than a row.
    """
    flat_values, flat_kept, flat_sums, flat_out = flat
    n_assets = lanes.shape[1]
    bars = kept.shape[0] // 2
    full = at + count == bars
    size = (count - full) * n_assets
    _add_rows(values, begin, count - full, lanes, sums, out, t)
    totals = _rows(flat_sums, n_assets, size)
    squares = _rows(flat_sums, (ROWS + 2) * n_assets, size)
    ends = _rows(flat_kept, (at + 1) * n_assets, size)
    square_ends = _rows(flat_kept, (bars + at + 1) * n_assets, size)
    found = _rows(flat_out, t * n_assets, size)
    for i in range(size):
        total = totals[i] + ends[i]
        found[i] = _found(found[i], total, squares[i] + square_ends[i], bars, scored)
    if not full:
        room = _rows(flat_kept, at * n_assets, size)
        new = _rows(flat_values, begin * n_assets, size)
        for i in range(size):
            room[i] = new[i]
        return at + count
    _fill_squares(lanes, kept, bars, values, begin, at)
    _fill(lanes, kept, bars, values, begin, at)
    for a in range(n_assets):
        offset = values[begin + count - 1, a] - lanes[0, a]
        out[t + count - 1, a] = _found(offset, kept[0, a], kept[bars, a], bars, scored)
    return 0


@_compiled
def zscore(values: Floats, lanes: Floats, kept: Floats, place: Ints, out: Floats) -> None:
    """The distance from the mean of the last `bars` values, in standard deviations."""
    n, n_assets = values.shape
    sums = np.empty((2 * ROWS + 2, n_assets))
    flat = values.reshape(-1), kept.reshape(-1), sums.reshape(-1), out.reshape(-1)
    at = place[AT]
    t = 0
    while t < n:
        count = min(n - t, place[BARS] - at, ROWS)
        at = _add_windows(values, t, count, lanes, kept, at, sums, out, t, flat, True)
        t += count
    place[AT] = at


@_inline
def _returns(new: Floats, past: Floats, out: Floats) -> None:
    for i in range(new.size):
        out[i] = (new[i] - past[i]) / past[i]


@_compiled
def volatility(values: Floats, lanes: Floats, kept: Floats, place: Ints, out: Floats) -> None:
    """The standard deviation of the last `bars` returns; the fourth lane is the last value."""
    n, n_assets = values.shape
    sums = np.empty((2 * ROWS + 2, n_assets))
    changes = np.empty((ROWS, n_assets))
    prices = values.reshape(-1)
    flat = changes.reshape(-1), kept.reshape(-1), sums.reshape(-1), out.reshape(-1)
    at = place[AT]
    t = 0
    while t < n:
        count = min(n - t, place[BARS] - at, ROWS)
        for a in range(n_assets):
            changes[0, a] = (values[t, a] - lanes[3, a]) / lanes[3, a]
            lanes[3, a] = values[t + count - 1, a]
        size = (count - 1) * n_assets
        past, new = _rows(prices, t * n_assets, size), _rows(prices, (t + 1) * n_assets, size)
        _returns(new, past, _rows(flat[0], n_assets, size))
        at = _add_windows(changes, 0, count, lanes, kept, at, sums, out, t, flat, False)
        t += count
    place[AT] = at


@_compiled
def momentum(values: Floats, lanes: Floats, kept: Floats, place: Ints, out: Floats) -> None:
    """The return over the last `bars` bars; kept are the last values, the oldest at `at`."""
    n, n_assets = values.shape
    bars = place[BARS]
    at = place[AT]
    for t in range(min(bars, n)):
        slot = (at + t) % bars
        for a in range(n_assets):
            out[t, a] = (values[t, a] - kept[slot, a]) / kept[slot, a]
    size = max(n - bars, 0) * n_assets
    flat, results, later = values.reshape(-1), out.reshape(-1), values.size - size
    _returns(_rows(flat, later, size), _rows(flat, 0, size), _rows(results, later, size))
    for t in range(max(n - bars, 0), n):
        slot = (at + t) % bars
        for a in range(n_assets):
            kept[slot, a] = values[t, a]
    place[AT] = (at + n) % bars
