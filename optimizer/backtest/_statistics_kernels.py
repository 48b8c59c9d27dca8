"""The compiled kernel of the trade statistics: records and curves in, figures out.

It does the arithmetic of `optimizer.reference.statistics`, operation for operation, so no
`fastmath`. All it calls stays in this one file, because numba's disk cache notices changes to this
file only.
"""

# mypy: disable-error-code="untyped-decorator"
# numba ships no types, so its decorators are untyped.

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from optimizer._compiled import compiled as _compiled

Floats = NDArray[np.float64]
Records = NDArray[np.void]
Record = Any  # one element of Records: numba lets its fields be read and set as attributes

OPEN, REDUCED = 0, 1
FINE, REFUSED = False, True
LEAST_SQUARES = 1e-280  # below it single squares lose digits, or all of them
DAYS_PER_MONTH = 365.2425 / 12.0

_COUNTS = ("trades", "round_trips", "open_trades", "winners", "losers")
_RUNS = ("wins", "win_streak", "defeats", "loss_streak")
_TOTALS = (
    *("net", "gross", "fees", "slippage", "open_pnl", "profits", "losses", "returns"),
    *("mfe", "mae", "load", "bars", "days", "net_squares", "return_squares"),
    *("net_scale", "return_scale"),
)
_MOST = ("most_net", "most_return", "most_load", "most_bars", "most_days")
_LEAST = ("least_net", "least_return", "least_bars", "least_days")
_FIELDS = [(name, "i8") for name in _COUNTS + _RUNS]
_FIELDS += [(name, "f8") for name in _TOTALS + _MOST + _LEAST]
# np.record: so its fields are attributes without the compiler too (NUMBA_DISABLE_JIT).
SUMS_DTYPE = np.dtype((np.record, _FIELDS))

_inline = numba.njit(error_model="numpy", forceinline=True)
_seldom = numba.njit(error_model="numpy")


@_inline
def _start(sums: Record) -> None:
    """Counts and totals are 0 already."""
    sums.net_scale = 1.0
    sums.return_scale = 1.0
    sums.most_net = -np.inf
    sums.most_return = -np.inf
    sums.most_load = -np.inf
    sums.most_bars = -np.inf
    sums.most_days = -np.inf
    sums.least_net = np.inf
    sums.least_return = np.inf
    sums.least_bars = np.inf
    sums.least_days = np.inf


@_inline
def _more(kept: float, value: float) -> float:
    return value if value > kept else kept


@_inline
def _less(kept: float, value: float) -> float:
    return value if value < kept else kept


@_inline
def _entry_return(trade: Record) -> float:
    # Not as an attribute: without the compiler every scalar of numpy has a size of its own, 1.
    value = trade["size"] * trade.entry_price
    return trade.net_pnl / value if value > 0.0 else 0.0


@_inline
def _add(sums: Record, trade: Record, days: float) -> None:
    net = trade.net_pnl
    profit = _entry_return(trade)
    bars = float(trade.bars_held)
    # Without branches, as no processor foresees whether a trade wins: adding 0 changes no sum.
    sums.trades += 1
    sums.round_trips += 1 if trade.reason != REDUCED else 0
    sums.winners += 1 if net > 0.0 else 0
    sums.losers += 1 if net < 0.0 else 0
    sums.profits += net if net > 0.0 else 0.0
    sums.losses += net if net < 0.0 else 0.0
    sums.net += net
    sums.gross += trade.gross_pnl
    sums.fees += trade.fees
    sums.slippage += trade.slippage
    sums.returns += profit
    sums.mfe += trade.mfe
    sums.mae += trade.mae
    sums.load += trade.margin_load
    sums.bars += bars
    sums.days += days
    sums.most_net = _more(sums.most_net, net)
    sums.least_net = _less(sums.least_net, net)
    sums.most_return = _more(sums.most_return, profit)
    sums.least_return = _less(sums.least_return, profit)
    sums.most_load = _more(sums.most_load, trade.margin_load)
    sums.most_bars = _more(sums.most_bars, bars)
    sums.least_bars = _less(sums.least_bars, bars)
    sums.most_days = _more(sums.most_days, days)
    sums.least_days = _less(sums.least_days, days)


@_inline
def _run_on(sums: Record, net: float) -> None:
    """Lengthen the streak of winners or of losers, or end it."""
    sums.wins = sums.wins + 1 if net > 0.0 else 0
    sums.defeats = sums.defeats + 1 if net < 0.0 else 0
    if sums.wins > sums.win_streak:
        sums.win_streak = sums.wins
    if sums.defeats > sums.loss_streak:
        sums.loss_streak = sums.defeats


