"""Memory for one run of the tracker, lent to its log and used again when the log is gone."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Floats = NDArray[np.float64]
Records = NDArray[np.void]

# Assets in a block: at distances that it knows the compiler joins their steps. The kernel's cache
# need not know of it: another number makes other types.
LANES = 8
_LINE_BYTES = 64  # of the processor's cache; the widest steps are slow across two of them


def _per_lane(floats: str, integers: str, *more: Any) -> np.dtype[Any]:
    """A record with a number for each lane under each name."""
    fields = [(name, "f8", (LANES,)) for name in floats.split()]
    fields += [(name, "i8", (LANES,)) for name in integers.split()]
    # np.record: so its fields are attributes without the compiler too (NUMBA_DISABLE_JIT).
    return np.dtype((np.record, [*fields, *more]))


BLOCK_DTYPE = _per_lane(
    # none by the name of an attribute of a numpy scalar, as size is
    "quantity last high low cost fees slippage gain loss load lowest",
    "entry_bar position",
    ("value", "f8", (2, LANES)),
)
"""What is held of LANES assets, their lowest prices, and what they are worth at two bars."""

PLAN_DTYPE = _per_lane(
    "first_paid first_fee first_slippage second_paid second_fee second_slippage "
    "units cost fees slippage gross net mfe mae load",
    "ends opens side reason entry_bar",
)
"""What a rebalance does to a block: what its two legs pay, and the record of what ends."""


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
        book: room for the holdings, a record per LANES assets.
        plans: room for one plan.
    """

    def __init__(self, n_bars: int, n_assets: int, capacity: int, trade: np.dtype[Any]) -> None:
        shapes = ((-(-n_assets // LANES), BLOCK_DTYPE), (1, PLAN_DTYPE), (capacity, trade))
        parts: list[tuple[int, DTypeLike]] = [*shapes, (n_bars, "f8"), (n_bars, "f8")]
        sizes = [length * np.dtype(dtype).itemsize for length, dtype in parts]
        self._block = np.empty(sum(sizes) + _LINE_BYTES, np.uint8)
        views: list[NDArray[Any]] = []
        start = -self._block.ctypes.data % _LINE_BYTES
        for size, (_, dtype) in zip(sizes, parts, strict=True):
            views.append(self._block[start : start + size].view(dtype))
            start += size
        self.capacity = capacity
        self.book, self.plans, self.trades, self.equity, self.margin_load = views
        self._at_rest = 0
        self._at_rest = self._references()

    @property
    def free(self) -> bool:
        """Whether nobody refers to it but this object."""
        return self._references() <= self._at_rest

    def _references(self) -> int:
        # What an expression adds to the count differs between Pythons: always count by this one.
        return sys.getrefcount(self._block)
