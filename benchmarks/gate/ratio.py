"""Before against after on the same code: what a claim of a speedup is made of."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from . import exact
from .errors import BodyRaisedError, NotMeasuredError
from .harness import Side, WorkerProcess
from .outcome import Key, Outcome, Outcomes, pair_core
from .pairs import Plan
from .rules import trimmed_mean

PROCESSES = 5
ROUNDS = 5
LONG_PROCESSES = 3
KEPT = 0.95  # share of the baseline's ratio that is no loss beyond doubt
SURE_AFTER = 2  # turns that all reach it
LONG_S = 1.0  # a `before` of this length is sampled once a process, and in fewer processes


class DisagreedError(BodyRaisedError):
    """Before and after gave different answers, so nothing that was timed counts."""


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


Settled = Callable[[Key, Sequence[Sequence[Interleaved]]], bool]  # whether a case needs no more


def _unheard() -> None:
    pass


def claim_ratio(side: Side, key: Key) -> Ratio:
    """Interleave before and after in fresh processes.

    Raises `DisagreedError` where before and after do: then no time of theirs counts.
    """
    outcomes = {key: Outcome()}
    found = _turns([side], [key], outcomes)
    error = outcomes[key].error
    if error is not None:
        raise error
    return _ratio(found[key][0])


def claim_ratios(
    side: Side, keys: Sequence[Key], outcomes: Outcomes, begun: Callable[[], None] = _unheard
) -> dict[Key, Ratio]:
    """`claim_ratio` of several cases, which share their processes; errors go into the outcomes.

    `begun` is called before each look at a case.
    """
    return {key: _ratio(now) for key, (now,) in _turns([side], keys, outcomes, begun).items()}


def claims_kept(
    head: Side,
    base: Side,
    keys: Sequence[Key],
    outcomes: Outcomes,
    begun: Callable[[], None] = _unheard,
    promised: Mapping[Key, float] = MappingProxyType({}),
) -> dict[Key, Kept]:
    """`claim_ratios` of both sides; their processes take turns, so that a bad moment meets both.

    What they keep is judged turn by turn: noise that meets both of a turn does not count. A case
    of which two turns keep nearly all, and what is `promised` for any machine, needs no more.
    """

    def settled(key: Key, found: Sequence[Sequence[Interleaved]]) -> bool:
        now, then = ([one.ratio("cpu_s") for one in mine] for mine in found)
        enough = all(
            a >= max(KEPT * b, promised.get(key, 0.0)) for a, b in zip(now, then, strict=True)
        )
        return len(now) >= SURE_AFTER and enough

    kept: dict[Key, Kept] = {}
    for key, (now, then) in _turns([head, base], keys, outcomes, begun, settled).items():
        turns = zip(now, then, strict=True)
        _, _, high = _spread([math.log(a.ratio("cpu_s") / b.ratio("cpu_s")) for a, b in turns])
        kept[key] = Kept(_ratio(now), _ratio(then), high)
    return kept


def _turns(
    sides: Sequence[Side],
    keys: Sequence[Key],
    outcomes: Outcomes,
    begun: Callable[[], None] = _unheard,
    settled: Settled = lambda key, found: False,
) -> dict[Key, list[list[Interleaved]]]:
    """Each side in fresh processes by turns; before and after of the first one are compared."""
    found: dict[Key, list[list[Interleaved]]] = {key: [[] for _ in sides] for key in keys}
    for turn in range(PROCESSES):
        good = [key for key in keys if outcomes[key].error is None]
        left = [key for key in good if turn < _processes(found[key])]
        left = [key for key in left if not settled(key, found[key])]
        for number, side in enumerate(sides):
            compare = turn == number == 0
            act = partial(_turn, begun=begun, found=found, number=number, compare=compare)
            exact.each_case(side, left, act, outcomes, exact.Lanes(), core=pair_core())
    return {key: each for key, each in found.items() if outcomes[key].error is None}


def _turn(
    worker: WorkerProcess,
    key: Key,
    *,
    begun: Callable[[], None],
    found: dict[Key, list[list[Interleaved]]],
    number: int,
    compare: bool,
) -> None:
    begun()
    taken = interleave(worker, key, compare=compare)
    taken.ratio("cpu_s")  # raises here, where it costs this case only
    found[key][number].append(taken)


def _processes(found: Sequence[Sequence[Interleaved]]) -> int:
    """How many of each side a case needs, after those that are done."""
    long = any(one.before["wall_s"] > LONG_S for mine in found for one in mine)
    return LONG_PROCESSES if long else PROCESSES


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

    Raises `DisagreedError` where `compare` is asked for and they do, with the case left open.

    The first call of `before` in a process is never a sample: it may import, compile or build
    tables. It is that of `compare` where there is one, so a long `before` is called twice.
    """
    if compare:  # first, as users have it: what is wrong in a first call only is wrong, too
        worker.ask("open", path=key[0], case=key[1], warm=0)
        if not worker.ask("compare")["agree"]:
            raise DisagreedError(f"{key[0]}[{key[1]}]: before and after disagree")
        warm = worker.ask("warm")
    else:
        warm = worker.ask("open", path=key[0], case=key[1])
    calls = Plan.of(**warm).calls
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