@_inline
def _join(total: Record, long: Record, short: Record) -> None:
    """The sums and extremes of both sides together; its streaks are its own."""
    total.trades = long.trades + short.trades
    total.round_trips = long.round_trips + short.round_trips
    total.open_trades = long.open_trades + short.open_trades
    total.winners = long.winners + short.winners
    total.losers = long.losers + short.losers
    total.net = long.net + short.net
    total.gross = long.gross + short.gross
    total.fees = long.fees + short.fees
    total.slippage = long.slippage + short.slippage
    total.open_pnl = long.open_pnl + short.open_pnl
    total.profits = long.profits + short.profits
    total.losses = long.losses + short.losses
    total.returns = long.returns + short.returns
    total.mfe = long.mfe + short.mfe
    total.mae = long.mae + short.mae
    total.load = long.load + short.load
    total.bars = long.bars + short.bars
    total.days = long.days + short.days
    total.most_net = _more(long.most_net, short.most_net)
    total.most_return = _more(long.most_return, short.most_return)
    total.most_load = _more(long.most_load, short.most_load)
    total.most_bars = _more(long.most_bars, short.most_bars)
    total.most_days = _more(long.most_days, short.most_days)
    total.least_net = _less(long.least_net, short.least_net)
    total.least_return = _less(long.least_return, short.least_return)
    total.least_bars = _less(long.least_bars, short.least_bars)
    total.least_days = _less(long.least_days, short.least_days)


@_inline
def _add_squares(
    sums: Record, trade: Record, mean_net: float, mean_return: float, profit: float
) -> None:
    net_distance = trade.net_pnl - mean_net
    sums.net_squares += net_distance * net_distance
    return_distance = profit - mean_return
    sums.return_squares += return_distance * return_distance


@_inline
def _out_of_range(squares: float, least: float, most: float) -> bool:
    return least < most and not LEAST_SQUARES < squares < np.inf


@_seldom
def _scale_squares(
    sums: Record, column: int, trades: Records, mean_net: float, mean_return: float
) -> None:
    """Sum squares that left the range of floats anew, of distances over the largest figure."""
    nets = _out_of_range(sums.net_squares, sums.least_net, sums.most_net)
    profits = _out_of_range(sums.return_squares, sums.least_return, sums.most_return)
    if nets:
        sums.net_squares = 0.0
        sums.net_scale = _more(abs(sums.most_net), abs(sums.least_net))
    if profits:
        sums.return_squares = 0.0
        sums.return_scale = _more(abs(sums.most_return), abs(sums.least_return))
    for at in range(trades.shape[0]):
        trade = trades[at]
        own = 1 if trade.side > 0 else 2
        if trade.status == OPEN or (column != 0 and column != own):
            continue
        if nets:
            distance = (trade.net_pnl - mean_net) / sums.net_scale
            sums.net_squares += distance * distance
        if profits:
            distance = (_entry_return(trade) - mean_return) / sums.return_scale
            sums.return_squares += distance * distance


@_inline
def _ratio(value: float, by: float) -> float:
    return value / by if by > 0.0 else np.nan


@_inline
def _spread(squares: float, scale: float, trades: float, least: float, most: float) -> float:
    if trades < 2.0:
        return np.nan
    return scale * math.sqrt(squares / (trades - 1.0)) if least < most else 0.0


@_inline
def _fill_sums(row: Floats, sums: Record) -> None:
    winners, losers = sums.winners, sums.losers
    row[0] = sums.trades
    row[1] = sums.round_trips
    row[2] = sums.open_trades
    row[3] = winners
    row[4] = losers
    row[5] = _ratio(float(winners), float(sums.trades))
    row[6] = sums.net
    row[7] = sums.gross
    row[8] = sums.fees
    row[9] = sums.slippage
    row[10] = sums.open_pnl
    row[11] = sums.profits
    row[12] = sums.losses
    row[13] = sums.most_net if winners > 0 else np.nan
    row[14] = sums.least_net if losers > 0 else np.nan


@_inline
def _fill_ratios(row: Floats, sums: Record) -> None:
    trades, winners, losers = float(sums.trades), float(sums.winners), float(sums.losers)
    mean_profit = _ratio(sums.profits, winners)
    mean_loss = _ratio(sums.losses, losers)
    mean_net = _ratio(sums.net, trades)
    deviation = _spread(sums.net_squares, sums.net_scale, trades, sums.least_net, sums.most_net)
    scatter = _spread(
        sums.return_squares, sums.return_scale, trades, sums.least_return, sums.most_return
    )
    gain_part = winners / trades * mean_profit if winners > 0.0 else 0.0
    loss_part = losers / trades * mean_loss if losers > 0.0 else 0.0
    row[15] = mean_profit
    row[16] = mean_loss
    row[17] = mean_net
    row[18] = deviation
    row[19] = _ratio(mean_profit, -mean_loss) if winners > 0.0 else np.nan
    row[20] = _ratio(sums.profits, -sums.losses)
    if winners > 0.0 and losers == 0.0:
        row[20] = np.inf
    row[21] = gain_part + loss_part if trades > 0.0 else np.nan
    row[22] = _ratio(mean_net, -mean_loss)
    row[23] = _ratio(math.sqrt(trades) * mean_net, deviation)
    row[24] = _ratio(_ratio(sums.returns, trades), scatter)
    row[25] = sums.win_streak
    row[26] = sums.loss_streak


