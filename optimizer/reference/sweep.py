"""The plain twin of the sweep: one loop over the bars for each combination of parameters.

`optimizer.sweep` states the semantics. This code does the same arithmetic in the same order as the
compiled kernel that walks bar by bar, so both give the same bits; it validates nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from optimizer.reference.features import rolling_mean, rsi
from optimizer.reference.tracker import CLOSED, Trade, track_trades

Combination = tuple[int, int, int, float, float]
"""Windows of the fast and the slow average, period of the RSI, entry and exit threshold."""

Row = tuple[int, int, float, float, float, float, float, float, float]
"""trades, wins, final_equity, mean_return, std_return, max_return, min_return, exposure,
max_drawdown; see `optimizer.sweep.sweep`."""


class _Returns:
    """Count, extremes, mean and deviation of the trades' returns, in the order they ended."""

    def __init__(self) -> None:
        self.trades = self.wins = 0
        self.largest, self.smallest = -math.inf, math.inf
        self.first = self.sum = self.squares = 0.0

    def add(self, gain: float) -> None:
        # Differences from the first return: sums of squares that do not cancel where all are near.
        if self.trades == 0:
            self.first = gain
        off = gain - self.first
        self.sum += off
        self.squares += off * off
        self.trades += 1
        if gain > 0.0:
            self.wins += 1
        if gain > self.largest:
            self.largest = gain
        if gain < self.smallest:
            self.smallest = gain

    def row(self, equity: float, exposure: float, worst: float) -> Row:
        n = self.trades
        if n == 0:
            nan = math.nan
            return 0, 0, equity, nan, nan, nan, nan, exposure, 1.0 - worst
        mean = self.first + self.sum / n
        std = math.nan
        if n > 1:
            spread = (self.squares - self.sum * (self.sum / n)) / (n - 1)
            std = math.sqrt(spread) if spread > 0.0 else 0.0
        return (
            n, self.wins, equity, mean, std, self.largest, self.smallest, exposure, 1.0 - worst,
        )  # fmt: skip


def run(
    close: Sequence[float],
    fast: Sequence[float],
    slow: Sequence[float],
    strength: Sequence[float],
    entry: float,
    exit_above: float,
    fee_rate: float = 0.0,
) -> Row:
    """One combination, bar by bar, on features that are there already."""
    kept = (1.0 - fee_rate) / (1.0 + fee_rate)
    returns = _Returns()
    equity = peak = worst = 1.0
    paid = price = 0.0
    held, inside = 0, False
    for bar, now in enumerate(close):
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
            returns.add(growth - 1.0)
            equity *= growth
            value = equity
        else:
            value = paid * (now / price)
            held += 1
        if value > peak:
            peak = value
        if value / peak < worst:
            worst = value / peak
    if inside:
        equity = paid * (close[-1] / price)
    return returns.row(equity, held / len(close), worst)


def late(feature: Sequence[float], lag: int) -> list[float]:
    """A feature as it can be traded on: what is known at a bar counts `lag` bars later."""
    return [math.nan] * min(lag, len(feature)) + list(feature[: len(feature) - lag])


def sweep(
    close: Sequence[float],
    combinations: Iterable[Combination],
    *,
    fee_rate: float = 0.0,
    lag: int = 0,
) -> list[Row]:
    """A row for each combination; its features are computed for it alone, as a trial does."""
    rows = []
    for fast, slow, period, entry, exit_above in combinations:
        means = late(rolling_mean(close, fast), lag), late(rolling_mean(close, slow), lag)
        strength = late(rsi(close, period), lag)
        rows.append(run(close, *means, strength, entry, exit_above, fee_rate))
    return rows


# --- the whole portfolio per combination


def target(
    fast: float, slow: float, strength: float, entry: float, exit_above: float, weight: float
) -> float:
    """The weight to trade to: `weight` to enter, 0 to leave, NaN to leave the position alone."""
    if not fast > slow or strength > exit_above:
        return 0.0
    return weight if strength < entry else math.nan


def portfolio_run(
    close: Sequence[Sequence[float]],
    rebalance_bars: Sequence[int],
    combination: Combination,
    *,
    weight: float,
    capital: float = 100_000.0,
    fee_rate: float = 0.0,
    slippage_rate: float = 0.0,
    fixed_fee: float = 0.0,
    lag: int = 0,
    capital_mode: str = "equity",
) -> Row:
    """One combination on all assets: weights from the features, then the whole tracker."""
    fast, slow, period, entry, exit_above = combination
    columns = []
    for prices in zip(*close, strict=True):
        means = rolling_mean(prices, fast), rolling_mean(prices, slow)
        features = list(zip(*means, rsi(prices, period), strict=True))
        columns.append(
            [target(*features[bar], entry, exit_above, weight) for bar in rebalance_bars]
        )
    weights = [[column[row] for column in columns] for row in range(len(rebalance_bars))]
    records, equities, loads = track_trades(
        close, rebalance_bars, weights, capital=capital, fee_rate=fee_rate,
        slippage_rate=slippage_rate, fixed_fee=fixed_fee, lag=lag, capital_mode=capital_mode,
    )  # fmt: skip
    return summary(records, equities, loads, capital)


def _ratio(gain: float, value: float) -> float:
    """Their quotient; of a value so small that it is 0, as compiled code divides."""
    if value:
        return gain / value
    return math.copysign(math.inf, gain) if gain else math.nan


def summary(
    records: Iterable[Trade], equities: Sequence[float], loads: Iterable[float], capital: float
) -> Row:
    """The row of a tracker's run: closed records, and the equity as a ratio of the capital."""
    returns = _Returns()
    for record in records:
        status, size, entry_price, net_pnl = record[6], record[8], record[9], record[14]
        if status == CLOSED:
            returns.add(_ratio(net_pnl, entry_price * size))
    peak, worst, exposure, counted = capital, 1.0, 0.0, 0
    for equity, load in zip(equities, loads, strict=True):
        if equity > peak:
            peak = equity
        if equity < worst * peak:
            worst = equity / peak
        if load == load:
            exposure += load
            counted += 1
    share = exposure / counted if counted else math.nan
    return returns.row(equities[-1] / capital, share, worst)
