"""Hot paths of the backtest room: every trade of a portfolio, and their statistics.

`before` is the plain twin, a loop over lists. The report's own `before` was a loop over a pandas
frame, many times slower still, shown by `DayLoop`; the twin is the honest yardstick.
"""

from __future__ import annotations

import functools
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
    """One portfolio, day by day, its prices looked up in the frame where they are needed."""

    def __init__(self, close: Any, weights: Any, by_row: bool) -> None:
        self.close, self.weights, self.by_row = close, weights, by_row
        self.cash, self.fee_rate = 100_000.0, 0.001
        self.positions: dict[str, dict[str, Any]] = {}
        self.records: list[dict[str, Any]] = []

    def run(self, pandas: Any) -> Any:
        """Records and equity."""
        equity = pandas.Series(0.0, index=self.close.index)
        load = pandas.Series(0.0, index=self.close.index)
        for date in self.close.index:
            self.date = date
            self.row = self.close.loc[date] if self.by_row else None
            for asset, position in self.positions.items():
                price = self.price(asset)
                position["high"] = max(position["high"], price)
                position["low"] = min(position["low"], price)
            if date in self.weights.index:
                self.rebalance(self.value())
            equity.loc[date] = self.value()
            held = sum(abs(p["quantity"]) * self.price(a) for a, p in self.positions.items())
            load.loc[date] = held / equity.loc[date]
        for asset in [asset for asset in self.close.columns if asset in self.positions]:
            self.end(asset, self.positions[asset]["quantity"], 0.0)
        return pandas.DataFrame(self.records), equity, load

    def price(self, asset: str) -> float:
        return float(self.close.loc[self.date, asset] if self.row is None else self.row[asset])

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
            "asset": asset, "entry": position["entry"], "exit": self.date, "size": abs(size),
            "entry_price": position["cost"], "exit_price": price, "fees": fees,
            "net_pnl": (price - position["cost"]) * size - fees, "mfe": best, "mae": worst,
            "margin_load": position["load"] * share,
        })  # fmt: skip
        for name in ("fees", "load", "gain", "loss"):
            position[name] -= position[name] * share
        position["quantity"] -= size
        if position["quantity"] == 0.0:
            del self.positions[asset]


def _close_enough(ours: Any, theirs: Any) -> bool:
    """Equal but for the rounding of some thousand sums in another order."""
    import numpy as np

    return ours.shape == theirs.shape and bool(
        np.allclose(ours, theirs, rtol=1e-9, atol=1e-9 * 100_000.0)
    )


_WHOLE = ((8313, "cell"), (8313, "row"))


@_hot_path(
    claim="tracker",
    witnesses=_WITNESSES,
    slow_before=_WHOLE,
    uncounted=((252, "row"), *_WHOLE),
    untimed=((252, "row"), *_WHOLE),
    claim_at=_WHOLE[0],
)
class DayLoop:
    """The report's start, a loop over the days of a pandas frame, against `track_trades`.

    Every price is looked up by date and asset, or a row for each day. All records, excursions and
    margin loads are the same on both sides.
    """

    params = ((252, 8313), ("cell", "row"))
    param_names = ("days", "lookup")

    def setup(self, days: int, lookup: str) -> None:
        try:
            from optimizer.backtest.tracker import Tracker, track_trades  # noqa: F401 - the part
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        panel, bars, weights = _orders("monthly")
        self.track, self.panel = track_trades, panel
        self.bars = bars[bars < days]
        self.weights, self.prices = weights[: len(self.bars)], panel.close[:days]

    def before(self, days: int, lookup: str) -> Any:
        close, targets, pandas = self.tables
        return _DayLoop(close, targets, lookup == "row").run(pandas)

    @functools.cached_property
    def tables(self) -> Any:
        """Made at the first round, which nobody times: where only `after` runs, without pandas."""
        import pandas as pd  # type: ignore[import-untyped,unused-ignore] # ships no types

        assets, index = list(self.panel.assets), pd.DatetimeIndex(self.panel.dates)
        close = pd.DataFrame(self.prices, index[: len(self.prices)], assets)
        return close, pd.DataFrame(self.weights, index[self.bars], assets), pd

    def after(self, days: int, lookup: str) -> Any:
        return self.track(self.prices, self.bars, self.weights, **_FEE)

    def agree(self, before: Any, after: Any) -> bool:
        records, equity, load = before
        names = ("size", "entry_price", "exit_price", "fees", "net_pnl", "mfe", "mae")
        return (
            all(
                _close_enough(after.trades[name], records[name].to_numpy())
                for name in (*names, "margin_load")
            )
            and _close_enough(after.equity, equity.to_numpy())
            and _close_enough(after.margin_load * 100_000.0, load.to_numpy() * 100_000.0)
        )
