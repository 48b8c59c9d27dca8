"""Hot paths of the sweep: whole spaces of an averages + RSI + threshold strategy.

`before` of `SweepDrawn` and `SweepPortfolio` is what the reports did, a run for each combination,
its features computed for it alone, but by a plain loop over lists. `before` of `SweepSpace` is our
own compiled kernel that walks bar by bar.
"""

from __future__ import annotations

import itertools
from typing import Any

from benchmarks._registry import hot_path as _hot_path

_PAIR = {"fast": (10,), "slow": (100,)}
_WHOLE = 255_150
_DRAWN = 11
"""Seed of the combinations that are drawn."""
_WITNESSES = ("bytecodes", "instructions", "memory", "cpu", "wall", "claim")


def _microsoft() -> Any:
    from optimizer.backtest.prices import load_sp500

    panel = load_sp500()
    return panel.close[:, panel.assets.index("MSFT")].copy()


def _same(before: Any, after: Any, columns: Any) -> bool:
    """Equal to the bit, but for the drawdown, which the jumping sweep puts together otherwise."""
    import numpy as np

    for name, column in zip(columns, zip(*before, strict=True), strict=True):
        ref = np.array(column, after[name].dtype)
        if name == "max_drawdown":
            if not np.allclose(ref, after[name], rtol=0.0, atol=1e-12):
                return False
        elif ref.tobytes() != after[name].tobytes():
            return False
    return True


@_hot_path(
    claim="large-space",
    witnesses=_WITNESSES,
    clock="process",
    slow_before=(90, 630),
    uncounted=(9, 90),
    untimed=(9, 90),
    claim_at=630,
)
class SweepDrawn:
    """Combinations drawn at random from the whole space, of one asset: a run for each → one sweep.

    Each number of them holds the smaller ones. What the loop would take for all 255,150 is carried
    over from 90 and 630: that rests on both taking the same for a combination, whichever of the 405
    pairs of averages, 7 periods and 90 limits they were drawn from.
    """

    params = (9, 90, 630)
    param_names = ("combinations",)

    def setup(self, combinations: int) -> None:
        try:
            import numpy as np

            from optimizer.reference.sweep import sweep as plain_sweep
            from optimizer.sweep import COLUMNS, DEFAULT_SPACE, sweep
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.sweep, self.plain, self.columns = sweep, plain_sweep, COLUMNS
        drawn = np.random.default_rng(_DRAWN).choice(_WHOLE, 630, replace=False)
        self.chosen = drawn[:combinations]
        every = list(itertools.product(*DEFAULT_SPACE.values()))
        assert len(every) == _WHOLE
        self.trials = [
            (*every[number][:3], *map(float, every[number][3:])) for number in self.chosen
        ]
        self.close = _microsoft()
        self.prices = self.close.tolist()

    def before(self, combinations: int) -> Any:
        return self.plain(self.prices, self.trials)

    def after(self, combinations: int) -> Any:
        return self.sweep(self.close, combinations=self.chosen)

    def agree(self, before: Any, after: Any) -> bool:
        return len(before) == len(after) and _same(before, after, self.columns)


@_hot_path(
    claim="",
    witnesses=_WITNESSES,
    clock="process",
    slow_before=("all",),
    uncounted=("all",),
    untimed=("all",),
    claim_at="all",
)
class SweepSpace:
    """All 255,150 combinations, or a part: bar by bar, compiled → from entry to exit to entry.

    2,430 of them fit into one chunk of the sweep; 17,010 take several. Threads are as many as there
    are cores to run on, which is one where a process is pinned.
    """

    params = ("part", "chunks", "all")
    param_names = ("space",)

    def setup(self, space: str) -> None:
        try:
            from optimizer.sweep import COLUMNS, DEFAULT_SPACE, sweep
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.sweep, self.columns = sweep, COLUMNS
        self.close = _microsoft()
        self.space = dict(DEFAULT_SPACE)
        if space == "part":
            self.space |= {"fast": (10,), "rsi": (14,)}
        if space == "chunks":
            self.space["fast"] = (10,)

    def before(self, space: str) -> Any:
        return self.sweep(self.close, self.space, engine="bars")

    def after(self, space: str) -> Any:
        return self.sweep(self.close, self.space)

    def agree(self, before: Any, after: Any) -> bool:
        rows = list(zip(*(before[name] for name in self.columns), strict=True))
        return len(rows) == len(after) and _same(rows, after, self.columns)


@_hot_path(
    claim="",
    witnesses=_WITNESSES,
    clock="process",
    slow_before=(32,),
    uncounted=(32,),
    untimed=(32,),
    claim_at=32,
)
class SweepPortfolio:
    """Whole runs of the 20-asset panel with month ends: lists for each → one sweep of all."""

    params = (2, 32)
    param_names = ("combinations",)

    def setup(self, combinations: int) -> None:
        try:
            from optimizer.backtest.prices import load_sp500, month_ends
            from optimizer.reference.sweep import portfolio_run
            from optimizer.sweep import COLUMNS, sweep_portfolio
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.sweep, self.plain, self.columns = sweep_portfolio, portfolio_run, COLUMNS
        self.panel = load_sp500()
        self.bars = month_ends(self.panel.dates)
        self.lists = self.panel.close.tolist(), self.bars.tolist()
        limits = {"rsi": (9, 21), "entry": (40, 50, 60, 70), "exit": (55, 64, 73, 85)}
        if combinations == 2:
            limits = {"rsi": (9, 21), "entry": (50,), "exit": (73,)}
        self.space = {**_PAIR, **limits}
        self.trials = [
            (10, 100, rsi, float(entry), float(leave))
            for rsi in limits["rsi"]
            for entry in limits["entry"]
            for leave in limits["exit"]
        ]

    def before(self, combinations: int) -> Any:
        return [self.plain(*self.lists, one, weight=0.05, fee_rate=0.001) for one in self.trials]

    def after(self, combinations: int) -> Any:
        return self.sweep(
            self.panel, self.space, rebalance_bars=self.bars, weight=0.05, fee_rate=0.001
        )

    def agree(self, before: Any, after: Any) -> bool:
        return len(before) == len(after) and _same(before, after, self.columns)
