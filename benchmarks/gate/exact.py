"""Exact measurements: counts and agreement. They may run beside anything, on another core."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .ahead import Ahead
from .errors import GateError, SkippedError
from .harness import Side, WorkerProcess
from .instruments import Kind
from .outcome import Key, Outcomes, Progress, exact_core, pair_core
from .table import counted
from .ticker import Ticker

AT_ONCE = 2  # processes: one waits for its disk or its compiler now and then
WORTH_A_PROCESS = 6  # cases left: its start takes as long as counting some of them

Take = Callable[[Key, dict[str, Any]], None]  # what to do with a case's answer


@dataclass
class Job:
    """The same question for each of some cases, in one process as a rule."""

    side: Side
    keys: Sequence[Key]
    take: Take
    instrument: Kind | None = None  # None: compare before with after
    details: bool = False

    def __post_init__(self) -> None:
        self.left = deque(self.keys)  # each is popped by the process that asks it

    @property
    def title(self) -> str:
        what = self.instrument or "agreement"
        return f"{what} of {self.side.name}"

    def ask(self, worker: WorkerProcess, key: Key) -> None:
        if self.instrument is None:
            worker.ask("open", path=key[0], case=key[1], warm=0)
            self.take(key, worker.ask("compare"))
        else:
            worker.ask("open", path=key[0], case=key[1], warm=warm_calls(self.instrument))
            self.take(key, worker.ask("count", details=self.details))


def warm_calls(kind: Kind) -> int:
    """Calls of a case before it is counted; who counts instructions makes more of his own."""
    return 1 if kind is Kind.INSTRUCTIONS else 2


class Lanes:
    """The workers of several threads, which one call ends for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: set[WorkerProcess] = set()
        self.stopped = False

    @contextmanager
    def running(self, worker: WorkerProcess) -> Iterator[None]:
        with self._lock:
            self._workers.add(worker)
            if self.stopped:
                worker.kill()
        try:
            yield
        finally:
            with self._lock:
                self._workers.remove(worker)

    def stop(self) -> None:
        with self._lock:
            self.stopped = True
            for worker in self._workers:
                worker.kill()


def all_cores() -> list[int | None]:
    """The cores that may count while no pair is being timed."""
    return list(dict.fromkeys([exact_core(), pair_core()]))


def run(
    jobs: Sequence[Job],
    outcomes: Outcomes,
    lanes: Lanes,
    progress: Progress,
    *,
    cores: Sequence[int | None] = (),
) -> None:
    """Do the jobs, the first ones first, on the exact core or on these; errors go into the
    outcomes.

    Ctrl-C, or `lanes.stop` from another thread, ends them where they stand.
    """
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        turns = itertools.cycle(cores or [exact_core()])
        waiting = [
            pool.submit(_do, job, outcomes, lanes, progress, core)
            for job, core in zip((job for job in jobs if job.keys), turns, strict=False)
        ]
        try:
            for one in waiting:
                one.result()
        except BaseException:
            lanes.stop()
            raise


def lend(jobs: Sequence[Job], outcomes: Outcomes, lanes: Lanes, progress: Progress) -> None:
    """Count on the pairs' core too, where much is left of a job and no pair is timed any more.

    Instructions only: what a case executes is its own, whatever its process did before.
    """
    for job in jobs:
        if job.instrument is Kind.INSTRUCTIONS and len(job.left) >= WORTH_A_PROCESS:
            progress(f"{job.title}: {len(job.left)} cases left, on both cores")
            _do(job, outcomes, lanes, progress, pair_core())


def _do(job: Job, outcomes: Outcomes, lanes: Lanes, progress: Progress, core: int | None) -> None:
    ticker = Ticker(progress, job.title, f"{len(job.keys)} cases")

    with Ahead(job.side, core, lanes.running) as ahead:

        def ask(worker: WorkerProcess, key: Key) -> None:
            ticker.begin(len(job.keys) - len(job.left) - 1)
            if job.instrument is Kind.INSTRUCTIONS:
                ahead.open(worker, key)
            job.ask(worker, key)

        each_case(job.side, job.left, ask, outcomes, lanes, core=core, instrument=job.instrument)
    if not lanes.stopped:
        progress(f"{job.title}: {counted(len(job.keys), 'case')} done")


def each_case(
    side: Side,
    keys: Iterable[Key],
    act: Callable[[WorkerProcess, Key], None],
    outcomes: Outcomes,
    lanes: Lanes,
    *,
    core: int | None,
    instrument: Kind | None = None,
) -> None:
    """Drive the cases in one process; one that fails is followed by a fresh process.

    From a deque they are popped: another process may drive its other cases at the same time.
    """
    waiting = keys if isinstance(keys, deque) else deque(keys)
    while waiting and not lanes.stopped:
        process = WorkerProcess(side, core=core, instrument=instrument)
        with process as worker, lanes.running(worker):
            while (key := _next(waiting)) is not None:
                known = outcomes[key].error
                if known is not None and not isinstance(known, SkippedError):
                    continue  # a body that hangs or dies does so once
                try:
                    act(worker, key)
                except GateError as error:
                    outcomes[key].fail(error)
                    if not isinstance(error, SkippedError):
                        break


def _next(waiting: deque[Key]) -> Key | None:
    try:
        return waiting.popleft()
    except IndexError:  # another process took the last one
        return None
