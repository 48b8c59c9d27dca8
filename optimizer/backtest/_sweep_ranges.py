"""Tables from which the extremes of any range of bars are read in a few steps.

A disjoint sparse table: level l says, for each place, what lies between it and the nearest odd
multiple of 2**l, on either side. Two places that first differ in bit l meet at such a multiple, so
two entries of level l are the whole range between them. Within blocks of 256 bars there are eight
levels; ranges over several blocks are the rest of the first block, whole blocks, and the start of
the last. That takes memory in proportion to the bars, where one table of all levels would not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVELS = 8
"""Within a block of 2**8 bars; the kernel counts on it."""
BLOCK = 2**LEVELS


def range_tables(close: Floats) -> tuple[Floats, Floats]:
    """The tables within blocks and over blocks.

    Entries are the highest and the lowest price, and the least ratio of a price to one before it
    (1 if none is below).

    Args:
        close: (T,) prices above 0.

    Returns:
        inner: (10, T, 3) eight levels, then from each bar to the start and to the end of its block.
        outer: (levels, blocks, 3) levels over whole blocks.
    """
    n_blocks = -(-len(close) // BLOCK)
    padded = np.pad(close, (0, n_blocks * BLOCK - len(close)), mode="edge")
    single = np.stack([padded, padded, np.ones_like(padded)], axis=-1)
    to_start = _grow(single.reshape(n_blocks, BLOCK, 3))
    to_end = _grow_backwards(single.reshape(n_blocks, BLOCK, 3))
    inner = [*_levels(single, LEVELS), to_start.reshape(-1, 3), to_end.reshape(-1, 3)]
    # Padding repeats the last price, which changes no extreme of its block.
    outer = _levels(to_start[:, -1], max(1, (n_blocks - 1).bit_length()))
    return np.stack([table[: len(close)] for table in inner]), np.stack(outer)


def table_bytes(n_bars: int) -> int:
    """What the tables take, about: those over blocks are small beside the others."""
    return (LEVELS + 2) * 3 * 8 * n_bars


def _levels(source: Floats, n_levels: int) -> list[Floats]:
    """The levels of (n, 3) entries, each (n, 3)."""
    tables = []
    for level in range(n_levels):
        half = 1 << level
        n_pairs = -(-len(source) // (2 * half))
        missing = n_pairs * 2 * half - len(source)
        halves = np.pad(source, ((0, missing), (0, 0)), mode="edge").reshape(n_pairs, 2, half, 3)
        table = np.stack([_grow_backwards(halves[:, 0]), _grow(halves[:, 1])], axis=1)
        tables.append(table.reshape(-1, 3)[: len(source)])
    return tables


def _grow(runs: Floats) -> Floats:
    """(n, k, 3) entries, joined from the first of each run up to each place."""
    highest = np.maximum.accumulate(runs[..., 0], axis=1)
    lowest = np.minimum.accumulate(runs[..., 1], axis=1)
    worst = runs[..., 2].copy()
    worst[:, 1:] = np.minimum(worst[:, 1:], runs[:, 1:, 1] / highest[:, :-1])
    return _joined(highest, lowest, np.minimum.accumulate(worst, axis=1))


def _grow_backwards(runs: Floats) -> Floats:
    """(n, k, 3) entries, joined from each place to the last of its run."""
    backwards = runs[:, ::-1]
    highest = np.maximum.accumulate(backwards[..., 0], axis=1)
    lowest = np.minimum.accumulate(backwards[..., 1], axis=1)
    worst = backwards[..., 2].copy()
    worst[:, 1:] = np.minimum(worst[:, 1:], lowest[:, :-1] / backwards[:, 1:, 0])
    return _joined(highest, lowest, np.minimum.accumulate(worst, axis=1))[:, ::-1]


def _joined(highest: Floats, lowest: Floats, worst: Floats) -> Floats:
    return np.stack([highest, lowest, np.minimum(worst, 1.0)], axis=-1)
