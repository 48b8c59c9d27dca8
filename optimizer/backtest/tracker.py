"""The trade tracker: from prices and target weights to every trade, equity and margin load."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer._compat import available
from optimizer.backtest._arrays import read_floats
from optimizer.backtest._trade_rules import broken_rule
from optimizer.errors import PriceError, TradeLogError
from optimizer.reference import tracker as reference

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["TRADE_DTYPE", "CapitalMode", "Reason", "Status", "TradeLog", "track_trades"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CapitalMode = Literal["equity", "starting"]


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
    ]
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
    """

    trades: NDArray[np.void]
    equity: Floats
    margin_load: Floats
    capital: float

    def __post_init__(self) -> None:
        for array in (self.trades, self.equity, self.margin_load):
            array.flags.writeable = False

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.trades, self.equity, self.margin_load, self.capital)

    def __len__(self) -> int:
        return len(self.trades)

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


def track_trades(
    close: ArrayLike,
    rebalance_bars: ArrayLike,
    weights: ArrayLike,
    *,
    capital: float = 100_000.0,
    fee_rate: float = 0.0,
    slippage_rate: float = 0.0,
    capital_mode: CapitalMode = "equity",
) -> TradeLog:
    """Every trade of a portfolio that follows target weights, with its equity and margin load.

    These semantics stay as they are; the compiled kernel and its plain twin
    (`optimizer.reference.tracker`) both keep them, to the bit.

    - **When.** All trades happen at the close of a rebalance bar, at that bar's prices, asset by
      asset in column order. All are sized on the same equity: cash plus the value of the holdings
      at that bar before its trades.
    - **Size.** An asset's target quantity is weight x base / price; negative is short. The base is
      the equity in the capital mode "equity", and `capital`, whatever has happened since, in
      "starting". There is no limit on leverage and no interest on cash.
    - **Weights.** NaN leaves the position alone; 0 closes it. A change worth at most 1e-12 of the
      equity is not traded (rounding alone would cause it), except that 0 always closes.
    - **Costs** are money, and never part of a price: a trade of value v = |quantity| x price pays
      v x `fee_rate` and v x `slippage_rate` from cash. Entry and exit price are market prices.
    - **Positions.** A position runs from the bar where an asset's quantity leaves 0 to the bar
      where it returns to 0 or changes sign, and bears a running number. An increase moves its
      entry price to the average cost. A decrease ends a slice of it and leaves the entry price.
      A change of sign is a close and an open at the same bar: the old position ends with reason
      "flipped" and a new one begins, each leg with its own costs.
    - **Records.** Each slice that ends is a record: reduced, closed, flipped, or, for what is
      still held at the end of the data, open, valued at the last price at no cost. An open has no
      record until something ends. A slice takes its share, by size, of what the position has
      gathered: entry fees, entry slippage, margin load, excursions.
    - **Excursions.** MFE and MAE are the best and the worst open pnl, money before costs, of the
      quantity held over the closes from entry to exit, both included; 0 if never above or below.
    - **Margin load** of a trade: value at entry over the equity before the trades of that bar;
      what an increase adds is added. Of a bar: see `TradeLog`.
    - **Missing prices.** A NaN price is no price: nothing is traded, and the holding keeps the
      value of its last price. Before its first price an asset is worth nothing and cannot be
      traded. A bar without any price is still a bar.
    - **Bankrupt.** While the equity before the trades of a bar is not above 0, in both capital
      modes, weight 0 closes and any other weight leaves the position alone: nothing is opened,
      increased, reduced or flipped. Holdings keep their value, so the equity may recover.
    - **Sum.** The net pnl of all records is the last equity minus `capital`, up to rounding.

    Pure: inputs are neither kept nor changed, and it may be called from many threads. Cost: one
    pass over the prices, one step per asset and rebalance; memory for R x N + N records while it
    runs, of which those used are kept. Without numba the plain twin answers, with one warning.

    Args:
        close: (T, N), prices above 0; NaN or masked where there is none. Best given as
            C-contiguous float64: other arrays are copied.
        rebalance_bars: (R,) integers, rows of `close`, strictly increasing; R may be 0.
        weights: (R, N), finite as a ratio of the base: 0.5 is half of it, -1 is short; NaN or
            masked leaves the position alone.
        capital: cash at the start, money, above 0.
        fee_rate: ratio of the traded value, 0 to below 1.
        slippage_rate: ratio of the traded value, 0 to below 1.
        capital_mode: "equity" or "starting".

    Returns:
        The records, the equity and the margin load.

    Raises:
        PriceError: a shape, bar, price, weight or setting that cannot be traded on, with its
            place; or an equity beyond the range of floats.
    """
    prices = _floats(close, "close", 2)
    bars = _integers(rebalance_bars)
    targets = _floats(weights, "weights", 2)
    _check_shapes(prices, bars, targets)
    money = (
        _number(capital, "capital"),
        _number(fee_rate, "fee_rate"),
        _number(slippage_rate, "slippage_rate"),
    )
    _check_settings(*money, capital_mode)
    track = _track_compiled if available("numba") else _track_plain
    trades, equity, margin_load = track(prices, bars, targets, money, capital_mode)
    return TradeLog(trades, equity, margin_load, money[0])


# --- the two ways to the same bytes


@functools.cache
def _kernels() -> ModuleType:
    # Importing numba takes longer than most backtests, so only the first call that needs it does.
    from optimizer.backtest import _kernels

    return _kernels


_Money = tuple[float, float, float]
_Tracked = tuple[NDArray[np.void], Floats, Floats]


