"""Trials in the worker processes of a `WorkerPool`."""

from __future__ import annotations

from typing import Any

from optimizer.errors import TaskTimeoutError, WorkerDiedError
from optimizer.study.executors import Asked, Event, Figures, Raised, Returned
from optimizer.study.interrupts import Interrupts
from optimizer.study.jobs import Job
from optimizer.study.remote import RemoteObjective
from optimizer.workers.events import Done, Failed, Message
from optimizer.workers.pool import WorkerPool

LONGEST_END_S = 0.2  # of the second that a Ctrl-C may take; nobody hears of what still runs


class Processes:
    """Runs tasks in the worker processes of a `WorkerPool`."""

    where = "processes"

    def __init__(self, function: RemoteObjective, workers: int, **options: Any) -> None:
        self.workers = workers
        self.pool = WorkerPool(function, workers=workers, **options)

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
        """End the workers."""
        self.pool.close(LONGEST_END_S)

    def figures(self) -> Figures:
        """What the pool counted."""
        found = self.pool.counters
        return Figures(sum(found.cpu_s), found.transport_s, tuple(found.peak_rss_bytes))

    def _event(self, event: Done | Failed | Message) -> Event:
        if isinstance(event, Done):
            return Returned(event.task, event.result, event.seconds, event.cpu_s, event.attempt)
        if isinstance(event, Failed):
            lost = isinstance(event.error, (WorkerDiedError, TaskTimeoutError))
            return Raised(
                event.task, event.error, event.traceback, event.seconds, event.attempt, lost
            )
        return Asked(event.task, event.content)
