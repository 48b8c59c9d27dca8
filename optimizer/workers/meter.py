"""The counters of a pool while they change."""

from __future__ import annotations

import time

from optimizer.workers.events import PoolCounters


class Meter:
    """Plain numbers; `snapshot` gives them away."""

    def __init__(self, workers: int, shared_bytes: int) -> None:
        self.workers = workers
        self.shared_bytes = shared_bytes
        self.died = 0
        self.timed_out = 0
        self.retried = 0
        self.tasks = 0
        self.transport_s = 0.0
        self._made_s = time.time()
        self._start_s = 0.0
        self._busy_s = [0.0] * workers
        self._cpu_s = [0.0] * workers
        self._peak_rss_bytes = [0] * workers

    def peak(self, place: int, resident_bytes: int) -> None:
        """What a worker says of its memory."""
        if resident_bytes > self._peak_rss_bytes[place]:
            self._peak_rss_bytes[place] = resident_bytes

    def ready(self, at_s: float) -> None:
        """A worker is ready since then, as `time.time()` counts; the first one is kept."""
        self._start_s = self._start_s or max(0.0, at_s - self._made_s)

    def ended(self, place: int, seconds: float, cpu_s: float) -> None:
        """A task is done or failed."""
        self.tasks += 1
        self._busy_s[place] += seconds
        self._cpu_s[place] += cpu_s

    def snapshot(self, started: int) -> PoolCounters:
        """The numbers as they are now."""
        return PoolCounters(
            workers=self.workers,
            started=started,
            died=self.died,
            timed_out=self.timed_out,
            retried=self.retried,
            tasks=self.tasks,
            busy_s=tuple(self._busy_s),
            cpu_s=tuple(self._cpu_s),
            transport_s=self.transport_s,
            peak_rss_bytes=tuple(self._peak_rss_bytes),
            shared_bytes=self.shared_bytes,
            start_s=self._start_s,
        )
