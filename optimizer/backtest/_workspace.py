"""Memory for one run of the tracker, lent to its log and used again when the log is gone."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Floats = NDArray[np.float64]
Records = NDArray[np.void]


class Workspace:
    """One block of memory: the records and curves of a run, and what the kernel works in.

    A log is given views of it. Whoever keeps one of those views, or a view of a view, keeps the
    block from being used again: numpy makes the block the base of them all, so that its reference
    count tells.

    Attributes:
        capacity: how many records fit.
        trades: room for the records.
        equity: room for the equity of each bar.
        margin_load: room for the margin load of each bar.
        book: room for a holding per asset.
        accounts: room for one account.
    """

    def __init__(
        self,
        n_bars: int,
        n_assets: int,
        capacity: int,
        *,
        trade: np.dtype[Any],
        holding: np.dtype[Any],
        account: np.dtype[Any],
    ) -> None:
        shapes = ((capacity, trade), (n_bars, "f8"), (n_bars, "f8"), (n_assets, holding))
        parts: list[tuple[int, DTypeLike]] = [*shapes, (1, account)]
        sizes = [length * np.dtype(dtype).itemsize for length, dtype in parts]
        self._block = np.empty(sum(sizes), np.uint8)
        views: list[NDArray[Any]] = []
        start = 0
        for size, (_, dtype) in zip(sizes, parts, strict=True):
            views.append(self._block[start : start + size].view(dtype))
            start += size
        self.capacity = capacity
        self.trades, self.equity, self.margin_load, self.book, self.accounts = views
        self._at_rest = 0
        self._at_rest = self._references()

    @property
    def free(self) -> bool:
        """Whether nobody refers to it but this object."""
        return self._references() <= self._at_rest

    def _references(self) -> int:
        # What an expression adds to the count differs between Pythons: always count by this one.
        return sys.getrefcount(self._block)