@_inline
def _fill_extents(row: Floats, sums: Record, months: float, dated: bool) -> None:
    trades = float(sums.trades)
    some = sums.trades > 0
    dated = dated and some
    row[27] = _ratio(sums.mfe, trades)
    row[28] = _ratio(sums.mae, trades)
    row[29] = sums.most_load if some else np.nan
    row[30] = _ratio(sums.load, trades)
    row[31] = sums.least_bars if some else np.nan
    row[32] = _ratio(sums.bars, trades)
    row[33] = sums.most_bars if some else np.nan
    row[34] = sums.least_days if dated else np.nan
    row[35] = sums.days / trades if dated else np.nan
    row[36] = sums.most_days if dated else np.nan
    row[37] = _ratio(trades, months)


@_inline
def _portfolio(row: Floats, equity: Floats, margin_load: Floats, capital: float) -> None:
    """Fill a row, in the order of `PortfolioFigures`."""
    peak = capital
    deepest = 0.0
    below = 0
    longest = 0
    total = 0.0
    most = -np.inf
    known = 0
    for bar in range(equity.shape[0]):
        money = equity[bar]
        if money >= peak:
            peak = money
            below = 0
        else:
            below += 1
            deepest = _more(deepest, (peak - money) / peak)
            longest = below if below > longest else longest
        load = margin_load[bar]
        if load == load:
            total += load
            known += 1
            most = _more(most, load)
    last = equity[equity.shape[0] - 1]
    row[0] = capital
    row[1] = last
    row[2] = last / capital - 1.0
    row[3] = deepest
    row[4] = longest
    row[5] = most if known > 0 else np.nan
    row[6] = _ratio(total, float(known))


@_compiled
def trade_statistics(
    trades: Records, equity: Floats, margin_load: Floats, capital: float, days: Floats,
    table: Floats, portfolio: Floats,
) -> bool:  # fmt: skip
    """Fill the rows All, Long and Short of `table`, and `portfolio`; returns FINE or REFUSED.

    Rows of `table` are in the order of `TradeFigures`. `days` is empty where bars bear no dates.
    REFUSED: no bar, curves or days of other lengths, a capital that is not above 0 or infinite, or
    a trade whose bars have no day. The caller looks for the place; nothing was read out of bounds.
    """
    n_days, n_bars = np.uintp(days.shape[0]), equity.shape[0]
    dated = days.shape[0] > 0
    if n_bars == 0 or margin_load.shape[0] != n_bars or (dated and days.shape[0] != n_bars):
        return REFUSED
    if not 0.0 < capital < np.inf:
        return REFUSED
    outside = False
    sums = np.zeros(3, SUMS_DTYPE)
    for column in range(3):
        _start(sums[column])
    for at in range(trades.shape[0]):
        trade = trades[at]
        side = sums[1 if trade.side > 0 else 2]
        if trade.status == OPEN:
            side.open_trades += 1
            side.open_pnl += trade.net_pnl
            continue
        # Unsigned, as a negative index would be counted from the end.
        entry, end = np.uintp(trade.entry_bar), np.uintp(trade.exit_bar)
        held = 0.0
        if entry < n_days and end < n_days:
            held = days[end] - days[entry]
        else:
            outside |= dated
        _add(side, trade, held)
        _run_on(sums[0], trade.net_pnl)
        _run_on(side, trade.net_pnl)
    _join(sums[0], sums[1], sums[2])
    mean_nets, mean_returns = np.empty(3), np.empty(3)
    for column in range(3):
        count = float(sums[column].trades)
        mean_nets[column] = _ratio(sums[column].net, count)
        mean_returns[column] = _ratio(sums[column].returns, count)
    for at in range(trades.shape[0]):
        trade = trades[at]
        if trade.status != OPEN:
            own = 1 if trade.side > 0 else 2
            profit = _entry_return(trade)
            _add_squares(sums[0], trade, mean_nets[0], mean_returns[0], profit)
            _add_squares(sums[own], trade, mean_nets[own], mean_returns[own], profit)
    for column in range(3):
        side = sums[column]
        nets = _out_of_range(side.net_squares, side.least_net, side.most_net)
        if nets or _out_of_range(side.return_squares, side.least_return, side.most_return):
            _scale_squares(side, column, trades, mean_nets[column], mean_returns[column])
    months = days[days.shape[0] - 1] / DAYS_PER_MONTH if dated else 0.0
    for column in range(3):
        _fill_sums(table[column], sums[column])
        _fill_ratios(table[column], sums[column])
        _fill_extents(table[column], sums[column], months, dated)
    _portfolio(portfolio, equity, margin_load, capital)
    return REFUSED if outside else FINE
