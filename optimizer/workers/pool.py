"""A persistent pool of worker processes."""

from __future__ import annotations

import math
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from optimizer.errors import WorkerError
from optimizer.workers import frames, worker
from optimizer.workers.crew import Crew, Flight
from optimizer.workers.events import Event, PoolCounters
from optimizer.workers.imported import modules_of
from optimizer.workers.interrupts import Interrupted, WholeCalls
from optimizer.workers.launch import METHODS
from optimizer.workers.meter import Meter
from optimizer.workers.shared import Key, place
from optimizer.workers.starter import PLACES
from optimizer.workers.traffic import Traffic
from optimizer.workers.worker import Task

_NUMBERS = range(-(2**63), 2**63)


class WorkerPool:
    """Calls a function for many payloads in processes that stay.

    Each task ends in exactly one `Done` or `Failed`, whatever happens to workers; the death of one
    touches no task but its own. An event counts as told when `wait` has returned it: a
    KeyboardInterrupt out of any method leaves the pool as it was before or after the call, and
    no event is lost. A handler of another signal may raise while `wait` sleeps; where it cuts off
    a call half way the pool gives up, and says so at the next one.

    Workers end with this process, however it ends, and with a worker ends what it started. Not
    thread-safe: one call at a time (a second one raises); a forked copy of this process cannot use
    the pool. Where nothing is set, workers compute with one thread each (the environment variables
    of OpenMP, the BLAS libraries and numba).

    Workers are forked from a process of the pool's own that has imported what they need, and
    never run the main module: the function may be a lambda, a closure or defined in a notebook,
    and a script needs no `if __name__ == "__main__"`.

    One message per direction and task; no threads; no shared queue or lock.

    Args:
        function: called as `function(payload, task)` with a `Task`.
        workers: processes, 1 to 65,535.
        data: for all workers, by name: arrays, frames and tables (and the arrays within other
            objects) lie in memory once, and workers see them read-only, as `task.data`.
        preload: modules that workers need; imported once. Those of the function are found.
        warm_up: called with the data in each worker before its first task. If it raises, so does
            `wait`. It may take as long as `start_timeout_s` lets it.
        timeout_s: for one attempt of a task, without the wait for replies; then its worker is
            killed. None: without end.
        retries: attempts after the first, where a worker died or hung. Exceptions of the function
            are not retried.
        start_timeout_s: for a worker to be ready: to be started, to load function and data, and
            for warm_up. Then it is killed and counts as one that died at its start. None: without
            end.
        start_method: "forkserver" (the default); "spawn": each worker is a new interpreter that
            imports for itself; "fork": workers are copies of this process.

    Raises:
        WorkerError: an argument that makes no sense, or that cannot be pickled.
        SharedDataError: data that cannot be pickled, or no memory for it.

    >>> with WorkerPool(lambda payload, task: payload * task.data["by"], workers=2,
    ...                 data={"by": 3}) as pool:
    ...     pool.submit(0, 14)
    ...     pool.wait()[0].result
    42
    """

    def __init__(
        self,
        function: Callable[[Any, Task], Any],
        *,
        workers: int,
        data: Mapping[str, Any] | None = None,
        preload: Iterable[str] = (),
        warm_up: Callable[[Mapping[str, Any]], None] | None = None,
        timeout_s: float | None = None,
        retries: int = 1,
        start_timeout_s: float | None = None,
        start_method: str | None = None,
    ) -> None:
        method = start_method or "forkserver"
        if worker.loading.is_set():
            raise WorkerError(
                "a module makes a WorkerPool when it is imported, and a worker imports it; "
                "expected modules that can be imported; put the pool into a function or below "
                '`if __name__ == "__main__":`'
            )
        _check(function, workers, data, warm_up, retries, method)
        limit_s = _seconds("timeout_s", timeout_s)
        start_s = _seconds("start_timeout_s", start_timeout_s)
        settings = {
            "argv": list(sys.argv),
            "preload": [preload] if isinstance(preload, str) else list(preload),
            "perhaps": ["cloudpickle", *modules_of(function, warm_up, *(data or {}).values())],
        }
        parts: dict[Key, Any] = {
            ("settings",): settings,
            ("function",): function,
            ("warm_up",): warm_up,
        }
        shared: dict[Key, Any] = {("data", name): part for name, part in (data or {}).items()}
        self._whole = WholeCalls()
        self._broken: WorkerError | None = None
        self._closed: str | None = None
        with self._whole:
            memory, size_bytes = place({**parts, **shared})
            self._meter = Meter(workers, size_bytes)
            try:
                self._crew = Crew(workers, method, memory, start_s)
            except OSError as fault:
                raise _no_start(fault) from fault
            self._traffic = Traffic(self._crew, self._meter, limit_s, retries)
            _open_pools.add(self)

    @property
    def idle(self) -> int:
        """Tasks that can be submitted before one has to wait for a worker."""
        return max(0, self._meter.workers - len(self._traffic.flights))

    @property
    def is_busy(self) -> bool:
        """Whether a task is in flight."""
        return bool(self._traffic.flights)

    @property
    def is_open(self) -> bool:
        """Whether tasks can be submitted: it was not closed, and did not give up."""
        return self._closed is None and self._broken is None and not self._whole.cut

    @property
    def counters(self) -> PoolCounters:
        """What the pool did so far."""
        return self._meter.snapshot(self._crew.started)

    def submit(self, task: int, payload: Any) -> None:
        """Hands a task to an idle worker, or queues it; waits for nothing.

        Args:
            task: any 64-bit integer that no task in flight has.
            payload: what the function gets, by pickle, else cloudpickle.

        Raises:
            WorkerError: the number is taken, or the payload cannot be pickled (nothing was
                submitted); the pool is closed, or gave up.
        """
        start_s = time.perf_counter()
        # Before the call is whole: this runs code of the caller, which may take long or raise.
        body = frames.pack_named(payload, f"the payload of task {task}")
        with self._whole:
            self._check_open()
            if type(task) is not int or task not in _NUMBERS:
                raise WorkerError(f"task {task!r} is no number; expected a 64-bit integer")
            if task in self._traffic.flights:
                raise WorkerError(f"task {task} is in flight; expected each number once at a time")
            self._traffic.submit(Flight(task, body))
            self._meter.transport_s += time.perf_counter() - start_s

    def wait(self, timeout_s: float | None = None) -> list[Event]:
        """The events since the last call; sleeps until there is one.

        Returns an empty list when the time is up, when nothing is in flight, or when SIGINT
        came and its handler raised nothing.

        Raises:
            WorkerDiedError: workers die at their start, or are not ready in time, again and again.
            WorkerError: warm_up raised (its exception is the cause); the function or the data
                cannot be loaded in workers; the pool is closed. Events that are there already
                are returned first.
        """
        with self._whole:
            start_s = time.perf_counter()
            try:
                self._collect(math.inf if timeout_s is None else time.monotonic() + timeout_s)
            finally:
                self._meter.transport_s += time.perf_counter() - start_s
        # Python looks for signals at calls and loops only: from here to the caller's own variable
        # there is none, so that what is taken out arrives.
        traffic = self._traffic
        events = traffic.events
        traffic.events = []
        return events

    def reply(self, task: int, content: Any) -> None:
        """Answers the oldest open message of a task; nothing happens where its worker is gone.

        Raises:
            WorkerError: the content cannot be pickled (the task still waits); the pool is closed.
        """
        body = frames.pack_named(content, f"the reply to task {task}")
        with self._whole:
            self._check_open()
            self._traffic.reply(task, body)

    def cancel(self, task: int) -> bool:
        """Ends a task without an event: it leaves the queue, or its worker is replaced.

        Returns: False when it has ended, or never was.
        """
        with self._whole:
            self._check_open()
            return self._traffic.cancel(task)

    def close(self, timeout_s: float = 1.0) -> None:
        """Ends all workers; tasks in flight end without an event. Repeatable.

        Idle workers end by themselves; busy ones get so many seconds to finish what they do
        (nobody hears of it), then are killed, with everything they started. Events that are there
        can still be fetched by `wait`.
        """
        with self._whole:
            self._end(timeout_s, "this pool is closed")

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(1.0 if kind is None else 0.2)

    def check(self) -> None:
        """Raises AssertionError unless what the pool knows of its tasks fits together."""
        with self._whole:
            self._traffic.check()
            if self._closed is None:
                places = sorted(member.place for member in self._crew.members.values())
                assert places == list(range(self._meter.workers))

    # --- within whole calls

    def _check_open(self) -> None:
        self._check_whole()
        if self._broken is not None:
            raise self._broken
        if self._closed is not None:
            raise WorkerError(f"{self._closed}; expected an open one; make a new WorkerPool")

    def _check_whole(self) -> None:
        if self._whole.cut and self._closed is None:
            self._break(
                WorkerError(
                    "a call of this pool was cut off half way by an exception that is not the "
                    "pool's; expected handlers of signals other than SIGINT to raise nothing; make "
                    "a new WorkerPool"
                )
            )

    def _end(self, timeout_s: float, why: str) -> None:
        if self._closed is None:
            self._closed = why
            self._traffic.clear()
            _open_pools.discard(self)
            self._crew.close(timeout_s)

    def _collect(self, until_s: float) -> None:
        self._check_whole()
        while self._closed is None:
            found = self._sleep(until_s)
            try:
                self._traffic.turn(found)
            except (WorkerError, OSError) as fault:  # OSError: no process, no descriptor left
                self._break(fault)
            if self._traffic.events or not self._traffic.flights or self._whole.came:
                break
            if time.monotonic() >= until_s:
                break
        if not self._traffic.events and self._broken is not None:
            raise self._broken

    def _sleep(self, until_s: float) -> list[tuple[int, int]]:
        left_s = 0.0
        if self._traffic.flights and not self._traffic.events:
            left_s = until_s - time.monotonic() if until_s < math.inf else math.inf
            left_s = min(left_s, self._traffic.next_deadline_s() - time.monotonic())
        start_s = time.perf_counter()
        found: list[tuple[int, int]] = []
        try:
            self._whole.waiting = True
            if not self._whole.came:
                found = self._crew.wait(left_s)
            self._whole.waiting = False
        except Interrupted:
            self._whole.waiting = False
        finally:
            self._meter.transport_s -= time.perf_counter() - start_s
        return found

    def _break(self, fault: WorkerError | OSError) -> None:
        self._broken = fault if isinstance(fault, WorkerError) else _no_start(fault)
        self._end(0.0, "this pool gave up")

    def _forsake(self) -> None:
        self._whole.let_go()
        self._whole = WholeCalls()
        self._closed = "this pool belongs to the process that made it"
        self._broken = WorkerError(
            f"{self._closed}, and this is a forked copy; expected calls there; make one here"
        )
        self._traffic.clear()
        self._traffic.events.clear()
        self._crew.forsake()


