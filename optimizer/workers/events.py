"""What a pool tells its caller: how a task ended, what a running one asks, what all that cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Done:
    """A task that returned.

    Attributes:
        task: the caller's number of it.
        result: what the function returned.
        worker: the place of the worker, from 0; a replacement takes the place of the dead.
        started_s: when the function was called, seconds as `time.time()` counts them.
        seconds: wall time in the function.
        cpu_s: CPU time of the worker's process in the function, all its threads.
        attempt: 1, or more after workers that died or hung.
    """

    task: int
    result: Any
    worker: int
    started_s: float
    seconds: float
    cpu_s: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A task that raised, or whose workers died or hung once more than it may be retried.

    Attributes:
        error: the function's own exception (`RemoteError` where it cannot be rebuilt here), or
            `WorkerDiedError`, or `TaskTimeoutError`.
        traceback: that of the worker as text; empty where a worker died or hung.
        seconds: wall time of the last attempt.
        task, worker, attempt: as in `Done`.
    """

    task: int
    error: BaseException
    traceback: str
    worker: int
    seconds: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Message:
    """What a running task asks; it waits until `WorkerPool.reply(task, content)`."""

    task: int
    content: Any


Event = Done | Failed | Message


@dataclass(frozen=True, slots=True)
class PoolCounters:
    """What a pool did so far; lists have one entry per worker's place.

    Attributes:
        workers: places for workers.
        started: processes started for them, replacements included.
        died: workers that ended unasked.
        timed_out: workers ended because of the time-out.
        retried: attempts after the first.
        tasks: tasks that are done or failed.
        busy_s, cpu_s: wall and CPU time in the function.
        transport_s: the parent's own time in the pool's methods, less the waiting.
        peak_rss_bytes: largest resident memory seen of a worker; shared pages count in each.
        shared_bytes: the shared memory, which lies there once.
        start_s: from the making of the pool until its first worker was ready: processes, imports,
            function, data and warm_up; 0.0 until the pool has heard of it.
    """

    workers: int
    started: int
    died: int
    timed_out: int
    retried: int
    tasks: int
    busy_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    transport_s: float
    peak_rss_bytes: tuple[int, ...]
    shared_bytes: int
    start_s: float = 0.0
