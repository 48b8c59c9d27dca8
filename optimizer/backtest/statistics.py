"""The figures of a trade log: all trades, the long and the short ones, and the portfolio.

A *trade* here is a closed record of the log: a slice of a position that was traded away. What the
end of the data left open counts in `open_trades` and `open_pnl` alone, so that `net_pnl` +
`open_pnl` is the change of the equity. A winner has a net pnl above 0, a loser one below 0; a trade
at exactly 0 is neither.

**Where there is nothing.** Counts and sums of no trades are 0. Whatever needs at least one trade,
winner or loser that is not there is NaN, and so are ratios to 0, with one exception: the profit
factor of winners without losers is infinite. Standard deviations, and what is divided by them, need
two trades; where all trades are equal the deviation is 0 and what is divided by it NaN.

The sums of All are those of Long plus those of Short, exactly.

**In how many passes.** Not in the pass that records the trades: measured, that cost more. Once the
log is finished there are two passes over its records, sums before squares, as the squares are those
of distances from the means, and one over the bars, for equity and margin load. So nobody who wants
no figures pays for them, and any log can be asked for them.

**Beyond the range of floats.** Standard deviations hold for money of any size: squares too large or
too small for a float are summed anew from scaled distances, in one pass more for each column. A sum
that is itself too large is infinite, and what is computed from it infinite, 0 or NaN.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimizer._compat import available
from optimizer.backtest import _frames
from optimizer.backtest._statistics_checks import check_log, read_log
from optimizer.backtest._statistics_table import text_table
from optimizer.reference import statistics as reference

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["PortfolioFigures", "Statistics", "TradeFigures", "trade_statistics"]

Floats = NDArray[np.float64]
_COUNTS = {
    *("trades", "round_trips", "open_trades", "winners", "losers"),
    *("win_streak", "loss_streak", "max_drawdown_bars"),
}
_NO_DAYS = np.empty(0)
_NO_DAYS.flags.writeable = False


class TradeFigures(NamedTuple):
    """One column of the table; the module says what holds where there is nothing to count.

    Money is net of costs unless it says otherwise. Ratios are no percentages: 0.5 is 50%.

    Attributes:
        trades: closed records.
        round_trips: closed positions: those of the trades that ended one.
        open_trades: records that the end of the data left open; in no other figure but `open_pnl`.
        winners: trades with a net pnl above 0.
        losers: trades with a net pnl below 0.
        win_rate: winners / trades.
        net_pnl: money, sum of the net pnl.
        gross_pnl: money, the same before costs.
        commissions: money, sum of the fees; gross_pnl - commissions - slippage = net_pnl, up to
            rounding.
        slippage: money, sum of the slippage.
        open_pnl: money, sum of the net pnl of what is open: at the last price, with entry costs.
        profits: money, sum of the winners' net pnl.
        losses: money, at most 0, sum of the losers' net pnl.
        largest_profit: money, of the best winner.
        largest_loss: money, below 0, of the worst loser.
        mean_profit: money, profits / winners.
        mean_loss: money, losses / losers.
        mean_pnl: money, net_pnl / trades.
        std_pnl: money, sample standard deviation (n - 1) of the net pnl.
        reward_risk: mean_profit / -mean_loss.
        profit_factor: profits / -losses; infinite for winners without losers.
        expectancy: money, winners / trades x mean_profit + losers / trades x mean_loss; equal to
            `mean_pnl` up to rounding.
        expectancy_ratio: mean_pnl / -mean_loss: what a trade brings for each unit that a loser
            loses.
        sqn: system quality number, sqrt(trades) x mean_pnl / std_pnl.
        information_score: mean / sample standard deviation of net pnl over value at entry (size x
            entry price).
        win_streak: most winners in a row, in the order of the records; a trade at 0 ends a streak.
        loss_streak: most losers in a row.
        mean_mfe: money, at least 0, mean of the largest open gains.
        mean_mae: money, at most 0, mean of the largest open losses.
        max_margin_load: ratio, largest margin load of a trade at its entry.
        mean_margin_load: ratio, mean of those.
        min_bars: shortest duration, bars.
        mean_bars: mean duration, bars.
        max_bars: longest duration, bars.
        min_days: shortest duration, calendar days; NaN where the bars bear no dates, as below.
        mean_days: mean duration, calendar days.
        max_days: longest duration, calendar days.
        trades_per_month: trades over the months (of 365.2425 / 12 days) from the first bar to the
            last.
    """

    trades: int
    round_trips: int
    open_trades: int
    winners: int
    losers: int
    win_rate: float
    net_pnl: float
    gross_pnl: float
    commissions: float
    slippage: float
    open_pnl: float
    profits: float
    losses: float
    largest_profit: float
    largest_loss: float
    mean_profit: float
    mean_loss: float
    mean_pnl: float
    std_pnl: float
    reward_risk: float
    profit_factor: float
    expectancy: float
    expectancy_ratio: float
    sqn: float
    information_score: float
    win_streak: int
    loss_streak: int
    mean_mfe: float
    mean_mae: float
    max_margin_load: float
    mean_margin_load: float
    min_bars: float
    mean_bars: float
    max_bars: float
    min_days: float
    mean_days: float
    max_days: float
    trades_per_month: float


class PortfolioFigures(NamedTuple):
    """The figures of the equity and of the margin load, bar by bar.

    Attributes:
        capital: money at the start.
        equity: money at the last bar.
        return_ratio: equity / capital - 1.
        max_drawdown_ratio: largest (peak - equity) / peak at the close of a bar; the peak is the
            highest equity so far, `capital` included. Above 1 where the equity fell below 0.
        max_drawdown_bars: most bars in a row below an earlier peak.
        max_margin_load: ratio, largest margin load of a bar whose equity is above 0.
        mean_margin_load: ratio, mean over those bars, bars without a position included.
    """

    capital: float
    equity: float
    return_ratio: float
    max_drawdown_ratio: float
    max_drawdown_bars: int
    max_margin_load: float
    mean_margin_load: float


@dataclass(frozen=True, eq=False)
class Statistics:
    """The table of a trade log: columns All, Long and Short, and the portfolio.

    Immutable. `str()` of it is the table for a terminal.

    Attributes:
        table: (3, figures) float64, rows All, Long and Short in the order of `TradeFigures`.
        curves: (figures,) float64, in the order of `PortfolioFigures`.
    """

    table: Floats
    curves: Floats

    def __post_init__(self) -> None:
        self.table.flags.writeable = False
        self.curves.flags.writeable = False

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.table, self.curves)  # pickle drops read-only flags

    @property
    def all(self) -> TradeFigures:
        """Of all trades."""
        return self._column(0)

    @property
    def long(self) -> TradeFigures:
        """Of the long trades."""
        return self._column(1)

    @property
    def short(self) -> TradeFigures:
        """Of the short trades."""
        return self._column(2)

    @property
    def portfolio(self) -> PortfolioFigures:
        """Of equity and margin load."""
        return PortfolioFigures._make(_numbers(PortfolioFigures, self.curves))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Every figure by name, in parts "all", "long", "short" and "portfolio"; NaN stays NaN."""
        return {
            "all": self.all._asdict(),
            "long": self.long._asdict(),
            "short": self.short._asdict(),
            "portfolio": self.portfolio._asdict(),
        }

    def to_frame(self) -> Any:
        """A pandas DataFrame of float64: a row per figure of a trade, columns All, Long, Short.

        The portfolio's figures follow, each name with "portfolio_" before it, in All alone.

        Raises:
            ImportError: pandas is not installed.
        """
        rows = dict(zip(TradeFigures._fields, self.table.T.tolist(), strict=True))
        nan = float("nan")
        for name, value in zip(PortfolioFigures._fields, self.curves.tolist(), strict=True):
            rows[f"portfolio_{name}"] = [value, nan, nan]
        return _frames.figures_frame(rows, ("All", "Long", "Short"))

    def __str__(self) -> str:
        parts = self.to_dict()
        portfolio = parts.pop("portfolio")
        return text_table(list(parts.values()), portfolio)

    def _column(self, row: int) -> TradeFigures:
        return TradeFigures._make(_numbers(TradeFigures, self.table[row]))


