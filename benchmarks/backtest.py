"""Hot path of the backtest room: every trade of a portfolio.

`before` is the plain twin, a loop over lists. The report's own `before` was a loop over a pandas
frame, many times slower still; the twin is the honest yardstick.
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
    claim="tracker",
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
