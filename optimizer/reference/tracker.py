"""The plain twin of the trade tracker: one loop over lists.

`optimizer.backtest.tracker.track_trades` states the semantics. This code does the same arithmetic
in the same order as the compiled kernel, so both give the same bits; it validates nothing. A bar
whose equity is beyond the range of floats before its trades is not traded on: its equity stays
infinite, for the caller to refuse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Trade = tuple[
    int, int, int, int, int, int, int, int,
    float, float, float, float, float, float, float, float, float, float,
]  # fmt: skip
"""The fields of a record, in the order of `TRADE_DTYPE`."""

OPEN, CLOSED = 0, 1
REDUCED, CLOSE, FLIPPED, END_OF_DATA = 1, 2, 3, 4
DUST_RATIO = 1e-12


class _Book:
    """The state of each asset's position, as lists by asset, and the cash beside them."""

    def __init__(
        self,
        n_assets: int,
        capital: float,
        fee_rate: float,
        slippage_rate: float,
        fixed_fee: float,
    ) -> None:
        self.cash = capital
        self.fee_rate = fee_rate
        self.slippage_rate = slippage_rate
        self.fixed_fee = fixed_fee
        self.quantity = [0.0] * n_assets
        self.last = [0.0] * n_assets
        self.high = [0.0] * n_assets
        self.low = [0.0] * n_assets
        self.cost = [0.0] * n_assets
        self.fees = [0.0] * n_assets
        self.slippage = [0.0] * n_assets
        self.gain = [0.0] * n_assets
        self.loss = [0.0] * n_assets
        self.load = [0.0] * n_assets
        self.entry_bar = [0] * n_assets
        self.position = [0] * n_assets
        self.n_positions = 0
        self.trades: list[Trade] = []

    def mark(self, row: Sequence[float]) -> None:
        """Take the prices of a bar; NaN leaves the last price standing."""
        for asset, price in enumerate(row):
            if price == price:
                self.last[asset] = price
                if price > self.high[asset]:
                    self.high[asset] = price
                if price < self.low[asset]:
                    self.low[asset] = price

    def reach(self, row: Sequence[float], high: Sequence[float], low: Sequence[float]) -> None:
        """Take how far the prices of a bar went; NaN, or no close, tells nothing."""
        for asset, price in enumerate(row):
            if price == price:
                if high[asset] > self.high[asset]:
                    self.high[asset] = high[asset]
                if low[asset] < self.low[asset]:
                    self.low[asset] = low[asset]

    def totals(self) -> tuple[float, float]:
        """Value of the holdings, and the sum of their absolute values."""
        held = 0.0
        exposure = 0.0
        for quantity, price in zip(self.quantity, self.last, strict=True):
            value = quantity * price
            held += value
            exposure += abs(value)
        return held, exposure

    def rebalance(
        self, bar: int, row: Sequence[float], weights: Sequence[float], equity: float, base: float
    ) -> None:
        """Trade every asset that has a price and a weight, in column order."""
        dust = DUST_RATIO * equity
        for asset, weight in enumerate(weights):
            price = row[asset]
            if price != price or weight != weight:
                continue
            held = self.quantity[asset]
            if weight == 0.0:
                if held != 0.0:
                    self.leave(asset, bar, price, CLOSE)
                continue
            if not equity > 0.0:
                continue
            target = weight * base / price
            if abs(target - held) * price <= dust:
                continue
            if (held > 0.0 and target > 0.0) or (held < 0.0 and target < 0.0):
                if abs(target) > abs(held):
                    self.increase(asset, target, price, equity)
                else:
                    self.reduce(asset, bar, target, price)
                continue
            if held != 0.0:
                self.leave(asset, bar, price, FLIPPED if target != 0.0 else CLOSE)
            if target != 0.0:
                self.open(asset, bar, target, price, equity)

    def pay(self, quantity: float, price: float) -> tuple[float, float]:
        """Buy (+) or sell (-) at the price; returns the fee and the slippage paid."""
        value = abs(quantity) * price
        fee = value * self.fee_rate + self.fixed_fee
        slippage = value * self.slippage_rate
        self.cash = self.cash - quantity * price - fee - slippage
        return fee, slippage

    def open(self, asset: int, bar: int, target: float, price: float, equity: float) -> None:
        self.fees[asset], self.slippage[asset] = self.pay(target, price)
        self.quantity[asset] = target
        self.cost[asset] = self.high[asset] = self.low[asset] = price
        self.gain[asset] = self.loss[asset] = 0.0
        self.load[asset] = abs(target) * price / equity
        self.entry_bar[asset] = bar
        self.position[asset] = self.n_positions
        self.n_positions += 1

    def increase(self, asset: int, target: float, price: float, equity: float) -> None:
        held = self.quantity[asset]
        gain, loss = self.excursion(asset, abs(held))
        self.gain[asset] = max(gain, self.gain[asset])
        self.loss[asset] = min(loss, self.loss[asset])
        self.high[asset] = self.low[asset] = price
        added = abs(target) - abs(held)
        self.cost[asset] = (self.cost[asset] * abs(held) + price * added) / abs(target)
        fee, slippage = self.pay(target - held, price)
        self.fees[asset] += fee
        self.slippage[asset] += slippage
        self.load[asset] += added * price / equity
        self.quantity[asset] = target

    def reduce(self, asset: int, bar: int, target: float, price: float) -> None:
        held = self.quantity[asset]
        size = abs(held) - abs(target)
        share = size / abs(held)
        fee, slippage = self.pay(target - held, price)
        carried = (self.fees, self.slippage, self.load, self.gain, self.loss)
        parts = [field[asset] * share for field in carried]
        self.record(asset, bar, size, price, fee, slippage, parts, CLOSED, REDUCED)
        for field, part in zip(carried, parts, strict=True):
            field[asset] -= part
        self.quantity[asset] = target

    def leave(self, asset: int, bar: int, price: float, reason: int) -> None:
        """Close the whole position; at the end of the data it is only valued, at no cost."""
        held = self.quantity[asset]
        fee, slippage = (0.0, 0.0) if reason == END_OF_DATA else self.pay(-held, price)
        carried = (self.fees, self.slippage, self.load, self.gain, self.loss)
        parts = [field[asset] for field in carried]
        status = OPEN if reason == END_OF_DATA else CLOSED
        self.record(asset, bar, abs(held), price, fee, slippage, parts, status, reason)
        self.quantity[asset] = 0.0

    def excursion(self, asset: int, size: float) -> tuple[float, float]:
        """Best and worst open pnl of so many units since the last entry."""
        cost = self.cost[asset]
        if self.quantity[asset] > 0.0:
            return (self.high[asset] - cost) * size, (self.low[asset] - cost) * size
        return (cost - self.low[asset]) * size, (cost - self.high[asset]) * size

    def record(
        self, asset: int, bar: int, size: float, price: float, exit_fee: float,
        exit_slippage: float, parts: Sequence[float], status: int, reason: int,
    ) -> None:  # fmt: skip
        fees, slippage, load, gain, loss = parts
        fees = fees + exit_fee
        slippage = slippage + exit_slippage
        best, worst = self.excursion(asset, size)
        entry_bar, cost = self.entry_bar[asset], self.cost[asset]
        side = 1 if self.quantity[asset] > 0.0 else -1
        gross = side * (price - cost) * size
        self.trades.append((
            asset, self.position[asset], entry_bar, bar, bar - entry_bar, side, status, reason,
            size, cost, price, fees, slippage, gross, gross - fees - slippage,
            max(best, gain), min(worst, loss), load,
        ))  # fmt: skip


