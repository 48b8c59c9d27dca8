"""Before against after on the same code: what a claim of a speedup is made of."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import BodyRaisedError, NotMeasuredError
from .harness import Side, WorkerProcess
from .outcome import Key, pair_core
from .pairs import Plan
from .rules import trimmed_mean

PROCESSES = 5
ROUNDS = 5
LONG_S = 1.0  # a `before` of this length is run once a process, and in fewer processes


@dataclass(frozen=True)
class Ratio:
    """before / after over fresh processes: > 1 means that after is faster."""

    cpu: float
    low: float  # cpu, mean - 3 se
    high: float  # cpu, mean + 3 se
    wall: float
    before_s: float  # wall seconds a call
    after_s: float


@dataclass(frozen=True)
class Interleaved:
    """Before and after by turns in one process; seconds a call."""

    before: dict[str, float]
    after: dict[str, float]

    def ratio(self, clock: str) -> float:
        before, after = self.before[clock], self.after[clock]
        if not (before > 0.0 and after > 0.0):
            raise NotMeasuredError("before or after used no time of its own: no ratio can be taken")
        return before / after


def claim_ratio(side: Side, key: Key, *, quick: bool = False) -> Ratio:
    """Interleave before and after in fresh processes; `quick` takes two processes.

    Raises `BodyRaisedError` where before and after disagree: then no time of theirs counts.
    """
    return claim_ratios([side], key, quick=quick)[0]


def claim_ratios(sides: Sequence[Side], key: Key, *, quick: bool = False) -> list[Ratio]:
    """`claim_ratio` of each side; their processes take turns, so that a bad moment meets them all.

    Raises as `claim_ratio`.
    """
    found: list[list[Interleaved]] = [[] for _ in sides]
    processes = 2 if quick else PROCESSES
    while len(found[-1]) < processes:
        for side, mine in zip(sides, found, strict=True):
            with WorkerProcess(side, core=pair_core()) as worker:
                mine.append(interleave(worker, key, compare=not mine))
            if mine[-1].before["wall_s"] > LONG_S:
                processes = min(processes, 3)
    return [_ratio(each) for each in found]


def _ratio(found: Sequence[Interleaved]) -> Ratio:
    cpu = [math.log(one.ratio("cpu_s")) for one in found]
    mean, spread = statistics.fmean(cpu), 3 * statistics.stdev(cpu) / math.sqrt(len(cpu))
    return Ratio(
        cpu=math.exp(mean),
        low=math.exp(mean - spread),
        high=math.exp(mean + spread),
        wall=math.exp(statistics.fmean(math.log(one.ratio("wall_s")) for one in found)),
        before_s=statistics.fmean(one.before["wall_s"] for one in found),
        after_s=statistics.fmean(one.after["wall_s"] for one in found),
    )


def interleave(
    worker: WorkerProcess, key: Key, *, compare: bool = False, rounds: int = ROUNDS
) -> Interleaved:
    """One process's turns; a `before` that takes long runs once."""
    warm = worker.ask("open", path=key[0], case=key[1])
    calls = Plan.of(**warm).calls
    if compare and not worker.ask("compare")["agree"]:
        raise BodyRaisedError(f"{key[0]}[{key[1]}]: before and after disagree")
    first = worker.ask("measure", calls=1, side="before")
    long = first["wall_s"] > LONG_S
    slow = [first] if long else []
    fast = [worker.ask("measure", calls=calls)] if long else []
    while len(slow) < (1 if long else rounds):
        slow.append(worker.ask("measure", calls=1, side="before"))
        fast.append(worker.ask("measure", calls=calls))
    worker.ask("close")
    return Interleaved(_means(slow), _means(fast))


def _means(samples: list[dict[str, float]]) -> dict[str, float]:
    return {name: trimmed_mean([sample[name] for sample in samples]) for name in samples[0]}
