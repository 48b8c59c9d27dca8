"""Compiled kernels of the sweep: one walks bar by bar, one jumps from event to event.

Both do the arithmetic of their plain twin, `optimizer.reference.sweep`, operation for operation;
only the drawdown of the second is put together from tables. So no `fastmath`. A kernel and all it
calls stay in this one file, because numba's disk cache notices changes to this file only.

Whether a rule holds at a bar is a bit; 64 bars are a word, and the next event is the lowest bit
set. Rows of bits are made when first needed and kept in slots, as many as there is memory for.
"""

# mypy: disable-error-code="untyped-decorator"
# numba ships no types, so its decorators are untyped.

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # ships no types
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from optimizer._compiled import compiled as _compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]
Words = NDArray[np.uint64]

ALL_BITS = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
ONE = np.uint64(1)
ZERO = np.uint64(0)
WORD = np.uint64(6)  # 2**6 bars
LEVELS = 8  # of the inner table of ranges; then two rows more
TO_BLOCK_START, TO_BLOCK_END = LEVELS, LEVELS + 1


class Features(NamedTuple):
    """Rows of features by bar: fast averages, slow averages, RSI."""

    fast: Floats
    slow: Floats
    strength: Floats


class Limits(NamedTuple):
    """The values of the thresholds."""

    entry: Floats
    exit: Floats


class Slots(NamedTuple):
    """Rows of bits kept by key: of n slots, a power of two, key k can only lie in k % n."""

    rows: Words
    keys: Ints


class BitSlots(NamedTuple):
    """Where the fast average is above the slow one, the RSI below an entry, above an exit."""

    rising: Slots
    calm: Slots
    hot: Slots


_inline = numba.njit(error_model="numpy", forceinline=True)
_called = numba.njit(error_model="numpy")


if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]  # set when numba starts

    def _trailing_zeros(word: Any) -> int:
        return (int(word) & -int(word)).bit_length() - 1

    def _leading_zeros(word: Any) -> int:
        return 64 - int(word).bit_length()

else:

    def _count_zeros(instruction: str) -> Any:
        """One instruction of the processor, on words that are not 0."""

        def zeros(context: Any, word: Any) -> Any:
            def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                word, bit = ir.IntType(64), ir.IntType(1)
                function = builder.module.declare_intrinsic(
                    instruction, [word], ir.FunctionType(word, [word, bit])
                )
                return builder.call(function, [arguments[0], ir.Constant(bit, 1)])

            return types.int64(types.uint64), emit

        return intrinsic(zeros)

    _trailing_zeros = _count_zeros("llvm.cttz")
    _leading_zeros = _count_zeros("llvm.ctlz")


# --- what a combination comes to


@_inline
def _finish(
    counts: Counts, measures: Floats, at: int, trades: int, wins: int, equity: float,
    first: float, total: float, squares: float, largest: float, smallest: float,
    exposure: float, worst: float,
) -> None:  # fmt: skip
    counts[0, at] = trades
    counts[1, at] = wins
    mean = np.nan
    std = np.nan
    if trades > 0:
        mean = first + total / trades
    if trades > 1:
        spread = (squares - total * (total / trades)) / (trades - 1)
        std = np.sqrt(spread) if spread > 0.0 else 0.0
    measures[0, at] = equity
    measures[1, at] = mean
    measures[2, at] = std
    measures[3, at] = largest if trades > 0 else np.nan
    measures[4, at] = smallest if trades > 0 else np.nan
    measures[5, at] = exposure
    measures[6, at] = 1.0 - worst


