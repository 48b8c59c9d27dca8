"""The ways to run the combinations of a sweep on one asset, chunk by chunk."""

from __future__ import annotations

import functools
import math
import threading
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer.backtest._arrays import read_floats
from optimizer.backtest._sweep_features import FeatureRows, Rows, feature_of
from optimizer.backtest._sweep_ranges import range_tables, table_bytes
from optimizer.backtest._sweep_space import NAMES, Parameters
from optimizer.errors import PriceError
from optimizer.reference import sweep as reference

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]

MOST_BYTES = 60 * 2**20
"""What a sweep may take beside its columns, as far as the length of the prices allows."""

FEATURE_BYTES = MOST_BYTES // 4
_SLOT_BYTES = MOST_BYTES // 4
_FULL_CHUNKS = 5
"""As many of the largest chunks run beside each other; with more threads they are smaller."""
LEAST_PRICE = 1e-200
"""An equity over a price is a float as long as it is not beyond 1e108."""
_CHUNK_STEPS = {"events": 2**26, "bars": 2**24, "plain": 2**16, "cuda": 2**30}
"""Combinations x bars of a chunk: enough to do, and soon done when it is to stop."""


class Engine(Protocol):
    """What a sweep runs on; `run` may be called by many threads at once."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def chunk(self) -> int:
        """How many combinations to run at once."""

    @property
    def threads(self) -> int:
        """How many threads it can use at most; 0 is as many as there are processors."""

    def run(self, numbers: Ints, counts: Counts, measures: Floats, start: int) -> None:
        """Fill the columns of these combinations, from `start` on."""


@functools.cache
def kernels() -> ModuleType:
    """The compiled kernels; importing numba takes a while."""
    from optimizer.backtest import _sweep_kernels

    return _sweep_kernels


def late(feature: Floats, lag: int) -> Floats:
    """A feature as it can be traded on: what is known at a bar counts `lag` bars later."""
    if lag == 0:
        return feature
    return np.concatenate([np.full(min(lag, len(feature)), np.nan), feature[:-lag]])


def read_prices(close: ArrayLike) -> Floats:
    """Prices as the kernels want them: one series, C-contiguous, read-only.

    Raises:
        PriceError: another shape, or a price that cannot be traded on, with its place.
    """
    prices = read_floats(close, "close")
    if prices.ndim != 1 or not len(prices):
        raise PriceError(
            f"close has shape {prices.shape}; expected (T,), the prices of one asset: pass one "
            f"column, or use sweep_portfolio"
        )
    for bar in np.flatnonzero(~((prices >= LEAST_PRICE) & (prices < math.inf)))[:1]:
        if 0.0 < prices[bar] < math.inf:
            raise PriceError(
                f"close[{bar}] is {prices[bar]}; expected prices of at least {LEAST_PRICE}: "
                f"multiply all of them by a power of 2, which changes no result"
            )
        raise PriceError(
            f"close[{bar}] is {prices[bar]}; expected a price above 0 at every bar: leave out the "
            f"bars without one"
        )
    view = prices.view(np.ndarray)
    view.flags.writeable = False
    return view


class OneAsset:
    """Prices, settings and features of a sweep over one asset."""

    name = ""
    threads = 0
    largest_chunk = 2**14

    def __init__(
        self, close: Floats, parameters: Parameters, fee_rate: float, lag: int, threads: int
    ) -> None:
        self.close, self.parameters, self.fee_rate, self.lag = close, parameters, fee_rate, lag
        most_bytes = min(FEATURE_BYTES, self._room() * 3 // 8)
        self._features = FeatureRows(
            self._feature, parameters.values, len(close), most_bytes, self.threads or threads
        )
        self.threads = self._features.threads
        largest = min(self.largest_chunk, self.largest_chunk * _FULL_CHUNKS // self.threads)
        self.chunk = max(1, min(largest, _CHUNK_STEPS[self.name] // len(close)))

    def _room(self) -> int:
        """Bytes that are left for features and the like."""
        return MOST_BYTES

    def _feature(self, name: str, window: int) -> Floats:
        return late(feature_of(name, window, self.close), self.lag)

    def run(self, numbers: Ints, counts: Counts, measures: Floats, start: int) -> None:
        digits = self.parameters.digits(numbers)
        found = self._features.rows(digits)
        if found is None:  # the features of so many windows do not fit: the halves of the chunk may
            half = len(numbers) // 2
            self.run(numbers[:half], counts, measures, start)
            self.run(numbers[half:], counts, measures, start + half)
            return
        self._sweep(*found, digits, counts, measures, start)

    def _sweep(
        self, rows: Rows, places: Ints, digits: Ints, counts: Counts, measures: Floats, start: int
    ) -> None:
        raise NotImplementedError

    def _limits(self) -> Any:
        values = self.parameters.values
        return kernels().Limits(values["entry"], values["exit"])


class BarEngine(OneAsset):
    """Compiled, one pass over the bars for each combination."""

    name = "bars"

    def _sweep(
        self, rows: Rows, places: Ints, digits: Ints, counts: Counts, measures: Floats, start: int
    ) -> None:
        kernels().sweep_bars(
            self.close, kernels().Features(*rows), self._limits(), digits, places, self.fee_rate,
            counts, measures, start,
        )  # fmt: skip


class EventEngine(OneAsset):
    """Compiled, from entry to exit to entry."""

    name = "events"

    def __init__(
        self, close: Floats, parameters: Parameters, fee_rate: float, lag: int, threads: int
    ) -> None:
        super().__init__(close, parameters, fee_rate, lag, threads)
        self._ranges = range_tables(close)
        self._slot_bytes = min(_SLOT_BYTES, self._room() // 4) // self.threads
        self._own = threading.local()

    def _room(self) -> int:
        return max(0, MOST_BYTES - table_bytes(len(self.close)))

    def _sweep(
        self, rows: Rows, places: Ints, digits: Ints, counts: Counts, measures: Floats, start: int
    ) -> None:
        if not hasattr(self._own, "slots"):
            self._own.slots = self._new_slots()
        kernels().sweep_events(
            self.close, *self._ranges, kernels().Features(*rows),
            len(self.parameters.values["slow"]), self._limits(), digits, places, self.fee_rate,
            self._own.slots, counts, measures, start,
        )  # fmt: skip

    def _new_slots(self) -> Any:
        fast, slow, rsi, entry, leave = (len(self.parameters.values[name]) for name in NAMES)
        words = -(-len(self.close) // 64)
        kinds = fast * slow, rsi * entry, rsi * leave
        most = max(1, self._slot_bytes // len(kinds) // (8 * (words + 1)))
        slots = []
        for n_keys in kinds:
            n = 1 << (min(n_keys, most).bit_length() - 1)
            n = 2 * n if n < n_keys <= most else n  # a power of two
            slots.append(kernels().Slots(np.empty((n, words), np.uint64), np.full(n, -1)))
        return kernels().BitSlots(*slots)


class PlainEngine(OneAsset):
    """The plain twin, where nothing can be compiled."""

    name = "plain"
    threads = 1  # it holds the interpreter's lock

    def _sweep(
        self, rows: Rows, places: Ints, digits: Ints, counts: Counts, measures: Floats, start: int
    ) -> None:
        close = self.close.tolist()
        values = self.parameters.values
        for at in range(digits.shape[1]):
            fast, slow, strength = (
                one[place].tolist() for one, place in zip(rows, places[:, at], strict=True)
            )
            entry, leave = values["entry"][digits[3, at]], values["exit"][digits[4, at]]
            row = reference.run(
                close, fast, slow, strength, float(entry), float(leave), self.fee_rate
            )
            store(row, counts, measures, start + at)


def store(row: reference.Row, counts: Counts, measures: Floats, at: int) -> None:
    """Write a row of the twin into the columns."""
    counts[:, at], measures[:, at] = row[:2], row[2:]
