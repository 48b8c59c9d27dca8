"""Hot paths of the backtest room: every trade of a portfolio, and their statistics.

`before` is the plain twin, a loop over lists. The report's own `before` was a loop over a pandas
frame, shown by `DayLoop` beside the twin on the same orders; the twin is the honest yardstick.
"""

from __future__ import annotations

from typing import Any

from benchmarks._registry import hot_path as _hot_path

_MONTH, _WARM_UP = 21, 21
_COSTS: dict[str, Any] = {"fee_rate": 0.001, "slippage_rate": 0.0005}


def _momentum(close: Any, bars: Any, lookback: int) -> Any:
    """Long the five best, short the five worst of the last `lookback` bars."""
    import numpy as np

    past = close[bars] / close[np.maximum(bars - lookback, 0)]
    rank = past.argsort(axis=1).argsort(axis=1)
    n = close.shape[1]
    return np.where(rank >= n - 5, 0.2, 0.0) - np.where(rank < 5, 0.1, 0.0)


@_hot_path(
    claim="",
    witnesses=("bytecodes", "instructions", "memory", "cpu", "wall", "claim"),
    slow_before=("many",),
    claim_at="monthly",
)
class Track:
    """`track_trades` on the S&P panel (395 or 8,292 rebalances) and at 125,000 trades."""

    params = ("monthly", "daily", "many")
    param_names = ("schedule",)

    def setup(self, schedule: str) -> None:
        try:
            import numpy as np

            from optimizer.backtest.prices import load_sp500, month_ends, synthetic_market
            from optimizer.backtest.tracker import track_trades
            from optimizer.reference.tracker import track_trades as plain_track_trades
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.track, self.plain = track_trades, plain_track_trades
        panel = synthetic_market(6_500, 32, seed=3) if schedule == "many" else load_sp500()
        self.close = np.ascontiguousarray(panel.close)
        bars = month_ends(panel.dates) if schedule == "monthly" else np.arange(len(panel.dates))
        self.bars = bars[bars >= _WARM_UP]
        if schedule == "many":
            choice = np.random.default_rng(5).choice
            shape = (len(self.bars), self.close.shape[1])
            self.weights = choice([-0.05, 0.0, 0.02, 0.05], shape)
        else:
            self.weights = _momentum(self.close, self.bars, 6 * _MONTH)
        self.lists = self.close.tolist(), self.bars.tolist(), self.weights.tolist()

    def before(self, schedule: str) -> Any:
        return self.plain(*self.lists, **_COSTS)

    def after(self, schedule: str) -> Any:
        return self.track(self.close, self.bars, self.weights, **_COSTS)

    def agree(self, before: Any, after: Any) -> bool:
        import numpy as np

        trades, equity, margin_load = before
        records = np.array(trades, dtype=after.trades.dtype)
        return bool(
            records.tobytes() == after.trades.tobytes()
            and np.array(equity).tobytes() == after.equity.tobytes()
            and np.array(margin_load).tobytes() == after.margin_load.tobytes()
        )


# --- with the table

_FEE: dict[str, Any] = {"fee_rate": 0.001}
_WITNESSES = ("bytecodes", "instructions", "memory", "cpu", "wall", "claim")


def _orders(schedule: str) -> tuple[Any, Any, Any]:
    """A panel, rebalance bars and weights: on the S&P panel, or of 125,000 trades.

    Each month the seven best assets of the last month are held with half of the equity, the seven
    worst are short with a quarter of it.
    """
    import numpy as np

    from optimizer.backtest.prices import load_sp500, month_ends, synthetic_market

    if schedule == "many":
        panel = synthetic_market(6_500, 32, seed=3)
        bars = np.arange(_MONTH, 6_500)
        choice = np.random.default_rng(5).choice
        return panel, bars, choice([-0.0125, 0.0, 0.005, 0.0125], (len(bars), 32))
    panel = load_sp500()
    bars = month_ends(panel.dates)
    bars = bars[bars >= _MONTH]
    rank = (panel.close[bars] / panel.close[bars - _MONTH]).argsort(axis=1).argsort(axis=1)
    n = panel.close.shape[1]
    return panel, bars, np.where(rank >= n - 7, 0.07, 0.0) - np.where(rank < 7, 0.035, 0.0)


