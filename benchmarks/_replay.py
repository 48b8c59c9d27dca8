"""Suites replayed from recorded pairs, through the gate's own rule; and asv's rule on them.

Unchanged code was measured in many runs; a case's pairs of all runs under one load, in the order
in which they were taken, are its sequence. A replayed suite judges every case on

    contiguous windows   as many consecutive pairs as a stage takes, from one random place that all
                         cases share: what the machine did in those minutes, it did to all of them
    bootstrap            pairs drawn one by one, with replacement

Only pairs of the first stage are used: a second stage was entered because the first looked slow.
Windows from random places overlap, so how sure a rate is follows from those that do not.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import _records
from benchmarks._records import LedgerError, Record
from benchmarks.gate.outcome import Outcome
from benchmarks.gate.rules import CALM_AFTER, CONVICTED_AFTER, CpuRule, Paired, log_ratio

WINDOWS, BOOTSTRAP = "contiguous windows", "bootstrap"
SEED = 20

ASV_FACTOR = 1.1
ASV_P = 0.002

Logs = dict[str, list[float]]  # case -> one logarithm of head / base a pair


def sequences(records: Iterable[Record]) -> list[Logs]:
    """One sequence of pairs for each case, for each load that was recorded.

    All are equally long, so that a window is the same minutes for all cases.
    """
    loads = []
    for runs in by_load(whole(records)):
        logs: Logs = {}
        for run in runs:
            for case, pairs in _first(run).items():
                logs.setdefault(case, []).extend(log_ratio(*pair) for pair in pairs)
        loads.append(logs)
    return loads


def by_load(records: Iterable[Record]) -> list[list[Record]]:
    """Runs of one group under one load, in the order in which they were made."""
    return [
        [record for record in group if record["load"] == load]
        for group in _records.groups(records)
        for load in dict.fromkeys(record["load"] for record in group)
    ]


def whole(records: Iterable[Record]) -> list[Record]:
    """The runs in which no case is missing that another run of their group and load has.

    A run that lacks pairs of one case would put the others' minutes out of step with it.
    """
    kept = []
    for runs in by_load(records):
        cases = {case for run in runs for case in _first(run)}
        for run in runs:
            pairs = _first(run)
            if cases and pairs.keys() == cases and len(set(map(len, pairs.values()))) == 1:
                kept.append(run)
    return kept


def _first(record: Record) -> dict[str, list[list[float]]]:
    """The first-stage pairs of each case that has some."""
    return {
        case: stages["first"] for case, stages in record["pairs"].items() if stages.get("first")
    }


@dataclass(frozen=True)
class Replayed:
    """How many of the replayed suites were red, and of the cases judged slower."""

    suites: int
    red: int
    cases: int
    slower: int
    by_case: dict[str, tuple[int, int]]  # case -> judged, slower


def replay(
    loads: Sequence[Logs], rule: CpuRule, suites: int, how: str, *, share: float = 0.0
) -> Replayed:
    """Judge `suites` whole suites; `share` is added to every pair as a slowdown of that size."""
    needed = _needed(loads, rule)
    rng = random.Random(f"{SEED} {how} {share}")
    chosen = rng.choices(loads, list(map(_length, loads)), k=suites)
    return _tallied((_drawn(logs, needed, how, rng) for logs in chosen), rule, share)


def independent(loads: Sequence[Logs], rule: CpuRule, *, share: float = 0.0) -> Replayed:
    """Judge the windows that share no pair with another: what a bound may be drawn from."""
    needed = _needed(loads, rule)
    windows = (
        [(case, values[start : start + needed]) for case, values in logs.items()]
        for logs in loads
        for start in range(0, _length(logs) - needed + 1, needed)
    )
    return _tallied(windows, rule, share)


def _needed(loads: Sequence[Logs], rule: CpuRule) -> int:
    needed = rule.first_pairs + 2 * rule.second_pairs
    if not loads or min(map(_length, loads)) < needed:
        raise LedgerError(f"a replay needs at least {needed} pairs of each case under each load")
    return needed


def _length(logs: Logs) -> int:
    return len(next(iter(logs.values())))


def _tallied(
    suites: Iterable[Iterable[tuple[str, list[float]]]], rule: CpuRule, share: float
) -> Replayed:
    added = math.log1p(share)
    count = red = 0
    by_case: dict[str, list[int]] = {}
    for suite in suites:
        found = [
            _judged(pairs, rule, added, by_case.setdefault(case, [0, 0])) for case, pairs in suite
        ]
        count, red = count + 1, red + any(found)
    counts = {case: (judged, found) for case, (judged, found) in sorted(by_case.items())}
    return Replayed(
        count,
        red,
        sum(judged for judged, _ in counts.values()),
        sum(found for _, found in counts.values()),
        counts,
    )


def _drawn(
    logs: Logs, pairs: int, how: str, rng: random.Random
) -> Iterator[tuple[str, list[float]]]:
    start = rng.randrange(len(next(iter(logs.values()))))
    for case, values in logs.items():
        if how == WINDOWS:
            yield case, [values[(start + i) % len(values)] for i in range(pairs)]
        else:
            yield case, rng.choices(values, k=pairs)


def _judged(pairs: Sequence[float], rule: CpuRule, added: float, tally: list[int]) -> bool:
    logs = [value + added for value in pairs]
    second = rule.first_pairs + rule.second_pairs
    found = slower(logs[: rule.first_pairs], logs[rule.first_pairs : second], logs[second:], rule)
    tally[0] += 1
    tally[1] += found
    return found


def slower(
    first: Sequence[float], second: Sequence[float], third: Sequence[float], rule: CpuRule
) -> bool:
    """What the gate would say of these pairs: its stages, and their early ends."""
    looks = (Paired(tuple(first[:end])) for end in range(CALM_AFTER, len(first)))
    if any(look.calm(rule) for look in looks) or not Paired(tuple(first)).suspect(rule):
        return False
    outcome = Outcome(second=_taken(second, lambda taken: taken.settled(rule)))
    if outcome.doubtful(rule):
        outcome.third = _taken(third, lambda taken: taken.denied(rule))
    return outcome.slower(rule)


def _taken(stage: Sequence[float], ends: Callable[[Paired], bool]) -> Paired:
    """The pairs of a stage, up to the one after which it ends early."""
    looks = (Paired(tuple(stage[:count])) for count in range(CONVICTED_AFTER, len(stage)))
    return next(filter(ends, looks), Paired(tuple(stage)))


def upper_bound(red: int, of: int, confidence: float = 0.95) -> float:
    """The largest rate that still gives `red` or fewer with probability 1 - confidence (exact)."""
    if red >= of:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(red, of, middle) > 1 - confidence else (low, middle)
    return high


def lower_bound(caught: int, of: int, confidence: float = 0.95) -> float:
    """The smallest rate that still gives `caught` or more with probability 1 - confidence."""
    return 1.0 - upper_bound(of - caught, of, confidence)


def _at_most(red: int, of: int, rate: float) -> float:
    if rate <= 0.0 or rate >= 1.0:
        return float(rate <= 0.0)
    logs = (
        math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
        + k * math.log(rate) + (of - k) * math.log1p(-rate)
        for k in range(red + 1)
    )  # fmt: skip
    return sum(map(math.exp, logs))


# --- asv's rule


def asv_slower(before: Sequence[float], now: Sequence[float]) -> bool:
    """What `asv continuous` would say of two lists of samples, with its own limits.

    Worse if the medians differ by the factor 1.1 and a two-sided Mann-Whitney test has p < 0.002.
    Raises `LedgerError` for samples too few to ever be told apart by it.
    """
    if math.comb(len(before) + len(now), len(now)) * ASV_P <= 2:
        raise LedgerError(
            f"{len(before)} and {len(now)} samples are too few: asv's test cannot tell any apart"
        )
    if not statistics.median(before) < statistics.median(now) / ASV_FACTOR:
        return False
    return mann_whitney_p(before, now) < ASV_P


def mann_whitney_p(x: Sequence[float], y: Sequence[float]) -> float:
    """Two-sided p of the Mann-Whitney U test, ties broken towards "no difference", as asv does."""
    m, n = len(x), len(y)
    u = sum(a > b for a in x for b in y)
    ties = sum(a == b for a in x for b in y)
    middle = m * n // 2
    if u <= middle <= u + ties:
        ties = middle - u
    extreme = max(min(u, m * n - u), min(u + ties, m * n - u - ties))
    if max(m, n) > 20:
        z = (extreme - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12)
        return math.erfc(-z / math.sqrt(2))
    orders = _orderings(m, n)
    upper = max(middle, m * n - extreme - 1)
    return (sum(orders[: extreme + 1]) + sum(orders[upper + 1 :])) / sum(orders)


def _orderings(m: int, n: int) -> list[int]:
    """In how many orders of m and n samples U is 0, 1, ...: a Gaussian binomial's coefficients."""
    found = [1] + [0] * (m * n)
    for i in range(1, m + 1):
        for k in range(m * n, n + i - 1, -1):
            found[k] -= found[k - n - i]
        for k in range(i, m * n + 1):
            found[k] += found[k - i]
    return found


@dataclass(frozen=True)
class AsvCount:
    """asv's rule on successive runs of the same code."""

    suites: int
    red: int
    comparisons: int
    flagged: int


def asv_on(records: Sequence[Record], *, share: float = 0.0) -> AsvCount:
    """Each run against the next one of its group and load; `share` slows the later one down.

    A run's samples of a case are the CPU seconds of both sides of its first-stage pairs: the same
    code, one sample from each process.
    """
    suites = red = comparisons = flagged = 0
    for runs in by_load(whole(records)):
        for earlier, later in itertools.pairwise(runs):
            if earlier["code"] != later["code"]:
                continue  # not unchanged code, for asv, which keeps no baseline of its own
            before, now = _samples(earlier), _samples(later)
            found = [
                asv_slower(before[case], [s * (1.0 + share) for s in now[case]]) for case in before
            ]
            suites, red = suites + 1, red + any(found)
            comparisons, flagged = comparisons + len(found), flagged + sum(found)
    return AsvCount(suites, red, comparisons, flagged)


def _samples(record: Record) -> Mapping[str, list[float]]:
    return {
        case: [seconds for pair in pairs for seconds in pair]
        for case, pairs in _first(record).items()
    }
