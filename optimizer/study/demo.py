"""The demonstration: a momentum portfolio on the shipped S&P data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest.prices import load_sp500, month_ends
from optimizer.backtest.tracker import track_trades

DIRECTION = "maximize"
SPACE: Mapping[str, Mapping[str, Any]] = {
    "lookback_months": {"type": "int", "min": 1, "max": 12},
    "skip_months": {"type": "int", "min": 0, "max": 1},
    "holdings": {"type": "int", "min": 1, "max": 10},
    "side": {"type": "categorical", "choices": ["long", "long-short"]},
    "exposure": {"type": "float", "min": 0.5, "max": 1.5, "step": 0.25},
}
MONTH, YEAR = 21, 252
"""Bars of a month and of a year."""
_LONGEST = 13 * MONTH  # the longest look-back, after the longest pause


class _Context(Protocol):
    @property
    def data(self) -> Mapping[str, Any]: ...


def market() -> dict[str, NDArray[Any]]:
    """The data: prices (T, N), and at which bars the portfolio is changed, (T,) bool.

    A mask, and not the numbers of the bars: it can be cut to a part of the data.
    """
    panel = load_sp500()
    is_month_end = np.zeros(len(panel.dates), dtype=bool)
    is_month_end[month_ends(panel.dates)] = True
    return {"close": panel.close, "is_month_end": is_month_end}


def warm_up(data: Mapping[str, Any]) -> None:
    """Have compiled what `objective` needs, so that no trial waits for it."""
    close = data["close"]
    n, bars = close.shape[1], np.flatnonzero(data["is_month_end"])[:2]
    track_trades(close, bars, np.zeros((len(bars), n)), fee_rate=0.001, slippage_rate=0.0005)


def objective(params: Mapping[str, Any], context: _Context) -> float:
    """Yearly growth of the capital, a ratio; -1 where the account was wiped out.

    Each month the assets that rose most over the look-back are bought, and in a "long-short"
    portfolio those that rose least are sold.
    """
    close = context.data["close"]
    bars = np.flatnonzero(context.data["is_month_end"])
    bars = bars[bars >= _LONGEST]
    recent = bars - params["skip_months"] * MONTH
    past = close[recent] / close[recent - params["lookback_months"] * MONTH]
    rank = past.argsort(axis=1).argsort(axis=1)
    n, held = close.shape[1], params["holdings"]
    share = params["exposure"] / held
    weights = np.where(rank >= n - held, share, 0.0)
    if params["side"] == "long-short":
        weights -= np.where(rank < held, share, 0.0)
    equity = track_trades(close, bars, weights, fee_rate=0.001, slippage_rate=0.0005).equity
    if equity.min() <= 0.0:
        return -1.0
    years = (len(close) - _LONGEST) / YEAR
    return float((equity[-1] / equity[0]) ** (1.0 / years)) - 1.0
