"""Against the field's library, vectorbt: `nox -s parity`, which installs it.

No suite of the gate or of asv: what is `after` here is guarded elsewhere, and vectorbt is no
dependency. Both get the same orders, for which there is cash, since vectorbt borrows none.
"""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks import backtest as _backtest
from benchmarks import sweep as _sweep
from benchmarks._registry import PEERS, RegisteredPath, declared
from benchmarks._registry import hot_path as _hot_path

_WITNESSES = ("cpu", "wall", "claim")
_DRAWN = 7
"""Seed of the combinations that are compared."""


def load() -> list[RegisteredPath]:
    """What compares us with the field's libraries: not of the gate, which need not have them."""
    return [path for path in declared() if path.name.startswith(PEERS)]


def _peer(package: str) -> Any:
    """A package of the field that is no dependency and ships no types."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise NotImplementedError(f"{error}: `nox -s parity` installs it") from None


def _close_enough(ours: Any, theirs: Any) -> bool:
    """Equal but for the rounding of some thousand sums in another order."""
    import numpy as np

    return ours.shape == theirs.shape and bool(
        np.allclose(ours, theirs, rtol=1e-9, atol=1e-9 * 100_000.0)
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
        self._trades(engine).stats()  # so that nothing is compiled where it is timed

    def _trades(self, engine: str) -> Any:
        return self.portfolio.from_orders(
            self.close, self.sizes, size_type="targetpercent", fees=0.001, init_cash=100_000.0,
            cash_sharing=True, group_by=True, freq="D", engine=engine,
        ).exit_trades  # fmt: skip


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=("numba", "monthly"))
class _VectorbtTrades(_Orders):
    """Every trade: vectorbt's orders and exit trades, against `Tracker.track`."""

    def before(self, engine: str, schedule: str) -> Any:
        return self._trades(engine).values

    def after(self, engine: str, schedule: str) -> Any:
        return self.tracker.track(self.bars, self.weights)

    def agree(self, before: Any, after: Any) -> bool:
        import numpy as np

        by_asset = np.lexsort((np.arange(len(before)), before["exit_idx"], before["col"]))
        theirs = before[by_asset]
        by_asset = np.lexsort(
            (np.arange(len(after)), after.trades["exit_bar"], after.trades["asset"])
        )
        ours = after.trades[by_asset]
        pairs = (("size", "size"), ("entry_price", "entry_price"), ("net_pnl", "pnl"))
        return all(_close_enough(ours[name], theirs[peer]) for name, peer in pairs)


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=("numba", "monthly"))
class _VectorbtStatistics(_Orders):
    """Every trade and the table: vectorbt's `exit_trades.stats()`, against `statistics()`."""

    def before(self, engine: str, schedule: str) -> Any:
        trades = self._trades(engine)
        return trades.values, trades.stats()

    def after(self, engine: str, schedule: str) -> Any:
        return self.tracker.track(self.bars, self.weights).statistics()

    def agree(self, before: Any, after: Any) -> bool:
        figures, stats = after.all, before[1]
        pairs = (
            (figures.trades, stats["Total Closed Trades"]),
            (figures.win_rate, stats["Win Rate [%]"] / 100.0),
            (figures.profit_factor, stats["Profit Factor"]),
            (figures.expectancy, stats["Expectancy"]),
            (figures.sqn, stats["SQN"]),
        )
        return all(abs(ours - theirs) <= 1e-7 * abs(theirs) for ours, theirs in pairs)


@_hot_path(claim="", witnesses=_WITNESSES, clock="process", claim_at=400)
class _VectorbtSweep:
    """Combinations of the whole space, drawn: `Portfolio.from_signals` in Rust, against `sweep`.

    vectorbt's signals are made in `setup` and cost it nothing here; ours are part of `after`. What
    the whole space would take is the cost of a combination times their number: both numbers of
    combinations show how even that is.
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
        import numpy as np

        closed = before.trades.closed
        return bool(
            (closed.count().to_numpy() == after["trades"]).all()
            and (closed.winning.count().to_numpy() == after["wins"]).all()
            and np.allclose(before.final_value().to_numpy(), after["final_equity"], rtol=1e-9)
            and np.allclose(-before.max_drawdown().to_numpy(), after["max_drawdown"], atol=1e-9)
        )