def track_trades(
    close: Sequence[Sequence[float]],
    rebalance_bars: Sequence[int],
    weights: Sequence[Sequence[float]],
    *,
    capital: float = 100_000.0,
    fee_rate: float = 0.0,
    slippage_rate: float = 0.0,
    fixed_fee: float = 0.0,
    lag: int = 0,
    capital_mode: str = "equity",
    high: Sequence[Sequence[float]] | None = None,
    low: Sequence[Sequence[float]] | None = None,
) -> tuple[list[Trade], list[float], list[float]]:
    """Every trade of a portfolio, its equity and its margin load, bar by bar.

    Cost: one step per asset and bar, and one per asset and rebalance.

    Args:
        close: prices, a row per bar; NaN where there is none.
        rebalance_bars: bars whose weights are traded, at their close, strictly increasing.
        weights: target weights, a row per rebalance bar; NaN leaves a position alone.
        capital: cash at the start.
        fee_rate: fee as a share of the traded value.
        slippage_rate: slippage as a share of the traded value.
        fixed_fee: money for each trade, beside the rate.
        lag: how many bars after a rebalance bar its weights are traded.
        capital_mode: "equity" sizes positions on the current equity, "starting" on `capital`.
        high: highest prices, as `close`; with `low`, what excursions reach beyond the closes.
        low: lowest prices, as `close`.

    Returns:
        The records (see `Trade`), the equity and the margin load of each bar.
    """
    book = _Book(len(close[0]), capital, fee_rate, slippage_rate, fixed_fee)
    bars = [bar + lag for bar in rebalance_bars]
    weights_at = dict(zip(bars, weights, strict=True))
    equities: list[float] = []
    loads: list[float] = []
    for bar, row in enumerate(close):
        book.mark(row)
        if high is not None and low is not None:
            book.reach(row, high[bar], low[bar])
        held, exposure = book.totals()
        equity = book.cash + held
        if bar in weights_at and math.isfinite(equity):
            base = equity if capital_mode == "equity" else capital
            book.rebalance(bar, row, weights_at[bar], equity, base)
            held, exposure = book.totals()
            equity = book.cash + held
        equities.append(equity)
        loads.append(exposure / equity if equity > 0.0 else math.nan)
    for asset, quantity in enumerate(book.quantity):
        if quantity != 0.0:
            book.leave(asset, len(close) - 1, book.last[asset], END_OF_DATA)
    return book.trades, equities, loads
