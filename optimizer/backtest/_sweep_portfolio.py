"""The ways to run the combinations of a sweep on a portfolio: the whole tracker for each."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest._sweep_engines import FEATURE_BYTES, store
from optimizer.backtest._sweep_features import FeatureRows, feature_of
from optimizer.backtest._sweep_space import NAMES, Parameters
from optimizer.backtest.tracker import Tracker
from optimizer.reference import sweep as reference

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]

_CHUNK_STEPS = 2**22
"""Combinations x prices of a chunk."""


@functools.cache
def _kernels() -> ModuleType:
    from optimizer.backtest import _sweep_portfolio_kernels

    return _sweep_portfolio_kernels


class PortfolioEngine:
    """Compiled: features at the rebalance bars, weights, `Tracker`, a row.

    Args:
        close: (T, N) prices.
        bars: (R,) rebalance bars.
        weight: of each asset that is entered.
        settings: of `Tracker`.
    """

    name = "tracker"
    threads = 0

    def __init__(
        self, close: Floats, bars: Ints, parameters: Parameters, weight: float,
        settings: Mapping[str, Any], threads: int,
    ) -> None:  # fmt: skip
        self._close, self._bars, self._parameters = close, bars, parameters
        self._weight, self._settings = weight, settings
        self.chunk = max(1, min(2**10, _CHUNK_STEPS // close.size))
        length = len(bars) * close.shape[1]
        self._features = FeatureRows(
            self._feature, parameters.values, length, FEATURE_BYTES, threads
        )
        self._own = threading.local()

    def _feature(self, name: str, window: int) -> Floats:
        return feature_of(name, window, self._close)[self._bars].reshape(-1)

    def run(self, numbers: Ints, counts: Counts, measures: Floats, start: int) -> None:
        """Fill the columns of these combinations, from `start` on."""
        digits = self._parameters.digits(numbers)
        found = self._features.rows(digits)
        if found is None:
            half = len(numbers) // 2
            self.run(numbers[:half], counts, measures, start)
            self.run(numbers[half:], counts, measures, start + half)
            return
        rows, places = found
        if not hasattr(self._own, "tracker"):
            self._own.tracker = Tracker(self._close, **self._settings)
            self._own.targets = np.empty((len(self._bars), self._close.shape[1]))
        tracker, targets = self._own.tracker, self._own.targets
        values, capital = self._parameters.values, self._settings["capital"]
        for at in range(len(numbers)):
            features = [one[place] for one, place in zip(rows, places[:, at], strict=True)]
            entry, leave = values["entry"][digits[3, at]], values["exit"][digits[4, at]]
            _kernels().fill_targets(*features, entry, leave, self._weight, targets)
            log = tracker.track(self._bars, targets)
            _kernels().summarise(
                log.trades, log.equity, log.margin_load, capital, counts, measures, start + at
            )


class PlainPortfolioEngine:
    """The plain twin, where nothing can be compiled."""

    name = "plain"
    threads = 1
    chunk = 1

    def __init__(
        self, close: Floats, bars: Ints, parameters: Parameters, weight: float,
        settings: Mapping[str, Any],
    ) -> None:  # fmt: skip
        Tracker(close, **settings).track(bars[:0], np.empty((0, close.shape[1])))  # checks them
        self._close, self._bars, self._parameters = close, bars, parameters
        self._weight, self._settings = weight, settings

    def run(self, numbers: Ints, counts: Counts, measures: Floats, start: int) -> None:
        """Fill the columns of these combinations, from `start` on."""
        close, bars = self._close.tolist(), self._bars.tolist()
        for at, digits in enumerate(self._parameters.digits(numbers).T):
            fast, slow, rsi, entry, leave = (
                self._parameters.values[name][digit].item()
                for name, digit in zip(NAMES, digits, strict=True)
            )
            row = reference.portfolio_run(
                close, bars, (fast, slow, rsi, entry, leave), weight=self._weight, **self._settings
            )
            store(row, counts, measures, start + at)
