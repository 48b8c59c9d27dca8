"""The trade tracker: from prices and target weights to every trade, equity and margin load."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer._compat import available
from optimizer.backtest import _tradable
from optimizer.backtest._labels import given_labels, read_close, read_like, read_orders
from optimizer.backtest._tradable import Floats, Ints, Money
from optimizer.backtest._workspace import BLOCK_DTYPE, LANES, PLAN_DTYPE, Workspace
from optimizer.backtest.prices import PricePanel
from optimizer.backtest.trade_log import TRADE_DTYPE, Labels, Reason, Status, TradeLog
from optimizer.errors import PriceError
from optimizer.reference import tracker as reference

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "TRADE_DTYPE",
    "CapitalMode",
    "Labels",
    "Reason",
    "Status",
    "Tracker",
    "TradeLog",
    "track_trades",
]

CapitalMode = Literal["equity", "starting"]

_KEPT = 2  # the workspace of the log that is still bound while the next one is made, and the next


def track_trades(
    close: ArrayLike | PricePanel,
    rebalance_bars: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    *,
    capital: float = 100_000.0,
    fee_rate: float = 0.0,
    slippage_rate: float = 0.0,
    fixed_fee: float = 0.0,
    lag: int = 0,
    capital_mode: CapitalMode = "equity",
    high: ArrayLike | None = None,
    low: ArrayLike | None = None,
) -> TradeLog:
    """Every trade of a portfolio that follows target weights, with its equity and margin load.

    These semantics stay as they are; the compiled kernel and its plain twin
    (`optimizer.reference.tracker`) both keep them, to the bit.

    - **When.** All trades happen at a close, at its prices, asset by asset in column order: that of
      the rebalance bar, or with `lag` 1 that of the bar after it. So weights that were computed
      from a bar's close need lag 1 to be traded without looking ahead; what the last bar orders is
      then never traded. All are sized on the same equity: cash plus the value of the holdings at
      the close at which they are traded, before its trades.
    - **Size.** An asset's target quantity is weight x base / price; negative is short. The base is
      the equity in the capital mode "equity", and `capital`, whatever has happened since, in
      "starting". There is no limit on leverage and no interest on cash.
    - **Weights.** NaN leaves the position alone; 0 closes it. A change worth at most 1e-12 of the
      equity is not traded (rounding alone would cause it), except that 0 always closes.
    - **Costs** are money, and never part of a price: a trade of value v = |quantity| x price pays
      v x `fee_rate` + `fixed_fee` and v x `slippage_rate` from cash. Entry and exit price are
      market prices.
    - **Positions.** A position runs from the bar where an asset's quantity leaves 0 to the bar
      where it returns to 0 or changes sign, and bears a running number. An increase moves its
      entry price to the average cost. A decrease ends a slice of it and leaves the entry price.
      A change of sign is a close and an open at the same bar: the old position ends with reason
      "flipped" and a new one begins, each leg with its own costs, the fixed fee included.
    - **Records.** Each slice that ends is a record: reduced, closed, flipped, or, for what is
      still held at the end of the data, open, valued at the last price at no cost. An open has no
      record until something ends. A slice takes its share, by size, of what the position has
      gathered: entry fees, entry slippage, margin load, excursions.
    - **Excursions.** MFE and MAE are the best and the worst open pnl, money before costs, of the
      quantity held over the closes from entry to exit, both included; 0 if never above or below.
      With `high` and `low` they reach as far as those of the bars after the entry, that of the
      exit included; those of a bar without a close tell nothing.
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
    runs, of which those used are kept; with `high` and `low` some passes more, to look at them.
    Without numba the plain twin answers, with one warning. For many runs on the same prices see
    `Tracker`.

    Args:
        close: (T, N), prices above 0; NaN or masked where there is none. Best given as
            C-contiguous float64: other arrays are copied. A `PricePanel` or a pandas DataFrame (a
            Series is one asset) gives the log its labels.
        rebalance_bars: (R,) integers, rows of `close`, strictly increasing; R may be 0. Where
            `close` has labels, labels of bars as well. None: the index of `weights` if that is a
            frame, else every bar.
        weights: (R, N), finite as a ratio of the base: 0.5 is half of it, -1 is short; NaN or
            masked leaves the position alone. A frame's columns are matched with those of `close`.
        capital: cash at the start, money, above 0.
        fee_rate: ratio of the traded value, 0 to below 1.
        slippage_rate: ratio of the traded value, 0 to below 1.
        fixed_fee: money for each trade, at least 0.
        lag: bars between a rebalance bar and its trades, 0 or 1.
        capital_mode: "equity" (profits are reinvested) or "starting" (fixed capital).
        high: (T, N), highest prices of the bars, at or above `close`, or NaN; only with `low`.
        low: (T, N), lowest prices of the bars, at or below `close`, or NaN; only with `high`.

    Returns:
        The records, the equity and the margin load.

    Raises:
        PriceError: a shape, label, bar, price, weight or setting that cannot be traded on, with
            its place; or an equity beyond the range of floats.
    """
    values, labels = read_close(close)
    prices = _tradable.floats(values, "close")
    rows, values = read_orders(rebalance_bars, weights, labels, len(prices))
    bars, targets = _tradable.integers(rows), _tradable.floats(values, "weights")
    _tradable.check_shapes(prices, bars, targets)
    money = _tradable.money(capital, fee_rate, slippage_rate, fixed_fee, capital_mode)
    market = prices, *_reach(prices, high, low, labels)
    orders = bars, targets, _tradable.lag(lag)
    track = _track_compiled if available("numba") else _track_plain
    return track(market, orders, money, capital_mode, labels)


class Tracker:
    """`track_trades` on one market with one set of settings, for many runs: an objective's way.

    Prices, highs, lows and labels are read and checked once. The memory of a run is used again as
    soon as nobody refers to its log or to an array of it any more, so a study that keeps numbers,
    not logs, allocates no array from its third trial on; a log that is kept stays as it is.

    Thread-safe; threads that are to allocate nothing either need a tracker each. A process forked
    in the middle of another thread's run can use it. Pickles without its memory.

    Args:
        close: as of `track_trades`. Not copied where it is C-contiguous float64: do not write to it
            afterwards.
        high: as of `track_trades`.
        low: as of `track_trades`.
        dates: (T,) strictly increasing dates of a bare array, for durations in calendar days.
        assets: N names of the columns of a bare array.
        capital: as of `track_trades`, like all that follow.
        fee_rate: ratio.
        slippage_rate: ratio.
        fixed_fee: money.
        lag: 0 or 1.
        capital_mode: "equity" or "starting".

    Raises:
        PriceError: as `track_trades`.
    """

    def __init__(
        self,
        close: ArrayLike | PricePanel,
        *,
        high: ArrayLike | None = None,
        low: ArrayLike | None = None,
        dates: ArrayLike | None = None,
        assets: Any = None,
        capital: float = 100_000.0,
        fee_rate: float = 0.0,
        slippage_rate: float = 0.0,
        fixed_fee: float = 0.0,
        lag: int = 0,
        capital_mode: CapitalMode = "equity",
    ) -> None:
        values, labels = read_close(close)
        prices = _tradable.floats(values, "close")
        if dates is not None or assets is not None:
            if labels is not None:
                raise PriceError("close has labels of its own; pass dates and assets with arrays")
            labels = given_labels(prices.shape, dates, assets)
        nothing = np.empty((0, prices.shape[1]))
        _tradable.check_shapes(prices, nothing[:, 0].astype(np.int64), nothing)
        _tradable.check_values(prices, nothing[:, 0].astype(np.int64), nothing, labels)
        self._market = prices, *_reach(prices, high, low, labels)
        self._money = _tradable.money(capital, fee_rate, slippage_rate, fixed_fee, capital_mode)
        self._lag = _tradable.lag(lag)
        self._mode: CapitalMode = capital_mode
        self._labels = labels
        self._workspaces: list[Workspace] = []
        self._lock = threading.Lock()
        _trackers.add(self)

    @property
    def labels(self) -> Labels | None:
        """What the bars and assets are called; None where the prices did not say."""
        return self._labels

    def track(
        self, rebalance_bars: ArrayLike | None = None, weights: ArrayLike | None = None
    ) -> TradeLog:
        """The log of these weights; the same bits as from `track_trades`.

        Args:
            rebalance_bars: as of `track_trades`.
            weights: as of `track_trades`.

        Raises:
            PriceError: as `track_trades`.
        """
        close = self._market[0]
        rows, values = read_orders(rebalance_bars, weights, self._labels, len(close))
        bars, targets = _tradable.integers(rows), _tradable.floats(values, "weights")
        _tradable.check_shapes(close, bars, targets)
        orders = bars, targets, self._lag
        if not available("numba"):
            return _track_plain(self._market, orders, self._money, self._mode, self._labels)
        with self._lock:
            room = self._workspace((len(bars) + 1) * close.shape[1])
            # From here on it is lent: these views are what the log will hold.
            equity, margin_load = room.equity[:], room.margin_load[:]
        n_trades = _fill(
            *(self._market, orders, self._money, self._mode, self._labels),
            (room.book, room.plans, room.trades, equity, margin_load),
        )
        trades = room.trades[:n_trades]
        return TradeLog(trades, equity, margin_load, self._money[0], self._labels)

    def _workspace(self, capacity: int) -> Workspace:
        """One that nobody uses and that is large enough; `_lock` is held."""
        free = [room for room in self._workspaces if room.free]
        for room in free:
            if room.capacity >= capacity:
                return room
        for room in free or self._workspaces[: 1 - _KEPT]:  # too small, or the oldest ones
            self._workspaces.remove(room)
        n_bars, n_assets = self._market[0].shape
        room = Workspace(n_bars, n_assets, capacity, TRADE_DTYPE)
        self._workspaces.append(room)
        return room

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_workspaces": [], "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())
        for array in self._market:
            if array is not None:
                array.flags.writeable = False  # pickle drops read-only flags
        _trackers.add(self)


_trackers: weakref.WeakSet[Tracker] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for tracker in list(_trackers):
        tracker._lock = threading.Lock()  # the old one may be held by a thread that is not there


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


# --- the two ways to the same bytes


_Market = tuple[Floats, Floats | None, Floats | None]
_Orders = tuple[Ints, Floats, int]
_Room = tuple[NDArray[np.void], NDArray[np.void], NDArray[np.void], Floats, Floats]


@functools.cache
def _kernels() -> ModuleType:
    # Importing numba takes longer than most backtests, so only the first call that needs it does.
    from optimizer.backtest import _kernels

    return _kernels


def _reach(
    close: Floats, high: ArrayLike | None, low: ArrayLike | None, labels: Labels | None
) -> tuple[Floats | None, Floats | None]:
    """Highs and lows as the kernel wants them: both checked, or both None."""
    if high is None and low is None:
        return None, None
    if high is None or low is None:
        given, missing = ("low", "high") if high is None else ("high", "low")
        raise PriceError(f"{given} came without {missing}; pass both or neither")
    highs = _tradable.floats(read_like(high, "high", labels), "high")
    lows = _tradable.floats(read_like(low, "low", labels), "low")
    _tradable.check_reach(close, highs, lows, labels)
    return highs, lows


def _fill(
    market: _Market, orders: _Orders, money: Money, mode: CapitalMode, labels: Labels | None,
    room: _Room,
) -> int:  # fmt: skip
    """Run the kernel in this room; how many trades it recorded."""
    kernels = _kernels()
    n_trades: int
    bars, weights, lag = orders
    *rates, fixed_fee = money
    n_trades, verdict = kernels.track_trades(
        *market, bars, weights, lag or None, *rates, fixed_fee or None, mode == "equity", *room
    )
    if verdict != kernels.FINE:
        _tradable.refuse(market[0], bars, weights, room[-2], labels)
    return n_trades


def _track_compiled(
    market: _Market, orders: _Orders, money: Money, mode: CapitalMode, labels: Labels | None
) -> TradeLog:
    n_bars, n_assets = market[0].shape
    trades = np.empty((len(orders[0]) + 1) * n_assets, TRADE_DTYPE)
    equity, margin_load = np.empty(n_bars), np.empty(n_bars)
    book, plans = np.empty(-(-n_assets // LANES), BLOCK_DTYPE), np.empty(1, PLAN_DTYPE)
    room = book, plans, trades, equity, margin_load
    n_trades = _fill(market, orders, money, mode, labels, room)
    # Gives the unused rest back in place; nobody outside refers to the array yet.
    trades.resize(n_trades, refcheck=False)
    return TradeLog(trades, equity, margin_load, money[0], labels)


def _track_plain(
    market: _Market, orders: _Orders, money: Money, mode: CapitalMode, labels: Labels | None
) -> TradeLog:
    close, high, low = market
    bars, weights, lag = orders
    capital, fee_rate, slippage_rate, fixed_fee = money
    _tradable.check_values(close, bars, weights, labels)
    records, equities, loads = reference.track_trades(
        close.tolist(), bars.tolist(), weights.tolist(),
        capital=capital, fee_rate=fee_rate, slippage_rate=slippage_rate, fixed_fee=fixed_fee,
        lag=lag, capital_mode=mode,
        high=None if high is None else high.tolist(), low=None if low is None else low.tolist(),
    )  # fmt: skip
    equity = np.array(equities)
    _tradable.check_equity(equity)
    trades = np.array(records, dtype=TRADE_DTYPE)
    return TradeLog(trades, equity, np.array(loads), capital, labels)
