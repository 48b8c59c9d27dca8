"""Features of a sweep: a row for each value of a window, made once, within a limit of memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest._sweep_space import WINDOWS
from optimizer.backtest.features import rolling_mean, rsi
from optimizer.caching import LRUCache

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = tuple[Floats, Floats, Floats]
"""Rows of the fast average, the slow average and the RSI."""

_ROWS_IN_THE_MAKING = 3
"""A row, the same some bars later, and what is kept of it while it is computed."""


def feature_of(name: str, window: int, close: Floats) -> Floats:
    """The feature that a parameter chooses, at each bar; NaN where there are too few bars."""
    if window > len(close):
        return np.full(close.shape, np.nan)
    made: Floats = rsi(close, window) if name == "rsi" else rolling_mean(close, window)
    return made


class FeatureRows:
    """Rows of features for the combinations of a chunk.

    Where there is room for every value's row, a row is made when it is first needed and stays.
    Else each chunk gets a copy of its rows, and those used last are kept. Thread-safe.

    Attributes:
        threads: how many chunks may run at the same time, so that all stay within their bytes.

    Args:
        make: from the name and value of a parameter to its row.
        values: name -> values, as in `Parameters`.
        length: of a row.
        most_bytes: for all rows; else half of what those take that are kept, and those of the
            chunks that run at the same time.
        threads: how many chunks shall, at most.
    """

    def __init__(
        self,
        make: Callable[[str, int], Floats],
        values: Mapping[str, NDArray[Any]],
        length: int,
        most_bytes: int,
        threads: int,
    ) -> None:
        self._make = make
        self._values = [values[name] for name in WINDOWS]
        most_rows = most_bytes // (8 * max(1, length))
        self._length = length
        self.threads = threads
        self._lock = threading.Lock()
        sizes = [len(one) for one in self._values]
        self._all: Rows | None = None
        if sum(sizes) <= most_rows:
            fast, slow, strength = (np.empty((size, length)) for size in sizes)
            self._all = fast, slow, strength
            self._made = [np.zeros(size, np.bool_) for size in sizes]
            return
        least = len(WINDOWS) + _ROWS_IN_THE_MAKING  # of a chunk of one combination
        self.threads = max(1, min(threads, most_rows * 2 * 3 // 4 // least))
        of_chunks = max(most_rows, least * self.threads)
        self._most_of_chunk = max(len(WINDOWS), of_chunks // self.threads - _ROWS_IN_THE_MAKING)
        self._kept: LRUCache[tuple[int, int], Floats] = LRUCache(max(1, 2 * most_rows - of_chunks))

    def rows(self, digits: Ints) -> tuple[Rows, Ints] | None:
        """The rows of a chunk, and for each combination (3, n) which; None if they are too many."""
        if self._all is not None:
            for axis, made in enumerate(self._made):
                if not made[digits[axis]].all():
                    self._fill(axis, digits[axis])
            return self._all, digits[: len(WINDOWS)]
        found = [np.unique(digits[axis], return_inverse=True) for axis in range(len(WINDOWS))]
        if sum(len(places) for places, _ in found) > self._most_of_chunk:
            return None
        fast, slow, strength = (np.empty((len(places), self._length)) for places, _ in found)
        for axis, into in enumerate((fast, slow, strength)):
            for at, place in enumerate(found[axis][0].tolist()):
                into[at] = self._row(axis, place)  # one at a time: no list of rows beside them
        return (fast, slow, strength), np.stack([inverse for _, inverse in found])

    def _fill(self, axis: int, places: Ints) -> None:
        assert self._all is not None
        with self._lock:
            for place in np.unique(places):
                if not self._made[axis][place]:
                    self._all[axis][place] = self._new(axis, int(place))
                    self._made[axis][place] = True

    def _row(self, axis: int, place: int) -> Floats:
        row = self._kept.get((axis, place))
        if row is None:
            row = self._new(axis, place)
            self._kept.put((axis, place), row)
        return row

    def _new(self, axis: int, place: int) -> Floats:
        return self._make(WINDOWS[axis], int(self._values[axis][place]))
