"""Compiled kernels of the portfolio sweep: weights out of features, a row out of a tracker's run.

Each does the arithmetic of its plain twin in `optimizer.reference.sweep`, operation for operation,
so no `fastmath`. A kernel and all it calls stay in this one file, because numba's disk cache
notices changes to this file only.
"""

# mypy: disable-error-code="untyped-decorator"
# numba ships no types, so its decorators are untyped.

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer._compiled import compiled as _compiled

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]
Records = NDArray[Any]

CLOSED = 1  # as in the tracker


@_compiled
def fill_targets(
    fast: Floats, slow: Floats, strength: Floats, entry: float, exit_above: float, weight: float,
    targets: Floats,
) -> None:  # fmt: skip
    """Target weights from features of the same shape: `weight` to enter, 0 to leave, else NaN."""
    for row in range(targets.shape[0]):
        for asset in range(targets.shape[1]):
            at = row * targets.shape[1] + asset
            if not fast[at] > slow[at] or strength[at] > exit_above:
                targets[row, asset] = 0.0
            else:
                targets[row, asset] = weight if strength[at] < entry else np.nan


@_compiled
def summarise(
    trades: Records, equities: Floats, loads: Floats, capital: float,
    counts: Counts, measures: Floats, at: int,
) -> None:  # fmt: skip
    """The columns of one run: closed records, and the equity as a ratio of the capital."""
    n, wins = 0, 0
    first, total, squares = 0.0, 0.0, 0.0
    largest, smallest = -np.inf, np.inf
    for number in range(trades.shape[0]):
        trade = trades[number]
        if trade["status"] != CLOSED:
            continue
        # By name: interpreted, `trade.size` would be numpy's own, the number of its elements.
        gain = trade["net_pnl"] / (trade["entry_price"] * trade["size"])
        first = gain if n == 0 else first
        total += gain - first
        squares += (gain - first) * (gain - first)
        n += 1
        wins += gain > 0.0
        largest = gain if gain > largest else largest
        smallest = gain if gain < smallest else smallest
    mean = np.nan
    std = np.nan
    if n > 0:
        mean = first + total / n
    if n > 1:
        spread = (squares - total * (total / n)) / (n - 1)
        std = np.sqrt(spread) if spread > 0.0 else 0.0

    peak, worst, exposure, counted = capital, 1.0, 0.0, 0
    for bar in range(equities.shape[0]):
        equity, load = equities[bar], loads[bar]
        peak = equity if equity > peak else peak
        if equity < worst * peak:  # seldom, so that divisions are few
            worst = equity / peak
        if load == load:
            exposure += load
            counted += 1

    counts[0, at] = n
    counts[1, at] = wins
    measures[0, at] = equities[equities.shape[0] - 1] / capital
    measures[1, at] = mean
    measures[2, at] = std
    measures[3, at] = largest if n > 0 else np.nan
    measures[4, at] = smallest if n > 0 else np.nan
    measures[5, at] = exposure / counted if counted > 0 else np.nan
    measures[6, at] = 1.0 - worst