def _no_start(fault: OSError) -> WorkerError:
    return WorkerError(
        f"a worker could not be started ({fault}); expected processes and descriptors to be free; "
        "use fewer workers, or raise the limits of the system"
    )


def _check(
    function: object,
    workers: object,
    data: object,
    warm_up: object,
    retries: object,
    method: str,
) -> None:
    if not callable(function):
        _refuse("function", function, "one that takes a payload and a Task")
    if warm_up is not None and not callable(warm_up):
        _refuse("warm_up", warm_up, "a function that takes the data, or None")
    if data is not None and not isinstance(data, Mapping):
        _refuse("data", data, "a mapping of names to objects, or None")
    if type(workers) is not int or not 1 <= workers < PLACES:
        _refuse("workers", workers, f"a whole number from 1 to {PLACES - 1:,}")
    if type(retries) is not int or retries < 0:
        _refuse("retries", retries, "a whole number, 0 or more")
    if method not in METHODS:
        _refuse("start_method", method, f"one of {', '.join(METHODS)}")


def _seconds(what: str, found: float | None) -> float:
    """Seconds; inf for None."""
    if found is not None and not (isinstance(found, int | float) and found > 0):
        _refuse(what, found, "seconds above 0, or None")
    return math.inf if found is None else found


def _refuse(what: str, found: object, expected: str) -> None:
    raise WorkerError(f"{what} is {found!r}; expected {expected}; correct it")


# A forked copy of this process must not keep the lines to workers open, nor end them.
_open_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


def _forsake_all() -> None:
    for pool in list(_open_pools):
        pool._forsake()


os.register_at_fork(after_in_child=_forsake_all)
