"""Against the field's libraries: `nox -s parity`, which installs them; here vectorbt.

What is compared with others stands in the modules beside this one, `_peers_*.py`.

No suite of the gate or of asv: what is `after` here is guarded elsewhere, and vectorbt is no
dependency. Both get the same orders, for which there is cash, since vectorbt borrows none.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import benchmarks
from benchmarks import backtest as _backtest
from benchmarks import sweep as _sweep
from benchmarks._registry import PEERS, RegisteredPath, declared
from benchmarks._registry import hot_path as _hot_path

_WITNESSES = ("cpu", "wall", "claim")
_DRAWN = 7
"""Seed of the combinations that are compared."""


def load() -> list[RegisteredPath]:
    """What compares us with the field's libraries: not of the gate, which need not have them."""
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name.startswith("_peers_"):
            importlib.import_module(f"benchmarks.{module.name}")
    return [path for path in declared() if path.name.startswith(PEERS)]


def _peer(package: str) -> Any:
    """A package of the field that is no dependency and ships no types."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise NotImplementedError(f"{error}: `nox -s parity` installs it") from None


_ROUNDING = 1e-9
"""Of thousands of sums in another order, relative to what is summed."""
_MONEY = _ROUNDING * 100_000.0
"""The same of gains and fees: differences and shares of values as large as the portfolio."""


def _by_asset(records: Any, asset: str, exit_bar: str) -> Any:
    """Records of each asset in the order in which they ended, as both keep them."""
    import numpy as np

    return records[np.lexsort((np.arange(len(records)), records[exit_bar], records[asset]))]


def _same_trades(log: Any, records: Any) -> bool:
    """Whether they are the same, trade by trade, by the rule of `nox -s parity`'s tests.

    Which asset, when, which way, at which price it ended, and whether it did, exactly; sizes, entry
    prices and money but for rounding.
    """
    import numpy as np

    if len(log) != len(records):
        return False
    ours, theirs = _by_asset(log.trades, "asset", "exit_bar"), _by_asset(records, "col", "exit_idx")
    exact = [("asset", "col"), ("entry_bar", "entry_idx"), ("exit_bar", "exit_idx")]
    exact += [("status", "status"), ("exit_price", "exit_price")]
    near = [(ours[name], theirs[name], 0.0) for name in ("size", "entry_price")]
    near += [
        (ours["fees"], theirs["entry_fees"] + theirs["exit_fees"], _MONEY),
        (ours["net_pnl"], theirs["pnl"], _MONEY),
    ]
    return bool(
        all((ours[name] == theirs[peer]).all() for name, peer in exact)
        and ((ours["side"] > 0) == (theirs["direction"] == 0)).all()
        and all(np.allclose(a, b, rtol=_ROUNDING, atol=money) for a, b, money in near)
    )


def _same_figures(figures: Any, stats: Any, records: Any, portfolio: Any) -> bool:
    """Whether the table is the same: every figure that `nox -s parity`'s tests compare.

    Of vectorbt's own table where it has them, else of its records and its portfolio.
    """
    every, closed = figures.all, records[records["status"] == 1]
    pnl, still_open = closed["pnl"], records[records["status"] == 0]
    pairs = (
        (every.trades, stats["Total Closed Trades"]),
        (every.win_rate, stats["Win Rate [%]"] / 100.0),
        (every.profit_factor, stats["Profit Factor"]),
        (every.expectancy, stats["Expectancy"]),
        (every.sqn, stats["SQN"]),
        (every.open_trades, len(still_open)),
        (every.open_pnl, still_open["pnl"].sum()),
        (figures.long.trades + figures.long.open_trades, (records["direction"] == 0).sum()),
        (every.winners, (pnl > 0.0).sum()),
        (every.losers, (pnl < 0.0).sum()),
        (every.net_pnl, pnl.sum()),
        (every.largest_profit, pnl.max()),
        (every.largest_loss, pnl.min()),
        (every.mean_profit, pnl[pnl > 0.0].mean()),
        (every.mean_loss, pnl[pnl < 0.0].mean()),
        (every.mean_bars, (closed["exit_idx"] - closed["entry_idx"]).mean()),
        (figures.portfolio.equity, portfolio.final_value()),
        (figures.portfolio.return_ratio, portfolio.total_return()),
        (figures.portfolio.max_drawdown_ratio, -portfolio.max_drawdown()),
    )
    # As the tests: sums of thousands of gains that nearly cancel each other lose some digits.
    return all(
        abs(ours - float(theirs)) <= max(1e-7 * abs(float(theirs)), 1e-6) for ours, theirs in pairs
    )


class _Orders:
    """Orders of vectorbt by one of its engines, and the same of ours."""

    params = (("numba", "rust"), ("monthly", "many"))
    param_names = ("engine", "schedule")

    def setup(self, engine: str, schedule: str) -> None:
        import numpy as np

        from optimizer.backtest.tracker import Tracker

        if engine == "rust":
            _peer("vectorbt_rust")
        panel, self.bars, self.weights = _backtest._orders(schedule)
        self.portfolio, self.close = _peer("vectorbt").Portfolio, panel.close
        self.sizes = np.full(panel.close.shape, np.nan)
        self.sizes[self.bars] = self.weights
        self.tracker = Tracker(panel, fee_rate=0.001)

    def _ordered(self, engine: str) -> Any:
        return self.portfolio.from_orders(
            self.close, self.sizes, size_type="targetpercent", fees=0.001, init_cash=100_000.0,
            cash_sharing=True, group_by=True, freq="D", engine=engine,
        )  # fmt: skip


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=("numba", "monthly"))
class _VectorbtTrades(_Orders):
    """Every trade: vectorbt's orders and exit trades, against `Tracker.track`."""

    def before(self, engine: str, schedule: str) -> Any:
        portfolio = self._ordered(engine)
        return portfolio, portfolio.exit_trades.values

    def after(self, engine: str, schedule: str) -> Any:
        return self.tracker.track(self.bars, self.weights)

    def agree(self, before: Any, after: Any) -> bool:
        import numpy as np

        portfolio, records = before
        value = np.asarray(portfolio.value())
        return _same_trades(after, records) and np.allclose(
            after.equity, value, rtol=_ROUNDING, atol=0.0
        )


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=("numba", "monthly"))
class _VectorbtStatistics(_Orders):
    """Every trade and the table: vectorbt's `exit_trades.stats()`, against `statistics()`."""

    def before(self, engine: str, schedule: str) -> Any:
        portfolio = self._ordered(engine)
        trades = portfolio.exit_trades
        return portfolio, trades.values, trades.stats()

    def after(self, engine: str, schedule: str) -> Any:
        log = self.tracker.track(self.bars, self.weights)
        return log, log.statistics()

    def agree(self, before: Any, after: Any) -> bool:
        (portfolio, records, stats), (log, figures) = before, after
        return _same_trades(log, records) and _same_figures(figures, stats, records, portfolio)


