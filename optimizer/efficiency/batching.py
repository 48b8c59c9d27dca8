"""Trials in batches, and when caches are emptied: bounds on what a long study keeps in memory."""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.errors import EfficiencyError


def batches(n: int, size: int) -> Iterator[range]:
    """The numbers 0 to n - 1 in ranges of `size`, the last one with what is left.

    Lazy: holds one range at a time.

    Args:
        n: how many, at least 0.
        size: of a batch, at least 1.

    Raises:
        EfficiencyError: a negative n, or a size below 1; at the call, not at the first batch.

    Example:
        >>> list(batches(5, 2))
        [range(0, 2), range(2, 4), range(4, 5)]
    """
    if n < 0 or size < 1:
        raise EfficiencyError(
            f"found {n} items in batches of {size}, expected at least 0 in batches of at least 1"
        )
    return (range(start, min(start + size, n)) for start in range(0, n, size))


def is_clearing_due(finished: int, interval: int) -> bool:
    """Whether caches are to be emptied after that many finished trials; never for interval 0.

    Example:
        >>> [n for n in range(151) if is_clearing_due(n, 50)]
        [50, 100, 150]
    """
    return interval > 0 and finished > 0 and finished % interval == 0
