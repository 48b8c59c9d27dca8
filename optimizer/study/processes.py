"""Trials in the worker processes of a `WorkerPool`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optimizer.errors import TaskTimeoutError, WorkerDiedError
from optimizer.study.executors import Asked, Event, Figures, Raised, Returned
from optimizer.study.interrupts import Interrupts
from optimizer.study.jobs import Job
from optimizer.study.kept import Workers
from optimizer.study.remote import RemoteObjective
from optimizer.workers.events import Done, Failed, Message
from optimizer.workers.pool import WorkerPool

LONGEST_END_S = 0.2  # of the second that a Ctrl-C may take; nobody hears of what still runs


class Processes:
    """Runs tasks in the worker processes of a `WorkerPool`.

    Args:
        pool: which calls a `RemoteObjective`.
        workers: of the pool.
        end: called at the end with the seconds it may take; ends the pool, or keeps it.
    """

    where = "processes"

    def __init__(self, pool: WorkerPool, workers: int, end: Callable[[float], None]) -> None:
        self.workers = workers
        self.pool = pool
        self._end = end
        found = pool.counters  # of earlier studies
        self._cpu_s, self._transport_s = sum(found.cpu_s), found.transport_s
        self._start_s = found.start_s
        self._figures: Figures | None = None

    @property
    def idle(self) -> int:
        """Workers without a task."""
        return self.pool.idle

    def submit(self, task: int, job: Job) -> None:
        """Hand it to a worker, or queue it."""
        self.pool.submit(task, job.assignment())

    def wait(self, timeout_s: float | None, interrupts: Interrupts) -> list[Event]:
        """The next events."""
        with interrupts.welcome():
            found = self.pool.wait(timeout_s)
        return [self._event(event) for event in found]

    def reply(self, task: int, content: Any) -> None:
        """Answer a task."""
        self.pool.reply(task, content)

    def close(self) -> None:
        """End the workers, or give them back."""
        if self._figures is None:
            self._end(LONGEST_END_S)
            self._figures = self.figures()  # a later study counts on

    def figures(self) -> Figures:
        """What the pool counted since it was taken."""
        if self._figures is not None:
            return self._figures
        found = self.pool.counters
        cpu_s, transport_s = sum(found.cpu_s), found.transport_s
        cpu_s, transport_s = cpu_s - self._cpu_s, transport_s - self._transport_s
        start_s = found.start_s - self._start_s
        return Figures(cpu_s, transport_s, found.peak_rss_bytes, start_s)

    def _event(self, event: Done | Failed | Message) -> Event:
        if isinstance(event, Done):
            return Returned(event.task, event.result, event.seconds, event.cpu_s, event.attempt)
        if isinstance(event, Failed):
            lost = isinstance(event.error, (WorkerDiedError, TaskTimeoutError))
            return Raised(
                event.task, event.error, event.traceback, event.seconds, event.attempt, lost
            )
        return Asked(event.task, event.content)


def processes(
    function: RemoteObjective, workers: int, kept: Workers | None, **options: Any
) -> Processes:
    """Workers for one study, new ones, or those that are kept.

    Args:
        function: what they call.
        workers: how many.
        kept: whose they are, where they stay; None where they end with the study.
        options: data, warm_up, timeout_s and retries, as for `WorkerPool`.
    """
    if kept is None:
        pool = WorkerPool(function, workers=workers, **options)
        return Processes(pool, workers, pool.close)
    pool = kept.lend(function, workers, **options)
    return Processes(pool, workers, kept.take_back)
