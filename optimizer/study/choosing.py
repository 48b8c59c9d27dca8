"""Where trials run: here, in threads or in processes, chosen by what the first ones took."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from optimizer.study.executors import Executor

MEASURED = 3
"""Trials measured before anything is chosen. The first may compile and import: it is left out."""
WAITS_RATIO = 0.5
"""Of the time of an evaluation: an objective that waits for more waits rather than computes."""
SHORTEST_WAIT_S = 0.002
"""Below this, a thread's turn costs as much as it gains."""
POOL_START_S = 1.0
"""What a pool takes to start, on a busy machine."""
TRANSPORT_S = 0.001
"""What the way to a worker and back takes, on a busy machine."""
LEAST_GAIN = 1.2
"""How many times faster workers must promise to be."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Where the remaining trials run: "in-process", "threads" or "processes"; and why."""

    where: str
    why: str


def choose(
    seconds: float,
    waits_ratio: float,
    own_s: float,
    *,
    workers: int,
    left: float,
    start_s: float = POOL_START_S,
) -> Choice:
    """Where trials run best.

    Args:
        seconds: of an evaluation.
        waits_ratio: the part of it in which it waits for something else than a processor.
        own_s: what the loop itself takes for a trial.
        workers: how many there may be.
        left: trials that are left; infinite where nobody knows.
        start_s: what starting processes takes; 0 where they stay for later studies.
    """
    measured = f"an evaluation takes {seconds * 1e3:.3g} ms, and waits for {waits_ratio:.0%} of it"
    if workers == 1:
        return Choice("in-process", f"{measured}; one worker")
    if left <= 1:
        return Choice("in-process", f"{measured}; nothing is left to share")
    if waits_ratio > WAITS_RATIO and seconds >= SHORTEST_WAIT_S:
        return Choice("threads", f"{measured}: it waits rather than computes")
    here_s = seconds + own_s
    there_s = max(seconds / workers, own_s + TRANSPORT_S)
    if here_s < LEAST_GAIN * there_s:
        return Choice("in-process", f"{measured}: too short to be worth the way to a worker")
    if left * (here_s - there_s) < start_s:
        return Choice("in-process", f"{measured}: too few are left to be worth starting workers")
    return Choice("processes", f"{measured}: it computes for long enough")


class Chooser:
    """Measures the first trials, then chooses where the others run.

    Args:
        workers: how many there may be.
        make: makes the executor of a choice; None to stay here.
        start_s: what starting processes takes.
    """

    def __init__(
        self,
        workers: int,
        make: Callable[[Choice], Executor | None],
        start_s: float = POOL_START_S,
    ) -> None:
        self._workers = workers
        self._make = make
        self._start_s = start_s
        self._seconds: list[float] = []
        self._waited_s: list[float] = []
        self._own_s = 0.0

    def note(self, seconds: float, waited_s: float) -> None:
        """A trial was evaluated here."""
        self._seconds.append(seconds)
        self._waited_s.append(waited_s)

    def may_start(self, busy: int) -> bool:
        """Whether another trial is to be measured here."""
        return len(self._seconds) + busy < MEASURED

    def choose(self, left: int | None, left_s: float | None, own_s: float = 0.0) -> Executor | None:
        """The executor for the other trials; None for the present one.

        Args:
            left: trials left; None where nobody knows.
            left_s: seconds left; None without a limit.
            own_s: what the loop itself takes for a trial.
        """
        seconds = statistics.median(self._seconds[1:] or self._seconds or [0.0])
        wall_s, waited_s = sum(self._seconds[1:]), sum(self._waited_s[1:])
        expected = float("inf") if left is None else float(left)
        if left_s is not None and seconds > 0.0:
            expected = min(expected, left_s / seconds)
        ratio = min(1.0, waited_s / wall_s) if wall_s > 0.0 else 0.0
        return self._make(
            choose(
                seconds, ratio, own_s,
                workers=self._workers, left=expected, start_s=self._start_s,
            )
        )  # fmt: skip
