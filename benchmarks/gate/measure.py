"""The order of the measurements: exact ones first, then CPU time in pairs of fresh processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from .errors import GateError
from .harness import Side, WorkerProcess
from .rules import Paired, log_ratio

BATCH_S = 0.05  # CPU seconds of one batch: many turns of the scheduler
ROUNDS = 2  # batches of each side in one pair; a body that fills a batch alone runs once

Key = tuple[str, str]  # hot path, case
Progress = Callable[[str], None]


@dataclass
class Outcome:
    """What was measured of one case, and what went wrong."""

    counters: dict[str, int] = field(default_factory=dict)
    base_counters: dict[str, int] = field(default_factory=dict)
    first: Paired | None = None
    second: Paired | None = None
    cpu_s: float | None = None  # this code's CPU seconds a call, to say how large the body is
    agree: bool | None = None
    error: GateError | None = None


Outcomes = dict[Key, Outcome]


def pair_core() -> int | None:
    """The core that pairs are pinned to; None where a process cannot be pinned."""
    return max(_cores(), default=None)


def _exact_core() -> int | None:
    """The core of everything that is exact: another one, if there is one."""
    return min(_cores(), default=None)


def _cores() -> set[int]:
    try:
        return os.sched_getaffinity(0)
    except AttributeError:  # macOS
        return set()


def exact(
    head: Side,
    bases: Mapping[Side, Sequence[Key]],
    counted: Sequence[Key],
    compared: Sequence[Key],
    outcomes: Outcomes,
    lanes: Lanes,
) -> None:
    """Counters of this code (and of each base that has to be counted here), and agreement.

    Exact, so it may run beside the pairs, on another core where there is one.
    """
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs: list[Future[None]] = [
            pool.submit(_compare_cases, head, compared, outcomes, lanes),
            pool.submit(_count_cases, head, counted, outcomes, "counters", lanes),
        ]
        for side, keys in bases.items():
            jobs.append(pool.submit(_count_cases, side, keys, outcomes, "base_counters", lanes))
        try:
            for job in jobs:
                job.result()
        except BaseException:  # Ctrl-C: no lane finishes its case or goes on to the next
            lanes.stop()
            raise


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


def count_again(head: Side, keys: Sequence[Key]) -> Outcomes:
    """Counters from a second process, to confirm an increase."""
    outcomes: Outcomes = {key: Outcome() for key in keys}
    _count_cases(head, keys, outcomes, "counters", Lanes())
    return outcomes


def _count_cases(
    side: Side, keys: Sequence[Key], outcomes: Outcomes, target: str, lanes: Lanes
) -> None:
    def count(worker: WorkerProcess, key: Key) -> None:
        worker.ask("open", path=key[0], case=key[1])
        setattr(outcomes[key], target, worker.ask("count")["counters"])

    _each_case(side, keys, outcomes, count, lanes, instrumented=True)


def _compare_cases(side: Side, keys: Sequence[Key], outcomes: Outcomes, lanes: Lanes) -> None:
    def compare(worker: WorkerProcess, key: Key) -> None:
        worker.ask("open", path=key[0], case=key[1])
        outcomes[key].agree = worker.ask("compare")["agree"]

    _each_case(side, keys, outcomes, compare, lanes, instrumented=False)


def _each_case(
    side: Side,
    keys: Sequence[Key],
    outcomes: Outcomes,
    act: Callable[[WorkerProcess, Key], None],
    lanes: Lanes,
    *,
    instrumented: bool,
) -> None:
    """Run `act` for each case in one process; a case that fails gets a fresh process after it."""
    waiting = list(keys)
    while waiting and not lanes.stopped:
        process = WorkerProcess(side, core=_exact_core(), count=instrumented)
        with process as worker, lanes.running(worker):
            while waiting:
                key = waiting.pop(0)
                try:
                    act(worker, key)
                except GateError as error:
                    outcomes[key].error = outcomes[key].error or error
                    break


@dataclass
class Plan:
    """How often a case's body runs; found once, so that all pairs do the same."""

    calls: int
    rounds: int

    @classmethod
    def of(cls, cpu_s: float) -> Plan:
        calls = max(1, round(BATCH_S / max(cpu_s, 1e-7)))
        return cls(calls, ROUNDS if cpu_s < BATCH_S else 1)