@_hot_path(claim="trade-stats", witnesses=_WITNESSES, slow_before=("many",), claim_at="monthly")
class TrackAndTable:
    """All records and the whole table of a trial: the plain twins, against a kept `Tracker`."""

    params = ("monthly", "many")
    param_names = ("schedule",)

    def setup(self, schedule: str) -> None:
        try:
            from optimizer.backtest.tracker import Tracker
            from optimizer.reference.statistics import trade_statistics
            from optimizer.reference.tracker import track_trades
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        panel, self.bars, self.weights = _orders(schedule)
        self.tracker = Tracker(panel, **_FEE)
        self.plain, self.plain_figures = track_trades, trade_statistics
        self.lists = panel.close.tolist(), self.bars.tolist(), self.weights.tolist()
        assert self.tracker.labels is not None
        assert self.tracker.labels.days is not None
        self.days = self.tracker.labels.days.tolist()

    def before(self, schedule: str) -> Any:
        parts = self.plain(*self.lists, **_FEE)
        return [*parts, *self.plain_figures(*parts, 100_000.0, self.days)]

    def after(self, schedule: str) -> Any:
        log = self.tracker.track(self.bars, self.weights)
        figures = log.statistics()
        return [log.trades, log.equity, log.margin_load, figures.table, figures.curves]

    def agree(self, before: Any, after: Any) -> bool:
        import numpy as np

        return all(
            np.array(ref, dtype=comp.dtype).tobytes() == comp.tobytes()
            for ref, comp in zip(before, after, strict=True)
        )


# --- the report's start: a loop over the days of a frame, reconstructed


class _DayLoop:
    """One portfolio, day by day; a price is looked up in the frame once an asset and day.

    How the report's loop looked prices up is not told: `close.loc[date, asset]`, and a row for each
    day, are two ways in which such a loop is written.
    """

    def __init__(self, close: Any, weights: Any, by_row: bool) -> None:
        self.close, self.weights, self.by_row = close, weights, by_row
        self.cash, self.fee_rate = 100_000.0, 0.001
        self.positions: dict[str, dict[str, Any]] = {}
        self.seen: dict[str, float] = {}  # the day's prices, as far as they were needed
        self.records: list[dict[str, Any]] = []

    def run(self, pandas: Any) -> Any:
        """Records and equity."""
        equity = pandas.Series(0.0, index=self.close.index)
        load = pandas.Series(0.0, index=self.close.index)
        for date in self.close.index:
            self.date, self.seen = date, {}
            self.row = self.close.loc[date] if self.by_row else None
            for asset, position in self.positions.items():
                price = self.price(asset)
                position["high"] = max(position["high"], price)
                position["low"] = min(position["low"], price)
            if date in self.weights.index:
                self.rebalance(self.value())
            equity.loc[date] = value = self.value()
            held = sum(abs(p["quantity"]) * self.price(a) for a, p in self.positions.items())
            load.loc[date] = held / value
        for asset in [asset for asset in self.close.columns if asset in self.positions]:
            self.end(asset, self.positions[asset]["quantity"], 0.0)
        return pandas.DataFrame(self.records), equity, load

    def price(self, asset: str) -> float:
        if asset not in self.seen:
            row = self.row
            found = self.close.loc[self.date, asset] if row is None else row[asset]
            self.seen[asset] = float(found)
        return self.seen[asset]

    def value(self) -> float:
        held = sum(p["quantity"] * self.price(a) for a, p in self.positions.items())
        return self.cash + float(held)

    def rebalance(self, value: float) -> None:
        for asset in self.close.columns:
            target = self.weights.loc[self.date, asset] * value / self.price(asset)
            held = self.positions[asset]["quantity"] if asset in self.positions else 0.0
            if held * target < 0.0:  # a flip is a close and an open
                self.resize(asset, 0.0, value)
            if target != held:
                self.resize(asset, target, value)

    def resize(self, asset: str, target: float, value: float) -> None:
        """Bring a position to its target; a part that ends is a record."""
        price, position = self.price(asset), self.positions.get(asset)
        held = 0.0 if position is None else position["quantity"]
        fee = abs(target - held) * price * self.fee_rate
        self.cash -= (target - held) * price + fee
        load = abs(target - held) * price / value
        if position is None:
            self.positions[asset] = {
                "entry": self.date, "quantity": target, "cost": price, "fees": fee, "load": load,
                "high": price, "low": price, "gain": 0.0, "loss": 0.0,
            }  # fmt: skip
        elif abs(target) > abs(held):
            position["gain"], position["loss"] = self.reach(position, held)
            position["high"] = position["low"] = price
            position["cost"] = (position["cost"] * held + price * (target - held)) / target
            position["quantity"] = target
            position["fees"] += fee
            position["load"] += load
        else:
            self.end(asset, held - target, fee)

    def reach(self, position: dict[str, Any], size: float) -> tuple[float, float]:
        best, worst = position["high"] - position["cost"], position["low"] - position["cost"]
        if size < 0.0:
            best, worst = worst, best
        share = size / position["quantity"]
        return max(best * size, position["gain"] * share), min(
            worst * size, position["loss"] * share
        )

    def end(self, asset: str, size: float, fee: float) -> None:
        price, position = self.price(asset), self.positions[asset]
        share = size / position["quantity"]
        best, worst = self.reach(position, size)
        fees = position["fees"] * share + fee
        self.records.append({
            "asset": asset, "entry": position["entry"], "exit": self.date,
            "side": 1 if size > 0.0 else -1, "size": abs(size),
            "entry_price": position["cost"], "exit_price": price, "fees": fees,
            "net_pnl": (price - position["cost"]) * size - fees, "mfe": best, "mae": worst,
            "margin_load": position["load"] * share,
        })  # fmt: skip
        for name in ("fees", "load", "gain", "loss"):
            position[name] -= position[name] * share
        position["quantity"] -= size
        if position["quantity"] == 0.0:
            del self.positions[asset]


