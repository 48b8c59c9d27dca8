"""What the tracker gives: a record for each trade, and the equity and margin load of each bar."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest import _frames
from optimizer.backtest._labels import Labels
from optimizer.backtest._trade_rules import broken_rule
from optimizer.backtest.statistics import Statistics, figures_of
from optimizer.errors import TradeLogError

__all__ = ["TRADE_DTYPE", "Labels", "Reason", "Status", "TradeLog"]

Floats = NDArray[np.float64]


class Status(IntEnum):
    """Whether the slice was traded away, or only valued at the end of the data."""

    OPEN = 0
    CLOSED = 1


class Reason(IntEnum):
    """Why the slice ended."""

    REDUCED = 1
    CLOSED = 2
    FLIPPED = 3
    END_OF_DATA = 4


TRADE_DTYPE = np.dtype(
    (
        np.record,
        [
            ("asset", "i4"),  # column of `close`
            ("position", "i4"),  # running number of the position, 0 for the first one opened
            ("entry_bar", "i4"),  # bar at which the position was opened
            ("exit_bar", "i4"),  # bar at which the slice ended; the last bar if it is open
            ("bars_held", "i4"),  # exit_bar - entry_bar
            ("side", "i1"),  # +1 long, -1 short
            ("status", "i1"),  # Status
            ("reason", "i2"),  # Reason
            ("size", "f8"),  # units of the slice, > 0
            ("entry_price", "f8"),  # average price at which the position was entered
            ("exit_price", "f8"),  # price at which the slice ended
            ("fees", "f8"),  # money, >= 0: share of the entry fees + the exit fee
            ("slippage", "f8"),  # money, >= 0: the same of slippage
            ("gross_pnl", "f8"),  # money: side x (exit_price - entry_price) x size
            ("net_pnl", "f8"),  # money: gross_pnl - fees - slippage
            ("mfe", "f8"),  # money, >= 0: largest open gain of the slice, before costs
            ("mae", "f8"),  # money, <= 0: largest open loss of the slice, before costs
            ("margin_load", "f8"),  # ratio: value at entry / equity at entry
        ],
    )
)
"""One record of `TradeLog.trades`: 104 bytes without padding."""


@dataclass(frozen=True, eq=False)
class TradeLog:
    """Every trade of a portfolio, and its equity and margin load, bar by bar.

    Immutable: the arrays are made read-only, also by pickle and copy. `len(log)` is the number
    of records.

    Attributes:
        trades: records of `TRADE_DTYPE` in the order in which they ended; at the same bar by
            column, open slices last.
        equity: (T,) float64, money after the trades of the bar.
        margin_load: (T,) float64, sum of |quantity| x price over equity after the trades of the
            bar; NaN where equity is not above 0.
        capital: cash at the start, money.
        labels: what the bars and assets are called; None where the prices did not say.
    """

    trades: NDArray[np.void]
    equity: Floats
    margin_load: Floats
    capital: float
    labels: Labels | None = None

    def __post_init__(self) -> None:
        for array in (self.trades, self.equity, self.margin_load):
            array.flags.writeable = False

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self.trades, self.equity, self.margin_load, self.capital, self.labels)
        return type(self), parts

    def __len__(self) -> int:
        return len(self.trades)

    def statistics(self) -> Statistics:
        """The figures of all, of the long and of the short trades, and of the equity.

        Cost: two passes over the records and one over the bars; no array is allocated but the
        figures. `optimizer.backtest.statistics` defines each figure. Without numba the plain twin
        answers, with one warning.

        Raises:
            PriceError: a log made by hand whose parts do not fit, as of `trade_statistics`.
        """
        days = None if self.labels is None else self.labels.days
        return figures_of(self.trades, self.equity, self.margin_load, self.capital, days)

    def to_frame(self) -> Any:
        """The records as a pandas DataFrame, a row each.

        Columns are the fields of `TRADE_DTYPE`; side, status and reason are words. With labels,
        `asset` holds the asset's name, and `entry` and `exit` the labels of the bars.

        Raises:
            ImportError: pandas is not installed.
        """
        return _frames.trades_frame(self.trades, self.labels, Status, Reason)

    def equity_frame(self) -> Any:
        """Equity and margin load as a pandas DataFrame, a row per bar, by the bars' labels.

        Raises:
            ImportError: pandas is not installed.
        """
        return _frames.equity_frame(self.equity, self.margin_load, self.labels)

    def check(self) -> None:
        """Verify every rule that ties the records to each other and to the equity.

        Cost: some passes over the records.

        Raises:
            TradeLogError: the first rule that does not hold, with the numbers.
        """
        broken = broken_rule(self.trades, self.equity, self.margin_load, self.capital)
        if broken is not None:
            raise TradeLogError(
                f"{broken}; the log was changed after it was made, or the tracker is wrong: "
                f"please report it with the inputs"
            )