class PairedCpu:
    """CPU time of this code against a base, in pairs of fresh processes on one core.

    Both of a pair run their batches at the same time, so that the scheduler alternates them every
    few milliseconds: what the machine does meanwhile, it does to both, and each is charged for its
    own CPU time alone. (Taking turns batch by batch lets a neighbor's burst hit one side only.)
    Where a process cannot be pinned to a core, they take turns.
    """

    def __init__(self, head: Side, outcomes: Outcomes, progress: Progress) -> None:
        self._head = head
        self._outcomes = outcomes
        self._progress = progress
        self._plans: dict[Key, Plan] = {}
        self._core = pair_core()

    def measure(
        self,
        groups: Mapping[Side, Sequence[Key]],
        pairs: int,
        stage: str,
        cleared: Callable[[Paired], bool] = lambda paired: False,
    ) -> None:
        """Up to `pairs` pairs for every case; results go into the outcomes' `stage`.

        A case of which `cleared` says that more pairs cannot make it fail is measured no further.
        """
        logs: dict[Key, list[float]] = {key: [] for keys in groups.values() for key in keys}
        for pair in range(pairs):
            left = {
                base: [key for key in keys if not cleared(Paired(tuple(logs[key])))]
                for base, keys in groups.items()
            }
            if not any(left.values()):
                break
            self._progress(f"CPU time, {stage} stage: pair {pair + 1} of {pairs}")
            for base, keys in left.items():
                self._one_pair(base, keys, pair, logs)
        for key, values in logs.items():
            if values and self._outcomes[key].error is None:
                setattr(self._outcomes[key], stage, Paired(tuple(values)))

    def _one_pair(
        self, base: Side, keys: Sequence[Key], pair: int, logs: dict[Key, list[float]]
    ) -> None:
        waiting = [key for key in keys if self._outcomes[key].error is None]
        while waiting:
            with _pair(self._head, base, self._core, swapped=pair % 2 == 1) as workers:
                while waiting:
                    key = waiting.pop(0)
                    try:
                        logs[key].append(self._one_case(workers, key, pair))
                    except GateError as error:
                        self._outcomes[key].error = error
                        break

    def _one_case(self, workers: tuple[WorkerProcess, WorkerProcess], key: Key, pair: int) -> float:
        known = self._plans.get(key)
        warm = 1 if known is not None and known.rounds == 1 else 2
        opened = reversed(workers) if pair % 2 else workers  # in the order they were started
        answers = [worker.ask("open", path=key[0], case=key[1], warm=warm) for worker in opened]
        plan = known or Plan.of(max(answer["cpu_s"] for answer in answers))
        self._plans[key] = plan
        samples: tuple[list[float], list[float]] = ([], [])
        for turn in range(plan.rounds):
            order = (0, 1) if (turn + pair) % 2 else (1, 0)
            for side in order:
                workers[side].begin("measure", calls=plan.calls)
                if self._core is None:
                    samples[side].append(workers[side].finish()["cpu_s"])
            if self._core is not None:
                for side in order:
                    samples[side].append(workers[side].finish()["cpu_s"])
        for worker in workers:
            worker.ask("close")
        self._outcomes[key].cpu_s = min(samples[0])
        return log_ratio(*samples)


@contextmanager
def _pair(
    head: Side, base: Side, core: int | None, *, swapped: bool
) -> Iterator[tuple[WorkerProcess, WorkerProcess]]:
    """Two fresh workers, head and base; `swapped` starts base first.

    The process that starts first gets other memory (huge pages, say) than the one that starts
    second, so every other pair is swapped: what the order does, it does to both sides.
    """
    with ExitStack() as stack:
        sides = (base, head) if swapped else (head, base)
        first, second = (stack.enter_context(WorkerProcess(side, core=core)) for side in sides)
        yield (second, first) if swapped else (first, second)