@_hot_path(claim="", witnesses=_WITNESSES, clock="process", claim_at=400)
class _VectorbtSweep:
    """Combinations of the whole space, drawn: `Portfolio.from_signals` in Rust, against `sweep`.

    Rust is the only one of its engines here. vectorbt's signals are made in `setup` and cost it
    nothing here; ours are part of `after`. What the whole space would take is the cost of a
    combination times their number: both numbers of combinations show how even that is.
    """

    params = (100, 400)
    param_names = ("combinations",)

    def setup(self, combinations: int) -> None:
        import numpy as np

        from optimizer.backtest.features import rolling_mean, rsi
        from optimizer.sweep import sweep

        _peer("vectorbt_rust")
        self.portfolio, self.sweep = _peer("vectorbt").Portfolio, sweep
        self.close = _sweep._microsoft()
        self.chosen = np.sort(np.random.default_rng(_DRAWN).integers(0, 255_150, combinations))
        drawn = sweep(self.close, combinations=self.chosen).parameters()
        bars = {*drawn["fast"].tolist(), *drawn["slow"].tolist()}
        means = {one: rolling_mean(self.close, one) for one in bars}
        strengths = {one: rsi(self.close, one) for one in {*drawn["rsi"].tolist()}}
        shape = len(self.close), combinations
        self.entries, self.exits = np.empty(shape, bool), np.empty(shape, bool)
        for k in range(combinations):
            up = means[drawn["fast"][k]] > means[drawn["slow"][k]]
            strength = strengths[drawn["rsi"][k]]
            hot = strength > drawn["exit"][k]
            self.entries[:, k] = up & (strength < drawn["entry"][k]) & ~hot
            self.exits[:, k] = ~up | hot
        self.prices = np.repeat(self.close[:, None], combinations, axis=1)

    def before(self, combinations: int) -> Any:
        return self.portfolio.from_signals(
            self.prices, self.entries, self.exits, direction="longonly", size=float("inf"),
            init_cash=1.0, fees=0.0, freq="D", engine="rust",
        )  # fmt: skip

    def after(self, combinations: int) -> Any:
        return self.sweep(self.close, combinations=self.chosen)

    def agree(self, before: Any, after: Any) -> bool:
        """Counts exactly; the equity to the rounding of products in another order.

        A drawdown is 1 less a ratio of two such equities: what is rounded there is near 1, however
        small the drawdown.
        """
        import numpy as np

        closed = before.trades.closed
        equity, drawdown = before.final_value().to_numpy(), -before.max_drawdown().to_numpy()
        return bool(
            (closed.count().to_numpy() == after["trades"]).all()
            and (closed.winning.count().to_numpy() == after["wins"]).all()
            and np.allclose(after["final_equity"], equity, rtol=_ROUNDING, atol=0.0)
            and np.allclose(after["max_drawdown"], drawdown, rtol=0.0, atol=_ROUNDING)
        )
