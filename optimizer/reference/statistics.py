"""The plain twin of the trade statistics: loops over lists.

`optimizer.backtest.statistics` defines the figures. This code does the same arithmetic in the same
order as the compiled kernel, so both give the same bits; it validates nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

OPEN = 0
REDUCED = 1
LEAST_SQUARES = 1e-280  # below it single squares lose digits, or all of them
DAYS_PER_MONTH = 365.2425 / 12.0
ENTRY_BAR, EXIT_BAR, BARS_HELD, SIDE, STATUS, REASON = 2, 3, 4, 5, 6, 7
SIZE, ENTRY_PRICE, FEES, SLIPPAGE, GROSS, NET, MFE, MAE, LOAD = 8, 9, 11, 12, 13, 14, 15, 16, 17


class _Sums:
    """What is gathered of the trades of one side, or of both."""

    def __init__(self) -> None:
        self.trades = self.round_trips = self.open_trades = self.winners = self.losers = 0
        self.net = self.gross = self.fees = self.slippage = self.open_pnl = 0.0
        self.profits = self.losses = self.returns = 0.0
        self.mfe = self.mae = self.load = self.bars = self.days = 0.0
        self.most_net = self.most_return = -math.inf
        self.least_net = self.least_return = math.inf
        self.most_load = self.most_bars = self.most_days = -math.inf
        self.least_bars = self.least_days = math.inf
        self.net_squares = self.return_squares = 0.0
        self.net_scale = self.return_scale = 1.0

    def add(self, trade: Sequence[Any], days: float) -> None:
        """Take a closed trade, held for so many calendar days."""
        net, profit = trade[NET], entry_return(trade)
        self.trades += 1
        if trade[REASON] != REDUCED:
            self.round_trips += 1
        if net > 0.0:
            self.winners += 1
            self.profits += net
        elif net < 0.0:
            self.losers += 1
            self.losses += net
        self.net += net
        self.gross += trade[GROSS]
        self.fees += trade[FEES]
        self.slippage += trade[SLIPPAGE]
        self.returns += profit
        self.mfe += trade[MFE]
        self.mae += trade[MAE]
        self.load += trade[LOAD]
        self.bars += trade[BARS_HELD]
        self.days += days
        self.most_net, self.least_net = max(self.most_net, net), min(self.least_net, net)
        self.most_return = max(self.most_return, profit)
        self.least_return = min(self.least_return, profit)
        self.most_load = max(self.most_load, trade[LOAD])
        self.most_bars = max(self.most_bars, trade[BARS_HELD])
        self.least_bars = min(self.least_bars, trade[BARS_HELD])
        self.most_days, self.least_days = max(self.most_days, days), min(self.least_days, days)

    def add_squares(self, trade: Sequence[Any]) -> None:
        """Take how far a closed trade lies from the means, once all have been added."""
        net_distance = trade[NET] - self.net / self.trades
        self.net_squares += net_distance * net_distance
        return_distance = entry_return(trade) - self.returns / self.trades
        self.return_squares += return_distance * return_distance

    def scale_squares(self, trades: Sequence[Sequence[Any]]) -> None:
        """Sum squares that left the range of floats anew, of distances over the largest figure."""
        if out_of_range(self.net_squares, self.least_net, self.most_net):
            self.net_squares, mean = 0.0, self.net / self.trades
            self.net_scale = max(abs(self.most_net), abs(self.least_net))
            for trade in trades:
                distance = (trade[NET] - mean) / self.net_scale
                self.net_squares += distance * distance
        if out_of_range(self.return_squares, self.least_return, self.most_return):
            self.return_squares, mean = 0.0, self.returns / self.trades
            self.return_scale = max(abs(self.most_return), abs(self.least_return))
            for trade in trades:
                distance = (entry_return(trade) - mean) / self.return_scale
                self.return_squares += distance * distance


class _Streaks:
    """The longest runs of winners and of losers."""

    def __init__(self) -> None:
        self.wins = self.losses = self.most_wins = self.most_losses = 0

    def add(self, net: float) -> None:
        """Take the next closed trade."""
        self.wins = self.wins + 1 if net > 0.0 else 0
        self.losses = self.losses + 1 if net < 0.0 else 0
        self.most_wins = max(self.most_wins, self.wins)
        self.most_losses = max(self.most_losses, self.losses)


def entry_return(trade: Sequence[Any]) -> float:
    """Net pnl over the value at entry; 0 where that is too small for a float."""
    value: float = trade[SIZE] * trade[ENTRY_PRICE]
    net: float = trade[NET]
    return net / value if value > 0.0 else 0.0


def both(long: _Sums, short: _Sums) -> _Sums:
    """The sums and extremes of both sides together, but not their squares."""
    all_of_them = _Sums()
    for name in vars(all_of_them):
        ours, theirs = getattr(long, name), getattr(short, name)
        if name.startswith("most"):
            value = max(ours, theirs)
        elif name.startswith("least"):
            value = min(ours, theirs)
        elif name.endswith("scale"):
            value = 1.0
        else:
            value = 0.0 if name.endswith("squares") else ours + theirs
        setattr(all_of_them, name, value)
    return all_of_them


def ratio(value: float, by: float) -> float:
    """Their ratio; NaN unless `by` is above 0."""
    return value / by if by > 0.0 else math.nan


def out_of_range(squares: float, least: float, most: float) -> bool:
    """Whether squares of figures that differ are too large for floats, or too small."""
    return least < most and not LEAST_SQUARES < squares < math.inf


def spread(squares: float, scale: float, trades: int, least: float, most: float) -> float:
    """Standard deviation; 0 where all are equal, NaN below two trades."""
    if trades < 2:
        return math.nan
    return scale * math.sqrt(squares / (trades - 1)) if least < most else 0.0


def figures(sums: _Sums, streaks: _Streaks, months: float, dated: bool) -> list[float]:
    """The figures of one column, in the order of `TradeFigures`."""
    trades, winners, losers = sums.trades, sums.winners, sums.losers
    mean_profit, mean_loss = ratio(sums.profits, winners), ratio(sums.losses, losers)
    mean_net = ratio(sums.net, trades)
    deviation = spread(sums.net_squares, sums.net_scale, trades, sums.least_net, sums.most_net)
    scatter = spread(
        sums.return_squares, sums.return_scale, trades, sums.least_return, sums.most_return
    )
    profit_factor = ratio(sums.profits, -sums.losses)
    if winners > 0 and losers == 0:
        profit_factor = math.inf
    some = trades > 0
    dated = dated and some
    gain_part = winners / trades * mean_profit if winners > 0 else 0.0
    loss_part = losers / trades * mean_loss if losers > 0 else 0.0
    return [
        float(trades), float(sums.round_trips), float(sums.open_trades), float(winners),
        float(losers), ratio(winners, trades),
        sums.net, sums.gross, sums.fees, sums.slippage, sums.open_pnl,
        sums.profits, sums.losses,
        sums.most_net if winners > 0 else math.nan, sums.least_net if losers > 0 else math.nan,
        mean_profit, mean_loss, mean_net, deviation,
        ratio(mean_profit, -mean_loss) if winners > 0 else math.nan,
        profit_factor,
        gain_part + loss_part if some else math.nan, ratio(mean_net, -mean_loss),
        ratio(math.sqrt(trades) * mean_net, deviation),
        ratio(ratio(sums.returns, trades), scatter),
        float(streaks.most_wins), float(streaks.most_losses),
        ratio(sums.mfe, trades), ratio(sums.mae, trades),
        sums.most_load if some else math.nan, ratio(sums.load, trades),
        float(sums.least_bars) if some else math.nan, ratio(sums.bars, trades),
        float(sums.most_bars) if some else math.nan,
        sums.least_days if dated else math.nan,
        sums.days / trades if dated else math.nan,
        sums.most_days if dated else math.nan,
        ratio(trades, months),
    ]  # fmt: skip


def portfolio_figures(
    equity: Sequence[float], margin_load: Sequence[float], capital: float
) -> list[float]:
    """The figures of the curves, in the order of `PortfolioFigures`."""
    peak, deepest = capital, 0.0
    below = longest = 0
    for money in equity:
        if money >= peak:
            peak, below = money, 0
        else:
            below += 1
            deepest = max(deepest, (peak - money) / peak)
            longest = max(longest, below)
    total, most, known = 0.0, -math.inf, 0
    for load in margin_load:
        if load == load:
            total += load
            known += 1
            most = max(most, load)
    return [
        capital, equity[-1], equity[-1] / capital - 1.0, deepest, float(longest),
        most if known > 0 else math.nan, ratio(total, known),
    ]  # fmt: skip


def trade_statistics(
    trades: Sequence[Sequence[Any]],
    equity: Sequence[float],
    margin_load: Sequence[float],
    capital: float,
    days: Sequence[float] = (),
) -> tuple[list[list[float]], list[float]]:
    """The figures of all, of the long and of the short trades, and those of the curves.

    Cost: two passes over the trades, one over each curve; more passes over the trades where
    squares leave the range of floats.

    Args:
        trades: records, see `optimizer.reference.tracker.Trade`.
        equity: money at each bar.
        margin_load: ratio at each bar, NaN where there is none.
        capital: cash at the start.
        days: calendar days since the first bar, for each bar; empty where they are not known.

    Returns:
        Three rows of figures, and one of the portfolio.
    """
    long, short = _Sums(), _Sums()
    streaks, long_streaks, short_streaks = _Streaks(), _Streaks(), _Streaks()
    for trade in trades:
        side = long if trade[SIDE] > 0 else short
        if trade[STATUS] == OPEN:
            side.open_trades += 1
            side.open_pnl += trade[NET]
            continue
        side.add(trade, days[trade[EXIT_BAR]] - days[trade[ENTRY_BAR]] if days else 0.0)
        streaks.add(trade[NET])
        (long_streaks if trade[SIDE] > 0 else short_streaks).add(trade[NET])
    total = both(long, short)
    for trade in trades:
        if trade[STATUS] != OPEN:
            total.add_squares(trade)
            (long if trade[SIDE] > 0 else short).add_squares(trade)
    closed = [trade for trade in trades if trade[STATUS] != OPEN]
    total.scale_squares(closed)
    long.scale_squares([trade for trade in closed if trade[SIDE] > 0])
    short.scale_squares([trade for trade in closed if not trade[SIDE] > 0])
    months = days[-1] / DAYS_PER_MONTH if days else 0.0
    columns = ((total, streaks), (long, long_streaks), (short, short_streaks))
    table = [figures(sums, runs, months, bool(days)) for sums, runs in columns]
    return table, portfolio_figures(equity, margin_load, capital)
