"""How long a piece of work waited for something else than a processor."""

from __future__ import annotations

import os
import time
from contextlib import suppress

_SCHEDULE = "/proc/thread-self/schedstat"
"""Of Linux: nanoseconds that the thread ran, and that it was ready and did not run."""


class WaitClock:
    """Measures the thread that makes it, from then on.

    On a busy machine a thread that computes is kept waiting for a processor; that is no reason to
    take it for one that waits for a network. Cost: two reads of a file of the system's.
    """

    def __init__(self) -> None:
        self._wall_s = time.perf_counter()
        self._cpu_s = time.process_time()  # of all threads: libraries compute in several
        self._queued_s, self._rests = _queued_s(), _rests()

    def waited_s(self) -> float:
        """Seconds that were neither computed nor spent in the queue for a processor."""
        rests = _rests()
        if rests is not None and rests == self._rests:
            return 0.0  # it never rested; a hypervisor may have stopped it
        wall_s = time.perf_counter() - self._wall_s
        idle_s = wall_s - (time.process_time() - self._cpu_s)
        return max(0.0, idle_s - (_queued_s() - self._queued_s))


def _rests() -> int | None:
    """How often this thread gave up its processor by itself; None where nobody tells."""
    try:
        import resource
    except ImportError:  # not on every system
        return None
    thread = getattr(resource, "RUSAGE_THREAD", None)
    return None if thread is None else int(resource.getrusage(thread).ru_nvcsw)


def _queued_s() -> float:
    """Seconds that this thread was ready and did not run; 0.0 where nobody tells."""
    with suppress(OSError, ValueError, IndexError):
        descriptor = os.open(_SCHEDULE, os.O_RDONLY)
        try:
            return int(os.read(descriptor, 100).split()[1]) / 1e9
        finally:
            os.close(descriptor)
    return 0.0
