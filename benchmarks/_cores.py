"""The cores that a measurement of several processes may use.

Processes that measure are pinned to one core, and what they start inherits that. Whoever started
them is not pinned, and knows which cores there are.
"""

from __future__ import annotations

import os


def widened() -> set[int]:
    """Let this process, and what it starts from now on, use all cores of the one that started it.

    Returns the cores it had before, for `put_back`; where processes cannot be pinned, none.
    """
    try:
        former = os.sched_getaffinity(0)
        os.sched_setaffinity(0, former | os.sched_getaffinity(os.getppid()))
    except (AttributeError, OSError):  # macOS; a parent that ended, or is another user's
        return set()
    return former


def put_back(former: set[int]) -> None:
    """Use these cores again; nothing where there are none."""
    if former:
        os.sched_setaffinity(0, former)


def cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
