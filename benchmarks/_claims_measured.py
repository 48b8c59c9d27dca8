"""A claim's hot path measured: both clocks with intervals, from the same fresh processes.

The gate's `Ratio` has an interval for CPU time only, and the reports speak of wall time. So its
processes are asked here one by one, in the same way, and each gives a ratio of either clock. They
take memory from libc as a user's process does, while the gate's keep what they free.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks import _claims_swapped
from benchmarks.gate import instruments
from benchmarks.gate.errors import NotMeasuredError
from benchmarks.gate.harness import Side, WorkerProcess
from benchmarks.gate.outcome import Key, exact_core, pair_core
from benchmarks.gate.ratio import LONG_S, PROCESSES, Interleaved, interleave

QUICK_PROCESSES = 2
LONG_PROCESSES = 3  # where the slow way takes longer than LONG_S

Begun = Callable[[int, int], None]  # told at the start of each process: which, of how many


@dataclass(frozen=True)
class Spread:
    """A ratio of several processes: geometric mean, and 3 standard errors to each side."""

    ratio: float
    low: float
    high: float

    @classmethod
    def of(cls, ratios: Iterable[float]) -> Spread:
        logs = [math.log(ratio) for ratio in ratios]
        mean, spread = statistics.fmean(logs), 3 * statistics.stdev(logs) / math.sqrt(len(logs))
        return cls(math.exp(mean), math.exp(mean - spread), math.exp(mean + spread))


@dataclass(frozen=True)
class Amount:
    """Something of several processes: mean, and 3 standard errors to each side."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Amount:
        every = list(values)
        mean = statistics.fmean(every)
        spread = 3 * statistics.stdev(every) / math.sqrt(len(every))
        return cls(mean, mean - spread, mean + spread)

    def times(self, factor: float) -> Amount:
        return Amount(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Measured:
    """before / after over fresh processes: > 1 means that after is faster; wall seconds a call."""

    wall: Spread
    cpu: Spread
    saved_s: Amount  # wall seconds that a call saves
    before_s: float
    after_s: float
    processes: int

    @classmethod
    def of(cls, found: Sequence[Interleaved]) -> Measured:
        return cls(
            wall=Spread.of(one.ratio("wall_s") for one in found),
            cpu=Spread.of(one.ratio("cpu_s") for one in found),
            saved_s=Amount.of(one.before["wall_s"] - one.after["wall_s"] for one in found),
            before_s=statistics.fmean(one.before["wall_s"] for one in found),
            after_s=statistics.fmean(one.after["wall_s"] for one in found),
            processes=len(found),
        )


def measure(side: Side, key: Key, *, quick: bool, begun: Begun = lambda at, of: None) -> Measured:
    """Interleave before and after in fresh processes; `quick` takes two.

    The first process compares what the two sides answer. Raises `BodyRaisedError` where they
    disagree: then no time of theirs counts.
    """
    found: list[Interleaved] = []
    processes = QUICK_PROCESSES if quick else PROCESSES
    while len(found) < processes:
        begun(len(found) + 1, processes)
        with WorkerProcess(side, core=pair_core(), own_memory=True) as worker:
            found.append(interleave(worker, key, compare=not found))
        if found[-1].before["wall_s"] > LONG_S:
            processes = min(processes, LONG_PROCESSES)
    return Measured.of(found)


def count_both(side: Side, key: Key, counters: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Counter -> (of one call of before, of one call of after), exact.

    Raises `NotMeasuredError` where one of them cannot be counted here.
    """
    swapped = dataclasses.replace(side, loader=_claims_swapped.LOADER)
    found: dict[str, tuple[int, int]] = {}
    kinds = {counter: instruments.counted_by(counter) for counter in counters}
    for kind in dict.fromkeys(kinds.values()):
        if reason := instruments.unavailable(kind):
            raise NotMeasuredError(f"{kind} cannot be counted here: {reason}")
        before, after = (_count(one, key, kind) for one in (swapped, side))
        for counter in (name for name, counting in kinds.items() if counting is kind):
            if counter not in before or counter not in after:
                raise NotMeasuredError(f"{kind} counts no {counter}; it counts {sorted(after)}")
            found[counter] = before[counter], after[counter]
    return found


def _count(side: Side, key: Key, kind: instruments.Kind) -> dict[str, int]:
    with WorkerProcess(side, core=exact_core(), instrument=kind) as worker:
        worker.ask("open", path=key[0], case=key[1], warm=1)
        counters: dict[str, int] = worker.ask("count")["counters"]
        return counters
