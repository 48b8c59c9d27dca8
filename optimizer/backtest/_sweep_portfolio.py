"""The ways to run the combinations of a sweep on a portfolio: the whole tracker for each."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest import _tradable
from optimizer.backtest._sweep_engines import FEATURE_BYTES, store
from optimizer.backtest._sweep_features import FeatureRows, feature_of
from optimizer.backtest._sweep_space import NAMES, Parameters
from optimizer.backtest.prices import month_ends
from optimizer.backtest.tracker import Tracker
from optimizer.errors import PriceError
from optimizer.reference import features as reference_features
from optimizer.reference import sweep as reference
from optimizer.reference.tracker import track_trades

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]

_CHUNK_STEPS = 2**22
"""Combinations x prices of a chunk."""
_PRICES_AT_ONCE = 2**18
"""Of so many prices a feature is computed at all bars, before those that count are taken."""


def ends_of_months(bars: Any) -> Ints:
    """`month_ends` of the labels of bars that are dates; with a time zone, by the local clock.

    Args:
        bars: datetime64, or an index of pandas: of dates, or of periods, each by its start.
    """
    if hasattr(bars, "to_timestamp"):
        bars = bars.to_timestamp()
    if getattr(bars, "tz", None) is not None:
        bars = bars.tz_localize(None)
    return month_ends(np.asarray(bars).astype("datetime64[D]"))


@functools.cache
def _kernels() -> ModuleType:
    from optimizer.backtest import _sweep_portfolio_kernels

    return _sweep_portfolio_kernels


class Refused(PriceError):
    """A combination that cannot be traded on, found while its chunk ran."""

    def __init__(self, parameters: Parameters, number: int, error: PriceError) -> None:
        super().__init__(
            f"combination {number}, {parameters.space.grid()[number]}: {error}; or leave it out by "
            f"`combinations`; `.result` has those that were finished"
        )
        self.number = number


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
        self.threads = self._features.threads
        self._own = threading.local()

    def _feature(self, name: str, window: int) -> Floats:
        """At the rebalance bars, row by row; some assets at a time, for the sake of memory."""
        n_bars, n_assets = self._close.shape
        made = np.empty((len(self._bars), n_assets))
        step = max(1, _PRICES_AT_ONCE // n_bars)
        for first in range(0, n_assets, step):
            assets = slice(first, first + step)
            made[:, assets] = feature_of(name, window, self._close[:, assets])[self._bars]
        return made.reshape(-1)

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
            try:
                log = tracker.track(self._bars, targets)
            except PriceError as error:
                raise Refused(self._parameters, int(numbers[at]), error) from error
            _kernels().summarise(
                log.trades, log.equity, log.margin_load, capital, counts, measures, start + at
            )
            del log  # so that the next run takes the same memory again


class PlainPortfolioEngine:
    """The plain twin, where nothing can be compiled."""

    name = "plain"
    threads = 1
    chunk = 1

    def __init__(
        self, close: Floats, bars: Ints, parameters: Parameters, weight: float,
        settings: Mapping[str, Any], threads: int,
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
            weights = self._weights(fast, slow, rsi, entry, leave)
            records, equity, loads = track_trades(close, bars, weights, **self._settings)
            try:
                _tradable.check_equity(np.array(equity))
            except PriceError as error:
                raise Refused(self._parameters, int(numbers[at]), error) from error
            row = reference.summary(records, equity, loads, self._settings["capital"])
            store(row, counts, measures, start + at)

    def _weights(
        self, fast: int, slow: int, rsi: int, entry: float, leave: float
    ) -> list[list[float]]:
        """A row for each rebalance bar, as in `reference.portfolio_run`."""
        columns = []
        for prices in self._close.T.tolist():
            means = (
                reference_features.rolling_mean(prices, fast),
                reference_features.rolling_mean(prices, slow),
            )
            strength = reference_features.rsi(prices, rsi)
            columns.append([
                reference.target(
                    means[0][bar], means[1][bar], strength[bar], entry, leave, self._weight
                )
                for bar in self._bars.tolist()
            ])  # fmt: skip
        return [list(row) for row in zip(*columns, strict=True)]
