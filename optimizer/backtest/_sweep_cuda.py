"""The sweep bar by bar on a GPU, one thread per combination; imports `numba.cuda`.

The kernel does the arithmetic of `_sweep_kernels.sweep_bars` in the same order. Where a product
goes into a sum it is rounded first: a GPU's compiler would fuse the two, and the bits would differ.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-call,no-any-return,attr-defined"
# numba ships no types: its decorators and functions are untyped, its stubs know half its names.

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numba import config, cuda
from numba.core.errors import NumbaPerformanceWarning
from numpy.typing import NDArray

from optimizer.backtest._sweep_engines import OneAsset
from optimizer.backtest._sweep_features import Rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]

_THREADS = 128  # in a block

if config.ENABLE_CUDASIM:

    @cuda.jit(device=True)
    def _rounded_product(one: float, two: float) -> float:
        return one * two

else:
    from numba.cuda import libdevice

    @cuda.jit(device=True)
    def _rounded_product(one: float, two: float) -> float:
        return libdevice.dmul_rn(one, two)


@cuda.jit(device=True)
def _finish(
    counts: Counts, measures: Floats, at: int, trades: int, wins: int, equity: float,
    first: float, total: float, squares: float, largest: float, smallest: float,
    exposure: float, worst: float,
) -> None:  # fmt: skip
    counts[0, at] = trades
    counts[1, at] = wins
    mean, std, most, least = math.nan, math.nan, math.nan, math.nan
    if trades > 0:
        mean = first + total / trades
        most = largest
        least = smallest
    if trades > 1:
        spread = (squares - _rounded_product(total, total / trades)) / (trades - 1)
        std = math.sqrt(spread) if spread > 0.0 else 0.0
    measures[0, at] = equity
    measures[1, at] = mean
    measures[2, at] = std
    measures[3, at] = most
    measures[4, at] = least
    measures[5, at] = exposure
    measures[6, at] = 1.0 - worst


@cuda.jit
def sweep_bars(
    close: Floats, fast_rows: Floats, slow_rows: Floats, strength_rows: Floats, entries: Floats,
    exits: Floats, digits: Ints, places: Ints, fee_rate: float, counts: Counts, measures: Floats,
) -> None:  # fmt: skip
    """One combination of `digits` (5, n) per thread, one pass over the bars each."""
    at = cuda.grid(1)
    if at >= digits.shape[1]:
        return
    fast_row, slow_row, strength_row = places[0, at], places[1, at], places[2, at]
    entry, exit_above = entries[digits[3, at]], exits[digits[4, at]]
    kept = (1.0 - fee_rate) / (1.0 + fee_rate)
    trades, wins, held = 0, 0, 0
    first, total, squares = 0.0, 0.0, 0.0
    largest, smallest = -math.inf, math.inf
    equity, peak, worst = 1.0, 1.0, 1.0
    paid, price = 0.0, 0.0
    inside = False
    for bar in range(close.shape[0]):
        now = close[bar]
        strength = strength_rows[strength_row, bar]
        up = fast_rows[fast_row, bar] > slow_rows[slow_row, bar]
        hot = strength > exit_above
        if not inside:
            if not (up and strength < entry and not hot):
                continue
            inside = True
            price = now
            paid = equity / (1.0 + fee_rate)
            value = paid
            held += 1
        elif hot or not up:
            inside = False
            growth = _rounded_product(now / price, kept)
            gain = growth - 1.0
            if trades == 0:
                first = gain
            off = gain - first
            total += off
            squares += _rounded_product(off, off)
            trades += 1
            if gain > 0.0:
                wins += 1
            if gain > largest:
                largest = gain
            if gain < smallest:
                smallest = gain
            equity = _rounded_product(equity, growth)
            value = equity
        else:
            value = _rounded_product(paid, now / price)
            held += 1
        if value > peak:
            peak = value
        ratio = value / peak
        if ratio < worst:
            worst = ratio
    if inside:
        equity = _rounded_product(paid, close[close.shape[0] - 1] / price)
    _finish(
        counts, measures, at, trades, wins, equity, first, total, squares, largest, smallest,
        held / close.shape[0], worst,
    )  # fmt: skip


class CudaEngine(OneAsset):
    """On the GPU; chunk after chunk, so that memory stays within bounds here and there."""

    name = "cuda"
    threads = 1  # the kernel's threads are the GPU's
    largest_chunk = 2**17

    def _sweep(
        self, rows: Rows, places: Ints, digits: Ints, counts: Counts, measures: Floats, start: int
    ) -> None:
        n = digits.shape[1]
        values = self.parameters.values
        given: list[Any] = [self.close, *rows, values["entry"], values["exit"], digits, places]
        found_counts = cuda.device_array((len(counts), n), np.int32)
        found_measures = cuda.device_array((len(measures), n), np.float64)
        with warnings.catch_warnings():  # a few combinations do not fill a GPU: that is fine
            warnings.simplefilter("ignore", NumbaPerformanceWarning)
            sweep_bars[-(-n // _THREADS), _THREADS](
                *map(cuda.to_device, given), self.fee_rate, found_counts, found_measures
            )
        counts[:, start : start + n] = found_counts.copy_to_host()
        measures[:, start : start + n] = found_measures.copy_to_host()
