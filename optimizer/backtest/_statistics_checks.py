"""What figures can be made of: the parts of a log, and what is said about those that do not fit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest._arrays import read_floats
from optimizer.errors import PriceError
from optimizer.reference.statistics import OPEN

Floats = NDArray[np.float64]
Records = NDArray[np.void]


def read_log(
    trades: Any, equity: Any, margin_load: Any, capital: Any, days: Any
) -> tuple[Records, Floats, Floats, float, Floats]:
    """The parts as the kernel wants them, checked; days of None become none at all.

    C-contiguous and read-only: every caller's arrays become that one type, or numba would compile
    the kernel once per kind.
    """
    equity, margin_load = _curve(equity, "equity"), _curve(margin_load, "margin_load")
    days = np.empty(0) if days is None else _curve(days, "days")
    check_log(trades, equity, margin_load, capital, days)
    records = np.ascontiguousarray(trades).view(_record())
    records.flags.writeable = False
    return records, equity, margin_load, float(capital), days


def check_log(trades: Any, equity: Any, margin_load: Any, capital: Any, days: Any) -> None:
    """Name the first part that does not fit, if there is one; `days` may be empty."""
    if not isinstance(trades, np.ndarray) or trades.dtype != _record() or trades.ndim != 1:
        found = getattr(trades, "dtype", type(trades).__name__)
        raise PriceError(
            f"trades has shape {np.shape(trades)} and holds {found!s:.80}; expected one dimension "
            f"of TRADE_DTYPE: pass the trades of a log"
        )
    for name, curve in (("equity", equity), ("margin_load", margin_load), ("days", days)):
        if curve.ndim != 1 or curve.dtype.kind not in "fiu":
            raise PriceError(
                f"{name} has shape {curve.shape} and holds {curve.dtype}; expected one dimension "
                f"of numbers, one per bar"
            )
    n_bars = len(equity)
    if n_bars == 0:
        raise PriceError("equity is empty; pass the money at each bar, for at least one bar")
    for name, length in (("margin_load", len(margin_load)), ("days", len(days) or n_bars)):
        if length != n_bars:
            raise PriceError(
                f"{name} has {length} values beside an equity of {n_bars} bars; pass one per bar"
            )
    _check_capital(capital)
    if len(days):
        _check_bars(trades, n_bars)


def _check_capital(capital: Any) -> None:
    try:
        fits = 0.0 < float(capital) < math.inf
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise PriceError(f"capital is {capital!r}; pass an amount of money above 0")


def _check_bars(trades: Records, n_bars: int) -> None:
    """Those of closed trades: only between them are days counted."""
    entry, end = trades["entry_bar"], trades["exit_bar"]
    outside = (entry < 0) | (entry >= n_bars) | (end < 0) | (end >= n_bars)
    for at in np.flatnonzero(outside & (trades["status"] != OPEN))[:1]:
        raise PriceError(
            f"trades[{at}] runs from bar {entry[at]} to bar {end[at]}, but there are the bars 0 to "
            f"{n_bars - 1}; pass the equity and the days of the log that the trades are of"
        )


def _curve(values: Any, name: str) -> Floats:
    array = read_floats(values, name).view(np.ndarray)
    array.flags.writeable = False
    return array


def _record() -> np.dtype[Any]:
    # Imported here, as the log's own module asks the statistics, and so this one.
    from optimizer.backtest.trade_log import TRADE_DTYPE

    return TRADE_DTYPE