def _track_compiled(
    close: Floats, bars: Ints, weights: Floats, money: _Money, mode: CapitalMode
) -> _Tracked:
    n_bars, n_assets = close.shape
    # Room for the most records there can be; pages that are never written cost nothing.
    trades = np.empty((len(bars) + 1) * n_assets, TRADE_DTYPE)
    equity = np.empty(n_bars)
    margin_load = np.empty(n_bars)
    kernels = _kernels()
    n_trades, verdict = kernels.track_trades(
        close, bars, weights, *money, mode == "equity", trades, equity, margin_load
    )
    if verdict != kernels.FINE:
        _refuse(close, bars, weights, equity)
    # Gives the unused rest back in place; nobody else refers to the array yet.
    trades.resize(n_trades, refcheck=False)
    return trades, equity, margin_load


def _track_plain(
    close: Floats, bars: Ints, weights: Floats, money: _Money, mode: CapitalMode
) -> _Tracked:
    capital, fee_rate, slippage_rate = money
    _check_values(close, bars, weights)
    records, equities, loads = reference.track_trades(
        close.tolist(), bars.tolist(), weights.tolist(),
        capital=capital, fee_rate=fee_rate, slippage_rate=slippage_rate, capital_mode=mode,
    )  # fmt: skip
    equity = np.array(equities)
    _check_equity(equity)
    return np.array(records, dtype=TRADE_DTYPE), equity, np.array(loads)


# --- what can be traded on


def _floats(values: ArrayLike, name: str, ndim: int) -> Floats:
    """The values as the kernel wants them: C-contiguous, aligned, float64, read-only.

    Every caller's array becomes that one type, or numba would compile the kernel once per layout.
    """
    array = read_floats(values, name)
    if array.ndim != ndim:
        raise PriceError(
            f"{name} has shape {array.shape}; expected {ndim} dimensions, a row per bar and a "
            f"column per asset"
        )
    view = array.view(np.ndarray)
    view.flags.writeable = False
    return view


def _integers(values: ArrayLike) -> Ints:
    array = np.asarray(values)
    if array.size == 0 and array.ndim == 1:
        array = array.astype(np.int64)  # an empty list is float64 to numpy
    if array.ndim != 1 or array.dtype.kind not in "iu":
        hint = "np.flatnonzero(mask)" if array.dtype.kind == "b" else "row numbers of close"
        raise PriceError(
            f"rebalance_bars has shape {array.shape} and dtype {array.dtype}; expected one "
            f"dimension of integers: pass {hint}"
        )
    view = np.require(array, np.int64, ("C", "A")).view(np.ndarray)
    view.flags.writeable = False
    return view


def _number(value: float, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise PriceError(f"{name} is {value!r}; pass a number") from error


def _check_shapes(close: Floats, bars: Ints, weights: Floats) -> None:
    if close.size == 0:
        raise PriceError(f"close has shape {close.shape}; pass at least one bar of one asset")
    expected = (len(bars), close.shape[1])
    if weights.shape != expected:
        raise PriceError(
            f"weights has shape {weights.shape} beside {len(bars)} rebalance bars and "
            f"{close.shape[1]} assets; expected {expected}: pass one row per rebalance bar, one "
            f"column per asset"
        )


def _check_settings(capital: float, fee: float, slippage: float, mode: str) -> None:
    if not 0.0 < capital < math.inf:
        raise PriceError(f"capital is {capital}; pass an amount of money above 0")
    for name, rate in (("fee_rate", fee), ("slippage_rate", slippage)):
        if not 0.0 <= rate < 1.0:
            raise PriceError(f"{name} is {rate}; pass a ratio from 0 to below 1, 0.001 for 0.1%")
    if mode not in ("equity", "starting"):
        raise PriceError(f"capital_mode is {mode!r}; pass 'equity' or 'starting'")


def _check_values(close: Floats, bars: Ints, weights: Floats) -> None:
    """Name the first bar, price or weight that cannot be traded on, if there is one."""
    n_bars = len(close)
    for at in np.flatnonzero((bars < 0) | (bars >= n_bars))[:1]:
        raise PriceError(
            f"rebalance_bars[{at}] is {bars[at]}, but close has the bars 0 to {n_bars - 1}; pass "
            f"row numbers of close"
        )
    for at in np.flatnonzero(bars[1:] <= bars[:-1])[:1] + 1:
        raise PriceError(
            f"rebalance_bars[{at}] is {bars[at]} after {bars[at - 1]}; expected strictly "
            f"increasing bars: sort them and merge the duplicates"
        )
    for bar, asset in np.argwhere((close <= 0.0) | (close == np.inf))[:1]:
        raise PriceError(
            f"close[{bar}, {asset}] is {close[bar, asset]}; expected a price above 0, or NaN where "
            f"there is none"
        )
    for row, asset in np.argwhere(np.isinf(weights))[:1]:
        raise PriceError(
            f"weights[{row}, {asset}] is {weights[row, asset]}; expected a finite weight, or NaN "
            f"to leave the position alone"
        )


def _check_equity(equity: Floats) -> None:
    for bar in np.flatnonzero(~np.isfinite(equity))[:1]:
        raise PriceError(
            f"the equity at bar {bar} is {equity[bar]}, beyond the range of floats; pass smaller "
            f"weights, prices or capital"
        )


def _refuse(close: Floats, bars: Ints, weights: Floats, equity: Floats) -> NoReturn:
    """Say why the kernel refused: it only knows that something was wrong."""
    _check_values(close, bars, weights)
    _check_equity(equity)
    raise AssertionError("the kernel refused what the checks accept")
