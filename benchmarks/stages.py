"""Hot path of the incremental cache: trials that share the first stages of a backtest.

Both sides run the same functions, so they find the same values; what is measured is only how often.
Results that are kept need new memory, which can cost more than these stages do: with few trials
there is no gain.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from benchmarks._registry import hot_path as _hot_path

_YEAR = 252


def _stages(features: Any, track: Any) -> tuple[Callable[..., Any], ...]:
    """The four stages of a backtest: features, signals, weights, equity at the end."""
    import numpy as np

    def means(close: Any, *, fast: int, slow: int) -> Any:
        return (
            features.rolling_mean(close, fast),
            features.rolling_mean(close, slow),
            features.zscore(close, slow),
        )

    def signals(made: Any, *, band: float) -> Any:
        fast, slow, score = made
        return (fast > slow * (1.0 + band)) & (score < 2.0)

    def weights(held: Any, *, exposure: float) -> Any:
        return np.where(held[_YEAR::21], exposure / held.shape[1], 0.0)

    def equity(close: Any, wanted: Any, *, fee: float) -> float:
        bars = np.arange(_YEAR, len(close), 21)
        return float(track(close, bars, wanted, fee_rate=fee).equity[-1])

    return means, signals, weights, equity


@_hot_path(
    claim="incremental-cache",
    witnesses=("bytecodes", "instructions", "memory", "cpu", "wall", "claim"),
    uncounted=(20,),
    untimed=(20,),
    claim_at=100,
)
class Stages:
    """n trials of a backtest in four stages: all computed in each trial → shared stages reused.

    A random search over 512 combinations, of which 16 differ in their features, 64 in their
    signals, 128 in their weights. Reading and copying the data is part of `after`.
    """

    params = (20, 100)
    param_names = ("n_trials",)

    def setup(self, n_trials: int) -> None:
        try:
            from optimizer.backtest import features, stages
            from optimizer.backtest.prices import load_sp500
            from optimizer.backtest.tracker import track_trades
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.close = load_sp500().close
        self.stages = _stages(features, track_trades)
        self.cache = stages.StageCache
        draw = random.Random(7)
        self.trials = [
            {
                "fast": draw.choice([5, 10, 15, 20]),
                "slow": draw.choice([60, 120, 180, 240]),
                "band": draw.choice([0.0, 0.005, 0.01, 0.02]),
                "exposure": draw.choice([0.5, 1.0]),
                "fee": draw.choice([0.0, 0.0005, 0.001, 0.002]),
            }
            for _ in range(n_trials)
        ]

    def before(self, n_trials: int) -> list[float]:
        means, signals, weights, equity = self.stages
        found = []
        for chosen in self.trials[:n_trials]:
            made = means(self.close, fast=chosen["fast"], slow=chosen["slow"])
            wanted = weights(signals(made, band=chosen["band"]), exposure=chosen["exposure"])
            found.append(equity(self.close, wanted, fee=chosen["fee"]))
        return found

    def after(self, n_trials: int) -> list[float]:
        means, signals, weights, equity = self.stages
        cache = self.cache()
        close = cache.source(self.close)
        found = []
        for chosen in self.trials[:n_trials]:
            made = cache.run(means, close, fast=chosen["fast"], slow=chosen["slow"])
            held = cache.run(signals, made, band=chosen["band"])
            wanted = cache.run(weights, held, exposure=chosen["exposure"])
            found.append(cache.run(equity, close, wanted, fee=chosen["fee"]).value)
        return found

    def agree(self, before: list[float], after: list[float]) -> bool:
        return before == after