@_called
def _run_bars(
    close: Floats, fast: Floats, slow: Floats, strength: Floats, entry: float, exit_above: float,
    fee_rate: float, counts: Counts, measures: Floats, at: int,
) -> None:  # fmt: skip
    kept = (1.0 - fee_rate) / (1.0 + fee_rate)
    trades, wins, held = 0, 0, 0
    first, total, squares = 0.0, 0.0, 0.0
    largest, smallest = -np.inf, np.inf
    equity, peak, worst = 1.0, 1.0, 1.0
    paid, price = 0.0, 0.0
    inside = False
    for bar in range(close.shape[0]):
        now = close[bar]
        up = fast[bar] > slow[bar]
        hot = strength[bar] > exit_above
        if not inside:
            if not (up and strength[bar] < entry and not hot):
                continue
            inside = True
            price = now
            paid = equity / (1.0 + fee_rate)
            value = paid
            held += 1
        elif hot or not up:
            inside = False
            growth = now / price * kept
            gain = growth - 1.0
            first = gain if trades == 0 else first
            total += gain - first
            squares += (gain - first) * (gain - first)
            trades += 1
            wins += gain > 0.0
            largest = gain if gain > largest else largest
            smallest = gain if gain < smallest else smallest
            equity *= growth
            value = equity
        else:
            value = paid * (now / price)
            held += 1
        peak = value if value > peak else peak
        ratio = value / peak
        worst = ratio if ratio < worst else worst
    if inside:
        equity = paid * (close[close.shape[0] - 1] / price)
    _finish(
        counts, measures, at, trades, wins, equity, first, total, squares, largest, smallest,
        held / close.shape[0], worst,
    )  # fmt: skip


@_compiled
def sweep_bars(
    close: Floats, features: Features, limits: Limits, digits: Ints, places: Ints,
    fee_rate: float, counts: Counts, measures: Floats, start: int,
) -> None:  # fmt: skip
    """Every combination of `digits` (5, n), one pass over the bars each; fills n columns.

    `places` (3, n) are the rows of its features.
    """
    for at in range(digits.shape[1]):
        _run_bars(
            close, features.fast[places[0, at]], features.slow[places[1, at]],
            features.strength[places[2, at]], limits.entry[digits[3, at]],
            limits.exit[digits[4, at]], fee_rate, counts, measures, start + at,
        )  # fmt: skip


# --- from event to event


@_called
def _above(left: Floats, right: Floats, key: int, slots: Slots) -> Any:
    """Bits of the bars where left is above right."""
    slot = key & (slots.keys.shape[0] - 1)
    row = slots.rows[slot]
    if slots.keys[slot] != key:
        row[:] = 0
        for bar in range(left.shape[0]):
            row[bar >> 6] |= np.uint64(left[bar] > right[bar]) << np.uint64(bar & 63)
        slots.keys[slot] = key
    return row


@_called
def _beyond(strength: Floats, sign: float, limit: float, key: int, slots: Slots) -> Any:
    """Bits of the bars where sign x strength is above sign x limit."""
    slot = key & (slots.keys.shape[0] - 1)
    row = slots.rows[slot]
    if slots.keys[slot] != key:
        row[:] = 0
        limit = sign * limit
        for bar in range(strength.shape[0]):
            row[bar >> 6] |= np.uint64(sign * strength[bar] > limit) << np.uint64(bar & 63)
        slots.keys[slot] = key
    return row


@_inline
def _range(
    inner: Floats, outer: Floats, first: np.int64, last: np.int64, worst: float
) -> tuple[float, float, float]:
    """Highest and lowest price from `first` to `last`, both included, and the lesser of `worst`
    and the least ratio of a price to one before it; see `_sweep_ranges.range_tables`."""
    level = 63 - _leading_zeros(np.uint64((first ^ last) | 1))
    inside = level < LEVELS
    # Unsigned, like all that the loops count: a signed index is first tested for being negative.
    start, to_end = np.uint64(first), np.uint64(level if inside else TO_BLOCK_END)
    end, to_start = np.uint64(last), np.uint64(level if inside else TO_BLOCK_START)
    high, low, ratio = inner[to_end, start, 0], inner[to_end, start, 1], inner[to_end, start, 2]
    worst = ratio if ratio < worst else worst
    one = np.int64(1)
    left, right = (first >> LEVELS) + one, (last >> LEVELS) - one
    if left <= right:
        level = 63 - _leading_zeros(np.uint64((left ^ right) | 1))
        for block in range(left, right + 1, max(one, right - left)):
            bottom, ratio = outer[level, block, 1], outer[level, block, 2]
            worst = min(worst, ratio, bottom / high)
            high = max(high, outer[level, block, 0])
            low = min(low, bottom)
    top, bottom, ratio = inner[to_start, end, 0], inner[to_start, end, 1], inner[to_start, end, 2]
    worst = ratio if ratio < worst else worst
    if bottom < worst * high:  # seldom, so that divisions are few
        worst = bottom / high
    return top if top > high else high, bottom if bottom < low else low, worst