def trade_statistics(
    trades: NDArray[np.void],
    equity: Floats,
    margin_load: Floats,
    capital: float,
    days: Floats | None = None,
) -> Statistics:
    """The figures of a log's parts; of a whole log see `TradeLog.statistics`.

    Pure and thread-safe. Cost: two passes over the records, one over the bars, and some to check
    them. Without numba the plain twin (`optimizer.reference.statistics`) gives the same bits, with
    one warning.

    Args:
        trades: records of `TRADE_DTYPE`.
        equity: (T,) float64, money, at least one bar.
        margin_load: (T,) float64, ratio or NaN.
        capital: money at the start, above 0.
        days: (T,) float64, calendar days since the first bar; None where the bars bear no dates.

    Raises:
        PriceError: a part of another type or shape, a capital that is not above 0, or, where there
            are days, a closed trade whose bars are none of the log's.
    """
    return figures_of(*read_log(trades, equity, margin_load, capital, days))


def figures_of(
    trades: NDArray[np.void],
    equity: Floats,
    margin_load: Floats,
    capital: float,
    days: Floats | None,
) -> Statistics:
    """`trade_statistics` of what a log holds: the kernel alone looks whether the parts fit.

    Raises:
        PriceError: as `trade_statistics`.
    """
    days = _NO_DAYS if days is None else days
    if available("numba"):
        table = np.empty((3, len(TradeFigures._fields)))
        curves = np.empty(len(PortfolioFigures._fields))
        try:
            refused = _kernels().trade_statistics(
                trades, equity, margin_load, capital, days, table, curves
            )
        except Exception:  # numba's, or numpy's, of arrays of other types or dimensions
            check_log(trades, equity, margin_load, capital, days)
            raise
        if refused:
            check_log(trades, equity, margin_load, capital, days)
        return Statistics(table, curves)
    check_log(trades, equity, margin_load, capital, days)
    rows, row = reference.trade_statistics(
        trades.tolist(), equity.tolist(), margin_load.tolist(), capital, days.tolist()
    )
    return Statistics(np.array(rows), np.array(row))


@functools.cache
def _kernels() -> ModuleType:
    # Imported by the first call that needs it, as importing numba takes long.
    from optimizer.backtest import _statistics_kernels

    return _statistics_kernels


def _numbers(figures: type[Any], values: Floats) -> list[Any]:
    """Counts as int, the rest as float."""
    return [
        int(value) if name in _COUNTS else value
        for name, value in zip(figures._fields, values.tolist(), strict=True)
    ]
