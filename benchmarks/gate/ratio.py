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
LONG_S = 1.0  # a `before` of this length is sampled once a process, and in fewer processes


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


@dataclass(frozen=True)
class Kept:
    """This code's before / after against the baseline's code, both taken by turns."""

    now: Ratio
    then: Ratio
    high: float  # now / then, mean + 3 se: what is kept of the speedup at most


def claim_ratio(side: Side, key: Key) -> Ratio:
    """Interleave before and after in fresh processes.

    Raises `BodyRaisedError` where before and after disagree: then no time of theirs counts.
    """
    return _ratio(_turns([side], key)[0])


def claim_kept(head: Side, base: Side, key: Key) -> Kept:
    """`claim_ratio` of both sides; their processes take turns, so that a bad moment meets both.

    What they keep is judged turn by turn: noise that meets both of a turn does not count.

    Raises as `claim_ratio`, for `head`.
    """
    now, then = _turns([head, base], key)
    turns = zip(now, then, strict=True)
    _, _, high = _spread([math.log(a.ratio("cpu_s") / b.ratio("cpu_s")) for a, b in turns])
    return Kept(_ratio(now), _ratio(then), high)


def _turns(sides: Sequence[Side], key: Key) -> list[list[Interleaved]]:
    """Each side in fresh processes by turns; before and after of the first one are compared."""
    found: list[list[Interleaved]] = [[] for _ in sides]
    processes = PROCESSES
    while len(found[-1]) < processes:
        for side, mine in zip(sides, found, strict=True):
            compare = side is sides[0] and not mine
            with WorkerProcess(side, core=pair_core()) as worker:
                mine.append(interleave(worker, key, compare=compare))
            if mine[-1].before["wall_s"] > LONG_S:
                processes = min(processes, 3)
    return found


def _spread(logs: Sequence[float]) -> tuple[float, float, float]:
    """The geometric mean, and three standard errors below and above it."""
    mean, spread = statistics.fmean(logs), 3 * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - spread), math.exp(mean + spread)


def _ratio(found: Sequence[Interleaved]) -> Ratio:
    cpu, low, high = _spread([math.log(one.ratio("cpu_s")) for one in found])
    return Ratio(
        cpu=cpu,
        low=low,
        high=high,
        wall=math.exp(statistics.fmean(math.log(one.ratio("wall_s")) for one in found)),
        before_s=statistics.fmean(one.before["wall_s"] for one in found),
        after_s=statistics.fmean(one.after["wall_s"] for one in found),
    )


def interleave(
    worker: WorkerProcess, key: Key, *, compare: bool = False, rounds: int = ROUNDS
) -> Interleaved:
    """One process's turns; a `before` that takes long is sampled once.

    The first call of `before` in a process is never a sample: it may import, compile or build
    tables. It is that of `compare` where there is one, so a long `before` is called twice.
    """
    warm = worker.ask("open", path=key[0], case=key[1])
    calls = Plan.of(**warm).calls
    if compare and not worker.ask("compare")["agree"]:
        raise BodyRaisedError(f"{key[0]}[{key[1]}]: before and after disagree")
    first = worker.ask("measure", calls=1, side="before")
    if first["wall_s"] > LONG_S and not compare:  # else what is short is sampled anew below
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