_ROUNDING = 1e-9
"""Of some thousand sums in another order, relative to what is summed."""
_MONEY = _ROUNDING * 100_000.0
"""The same of gains and fees: differences and shares of values as large as the portfolio."""


def _same_trades(log: Any, records: Any) -> bool:
    """Whether they are the same, trade by trade: which asset, when, which way and at which price.

    Sizes, entry prices and what is money or a share of it are equal but for rounding.
    """
    import numpy as np

    if len(log) != len(records):
        return False
    trades, bars = log.trades, np.asarray(log.labels.bars)
    exact = {
        "asset": np.array(log.labels.assets, object)[trades["asset"]],
        "entry": bars[trades["entry_bar"]],
        "exit": bars[trades["exit_bar"]],
        "side": trades["side"],
        "exit_price": trades["exit_price"],
    }
    near = dict.fromkeys(("size", "entry_price", "margin_load"), 0.0)
    near |= dict.fromkeys(("fees", "net_pnl", "mfe", "mae"), _MONEY)
    return all((ours == records[name].to_numpy()).all() for name, ours in exact.items()) and all(
        np.allclose(trades[name], records[name].to_numpy(), rtol=_ROUNDING, atol=money)
        for name, money in near.items()
    )


_WHOLE = ((8313, "cell"), (8313, "row"))
_LIKE_CELL = ((252, "row"), (252, "lists"), *_WHOLE, (8313, "lists"))


@_hot_path(
    claim="tracker",
    witnesses=_WITNESSES,
    slow_before=_WHOLE,
    uncounted=_LIKE_CELL,
    untimed=_LIKE_CELL,
    claim_at=_WHOLE[0],
)
class DayLoop:
    """The report's start, a loop over the days of a pandas frame, against a kept `Tracker`.

    Three slow sides of the same orders: every price looked up by date and asset, a row for each
    day, and no frame at all: the plain twin, over lists. All records, excursions and margin loads
    are the same on both sides. The tracker is made of the frame, once as in a study; a trial is
    the frame of weights, on both sides.
    """

    params = ((252, 8313), ("cell", "row", "lists"))
    param_names = ("days", "lookup")

    def setup(self, days: int, lookup: str) -> None:
        try:
            import pandas as pd  # type: ignore[import-untyped,unused-ignore] # ships no types

            from optimizer.backtest.tracker import Tracker
            from optimizer.reference.tracker import track_trades as plain_track_trades
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.plain, self.pandas = plain_track_trades, pd
        panel, bars, weights = _orders("monthly")
        bars = bars[bars < days]
        index, assets = pd.DatetimeIndex(panel.dates[:days]), list(panel.assets)
        self.close = pd.DataFrame(panel.close[:days], index, assets)
        self.weights = pd.DataFrame(weights[: len(bars)], index[bars], assets)
        self.tracker = Tracker(self.close, **_FEE)
        tables = panel.close[:days], bars, weights[: len(bars)]
        self.lists = [table.tolist() for table in tables] if lookup == "lists" else []

    def before(self, days: int, lookup: str) -> Any:
        if lookup == "lists":
            return self.plain(*self.lists, **_FEE)
        return _DayLoop(self.close, self.weights, lookup == "row").run(self.pandas)

    def after(self, days: int, lookup: str) -> Any:
        return self.tracker.track(weights=self.weights)

    def agree(self, before: Any, after: Any) -> bool:
        """To the bit with the twin; else as `_same_trades`, and sums but for their rounding."""
        import numpy as np

        records, equity, load = before
        if isinstance(records, list):
            ours = after.trades, after.equity, after.margin_load
            return all(
                np.array(ref, comp.dtype).tobytes() == comp.tobytes()
                for ref, comp in zip(before, ours, strict=True)
            )
        return bool(
            _same_trades(after, records)
            and np.allclose(after.equity, equity.to_numpy(), rtol=_ROUNDING, atol=0.0)
            and np.allclose(after.margin_load, load.to_numpy(), rtol=_ROUNDING, atol=0.0)
        )
