"""Where trials run, behind one small interface: here, in threads, or in worker processes."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import optuna

from optimizer.efficiency import part
from optimizer.errors import ObjectiveError
from optimizer.study.interrupts import Interrupts
from optimizer.study.jobs import Job
from optimizer.study.objectives import Kind, Outcome, call
from optimizer.study.remote import Assignment, RemoteObjective
from optimizer.study.views import read_only
from optimizer.study.waiting import WaitClock


@dataclass(frozen=True, slots=True)
class Returned:
    """A task came to its end."""

    task: int
    outcome: Outcome
    seconds: float
    cpu_s: float
    attempt: int = 1
    waited_s: float = 0.0  # where that was measured


@dataclass(frozen=True, slots=True)
class Raised:
    """A task ended with an error: the objective's own, or that its worker died or took too long."""

    task: int
    error: BaseException
    traceback: str
    seconds: float
    attempt: int = 1
    is_loss: bool = False  # no error of the objective's: its worker was lost
    caught: str = ""  # the repr of an error that `catch` names, caught in the worker


@dataclass(frozen=True, slots=True)
class Asked:
    """A running task waits for an answer."""

    task: int
    content: Any


Event = Returned | Raised | Asked


@dataclass(frozen=True, slots=True)
class Figures:
    """What an executor's workers took, where they are processes.

    Attributes:
        cpu_s: CPU seconds of all workers.
        transport_s: what handing over tasks and results took in this process.
        peak_bytes: resident memory of each worker at its highest.
        start_s: until the first of them was ready; 0.0 where they were there before.
    """

    cpu_s: float = 0.0
    transport_s: float = 0.0
    peak_bytes: tuple[int, ...] = ()
    start_s: float = 0.0


class Executor(Protocol):
    """Runs tasks, one for each job. Used by one thread."""

    where: str
    workers: int

    @property
    def idle(self) -> int:
        """Workers without a task."""
        ...

    def submit(self, task: int, job: Job) -> None:
        """Start it, or queue it."""
        ...

    def wait(self, timeout_s: float | None, interrupts: Interrupts) -> list[Event]:
        """What happened; empty when time is up. A Ctrl-C is welcome meanwhile."""
        ...

    def reply(self, task: int, content: Any) -> None:
        """Answer a task that asked."""
        ...

    def close(self) -> None:
        """End everything that still runs; may be repeated."""
        ...

    def figures(self) -> Figures:
        """What its workers took."""
        ...


class InProcess:
    """Runs each task in this thread, on the study's own trial, while it is waited for.

    Attributes:
        measures: whether it finds out how long objectives wait.
    """

    where = "in-process"
    workers = 1

    def __init__(
        self, objective: Callable[..., Any], kind: Kind, data: Mapping[str, Any] | None
    ) -> None:
        self._objective = objective
        self._kind = kind
        self._data = read_only(data)
        self._waiting: deque[tuple[int, Job]] = deque()
        self.measures = False

    @property
    def idle(self) -> int:
        """1 unless a task was submitted."""
        return 0 if self._waiting else 1

    def submit(self, task: int, job: Job) -> None:
        """Keep it for the next `wait`."""
        self._waiting.append((task, job))

    def wait(self, timeout_s: float | None, interrupts: Interrupts) -> list[Event]:
        """Run the next task."""
        if not self._waiting:
            with interrupts.welcome():
                time.sleep(0.0 if timeout_s is None else timeout_s)
            return []
        task, job = self._waiting.popleft()
        data = self._data
        if job.fraction < 1.0 and data:
            data = part(data, job.fraction)
        trial = job.part or job.trial
        clock = WaitClock() if self.measures else None
        started_s, cpu_s = time.perf_counter(), time.thread_time()
        try:
            with interrupts.welcome():
                value = call(self._objective, self._kind, trial, job.params, data, job.fraction)
            outcome = Outcome(value)
        except optuna.TrialPruned as pruned:
            outcome = Outcome(None, str(pruned))
        except Exception as error:
            seconds = time.perf_counter() - started_s
            return [Raised(task, error, traceback.format_exc(), seconds)]
        cpu_s = time.thread_time() - cpu_s
        seconds = time.perf_counter() - started_s
        waited_s = 0.0 if clock is None else clock.waited_s()
        return [Returned(task, outcome, seconds, cpu_s, waited_s=waited_s)]

    def reply(self, task: int, content: Any) -> None:
        """Nothing asks here."""

    def close(self) -> None:
        """Drop what was not started."""
        self._waiting.clear()

    def figures(self) -> Figures:
        """Nothing: there are no workers."""
        return Figures()


_GONE = object()


class _ThreadTask:
    """A task as a thread sees it."""

    def __init__(self, number: int, data: Mapping[str, Any], events: queue.SimpleQueue[Any]):
        self.number = number
        self.data = data
        self._events = events
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask(self, content: Any) -> Any:
        """Ask the study, and wait for its answer."""
        self._events.put(Asked(self.number, content))
        answer = self.answers.get()
        if answer is _GONE:
            raise ObjectiveError("the study has ended, and this trial with it; return.")
        return answer


class Threads:
    """Runs tasks in threads: for objectives that wait rather than compute."""

    where = "threads"

    def __init__(
        self, function: RemoteObjective, workers: int, data: Mapping[str, Any] | None
    ) -> None:
        self.workers = workers
        self._function = function
        self._data = read_only(data)
        self._tasks: dict[int, _ThreadTask] = {}
        self._given: queue.SimpleQueue[tuple[_ThreadTask, Assignment] | None] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"trials-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def idle(self) -> int:
        """Threads without a task."""
        return max(0, self.workers - len(self._tasks))

    def submit(self, task: int, job: Job) -> None:
        """Hand it to the next free thread."""
        kept = self._tasks[task] = _ThreadTask(task, self._data, self._events)
        self._given.put((kept, job.assignment()))

    def wait(self, timeout_s: float | None, interrupts: Interrupts) -> list[Event]:
        """The next events, all that are there."""
        found: list[Event] = []
        try:
            with interrupts.welcome():
                found.append(self._events.get(timeout=timeout_s))
            while True:
                found.append(self._events.get_nowait())
        except queue.Empty:
            pass
        for event in found:
            if not isinstance(event, Asked):
                self._tasks.pop(event.task, None)
        return found

    def reply(self, task: int, content: Any) -> None:
        """Answer a task."""
        self._tasks[task].answers.put(content)

    def close(self) -> None:
        """Let the threads end with their present tasks; a thread cannot be ended from outside."""
        for task in self._tasks.values():
            task.answers.put(_GONE)  # it may be waiting for an answer
        for _ in self._threads:
            self._given.put(None)

    def figures(self) -> Figures:
        """Nothing: threads are part of this process."""
        return Figures()

    def _work(self) -> None:
        while (given := self._given.get()) is not None:
            task, assignment = given
            started_s, cpu_s = time.perf_counter(), time.thread_time()
            try:
                outcome = self._function(assignment, task)
            except BaseException as error:
                text, seconds = traceback.format_exc(), time.perf_counter() - started_s
                self._events.put(Raised(task.number, error, text, seconds))
            else:
                cpu_s = time.thread_time() - cpu_s
                seconds = time.perf_counter() - started_s
                self._events.put(Returned(task.number, outcome, seconds, cpu_s))