@_called
def _run_events(
    close: Floats, inner: Floats, outer: Floats, rising: Words, calm: Words, hot: Words,
    ready: Words, gone: Words, fee_rate: float, counts: Counts, measures: Floats, at: int,
) -> None:  # fmt: skip
    for entry in range(rising.shape[0]):
        ready[entry] = rising[entry] & calm[entry] & ~hot[entry]
        gone[entry] = ~rising[entry] | hot[entry]
    n_bars, last_word = close.shape[0], np.uint64(rising.shape[0] - 1)
    kept = (1.0 - fee_rate) / (1.0 + fee_rate)
    trades, wins, held = 0, 0, 0
    first, total, squares = 0.0, 0.0, 0.0
    largest, smallest = -np.inf, np.inf
    equity, peak, worst = 1.0, 1.0, 1.0
    word = np.uint64(0)
    ahead = ALL_BITS  # the bars of the word that are still to come
    while True:
        found = ready[word] & ahead
        while found == ZERO and word < last_word:
            word += ONE
            found = ready[word]
        if found == ZERO:
            break
        bit = np.uint64(_trailing_zeros(found))
        enter = word << WORD | bit
        found = gone[word] & (ALL_BITS << bit)
        while found == ZERO and word < last_word:
            word += ONE
            found = gone[word]
        bit = np.uint64(_trailing_zeros(found)) if found != ZERO else np.uint64(64)
        leave = (word << WORD) + bit
        stop = min(np.int64(leave), n_bars)  # beyond the last bar nothing is rising

        price = close[enter]
        paid = equity / (1.0 + fee_rate)
        high, low, worst = _range(inner, outer, np.int64(enter), stop - 1, worst)
        scale = paid / price
        if low * scale < worst * peak:
            worst = low * scale / peak
        peak = high * scale if high * scale > peak else peak
        held += stop - np.int64(enter)
        if stop == n_bars:
            equity = paid * (close[n_bars - 1] / price)
            break
        growth = close[leave] / price * kept
        gain = growth - 1.0
        first = gain if trades == 0 else first
        total += gain - first
        squares += (gain - first) * (gain - first)
        trades += 1
        wins += gain > 0.0
        largest = gain if gain > largest else largest
        smallest = gain if gain < smallest else smallest
        equity *= growth
        peak = equity if equity > peak else peak
        if equity < worst * peak:
            worst = equity / peak
        ahead = ALL_BITS << bit
    _finish(
        counts, measures, at, trades, wins, equity, first, total, squares, largest, smallest,
        held / n_bars, worst,
    )  # fmt: skip


@_compiled
def sweep_events(
    close: Floats, inner: Floats, outer: Floats, features: Features, n_slow: int, limits: Limits,
    digits: Ints, places: Ints, fee_rate: float, slots: BitSlots,
    counts: Counts, measures: Floats, start: int,
) -> None:  # fmt: skip
    """As `sweep_bars`, one step per entry and exit."""
    n_entry, n_exit = limits.entry.shape[0], limits.exit.shape[0]
    ready = np.empty(slots.rising.rows.shape[1], np.uint64)
    gone = np.empty_like(ready)
    for at in range(digits.shape[1]):
        fast, slow = features.fast[places[0, at]], features.slow[places[1, at]]
        strength = features.strength[places[2, at]]
        rsi, entry, leave = digits[2, at], digits[3, at], digits[4, at]
        rising = _above(fast, slow, digits[0, at] * n_slow + digits[1, at], slots.rising)
        calm = _beyond(strength, -1.0, limits.entry[entry], rsi * n_entry + entry, slots.calm)
        hot = _beyond(strength, 1.0, limits.exit[leave], rsi * n_exit + leave, slots.hot)
        _run_events(
            close, inner, outer, rising, calm, hot, ready, gone, fee_rate,
            counts, measures, start + at,
        )  # fmt: skip
