"""CPU time and wall time of this code against a base, in pairs of fresh processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from .errors import GateError
from .harness import Side
from .metronome import metronome
from .outcome import Key, Outcomes, Progress, pair_core
from .rules import SLOWER_WALL, Paired, log_ratio, trimmed_mean
from .starts import Starts, Workers
from .table import counted
from .ticker import Ticker

BATCH_S = 0.05  # CPU seconds of one batch: many turns of the scheduler
ROUNDS = 2  # batches of each side in one pair; a body that fills a batch alone runs once
WALL_BATCH_S = 0.002  # shorter than a turn of the scheduler: most go by without a neighbor's turn
WALL_TURNS = 3
_SECONDS = ("cpu_s", "wall_s", "fresh_s")  # of a worker's answer to `open`
WALL_PAIRS = 2  # of the first stage; the later ones only while each of the others was slower
LONGEST_BATCH_S = 1.0  # of wall time: a body that sleeps, or takes long to set up, runs less often


@dataclass
class Plan:
    """How often a case's body runs; found once, so that all pairs do the same."""

    calls: int
    rounds: int
    wall_calls: int

    @classmethod
    def of(cls, cpu_s: float, wall_s: float = 0.0, fresh_s: float = 0.0) -> Plan:
        longest = max(1, int(LONGEST_BATCH_S / max(wall_s + fresh_s, 1e-7)))
        calls = min(longest, max(1, round(BATCH_S / max(cpu_s, 1e-7))))
        wall_calls = max(1, round(WALL_BATCH_S / max(wall_s, 1e-7)))
        return cls(calls, ROUNDS if cpu_s < BATCH_S else 1, wall_calls)


class PairedCpu:
    """This code against a base, in pairs of fresh processes on one core.

    Both of a pair run their batches at the same time, so that the scheduler alternates them, twice
    a millisecond by a metronome: what the machine does meanwhile, it does to both, and each is
    charged for its own CPU time alone. (Taking turns batch by batch lets a neighbor's burst hit one
    side only.) Where a process cannot be pinned to a core, they take turns.
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
        settled: Callable[[Paired], bool] = lambda paired: False,
    ) -> None:
        """Up to `pairs` pairs for every case; results go into the outcomes' `stage`.

        A case of which `settled` says that more pairs change nothing is measured no further.
        """
        keys = [key for group in groups.values() for key in group]
        samples: dict[Key, list[tuple[float, float]]] = {key: [] for key in keys}
        clock = _Clock(pairs)
        with Starts(self._head, self._core) as starts, metronome(self._core):
            for pair in range(pairs):
                left = {
                    base: [key for key in keys if not settled(_paired(samples[key]))]
                    for base, keys in groups.items()
                }
                if not any(left.values()):
                    break
                cases = sum(map(len, left.values()))
                title = f"CPU time, {stage} stage: pair {pair + 1} of {pairs}"
                self._progress(f"{title}{clock.left(cases)}")
                ticker = Ticker(self._progress, title, f"{cases} cases")

                def act(workers: Workers, key: Key, pair: int, ticker: Ticker = ticker) -> None:
                    ticker.begin()
                    samples[key].append(self._cpu(workers, key, pair))

                self._each_base(starts, left, pair, pairs, act)
        for key, values in samples.items():
            if values and self._outcomes[key].error is None:
                setattr(self._outcomes[key], stage, _paired(values))

    def measure_wall(self, groups: Mapping[Side, Sequence[Key]], pairs: int) -> None:
        """Wall time by turns, each side alone on the core; results go into the outcomes' `wall`."""
        ratios: dict[Key, list[float]] = {key: [] for keys in groups.values() for key in keys}
        with Starts(self._head, self._core, ahead=False) as starts:  # each side is to be alone
            for pair in range(pairs):
                self._progress(f"wall time: pair {pair + 1} of {pairs}")
                self._each_base(
                    *(starts, groups, pair, pairs),
                    lambda w, k, p: ratios[k].append(self._wall(w, k)),
                )
        for key, values in ratios.items():
            self._outcomes[key].wall = tuple(values)

    def _each_base(
        self,
        starts: Starts,
        groups: Mapping[Side, Sequence[Key]],
        pair: int,
        pairs: int,
        act: Act,
    ) -> None:
        """One pair of processes for each base that has cases; each knows which one comes next."""
        bases = [base for base, keys in groups.items() if keys]
        coming = [(base, pair) for base in bases[1:]]
        if pair + 1 < pairs:
            coming.append((bases[0], pair + 1))
        for base, then in zip_longest(bases, coming):
            self._each_case(starts, (base, pair), groups[base], act, then)

    def _each_case(
        self,
        starts: Starts,
        which: tuple[Side, int],
        keys: Sequence[Key],
        act: Act,
        then: tuple[Side, int] | None,
    ) -> None:
        """One pair of processes for all cases; a case that fails gets a fresh pair after it."""
        _, pair = which
        waiting = [key for key in keys if self._outcomes[key].error is None]
        while waiting:
            with starts.pair(which, then) as workers:
                while waiting:
                    key = waiting.pop(0)
                    try:
                        self._open(workers, key, pair)
                        act(workers, key, pair)
                        for worker in workers:
                            worker.ask("close")
                    except GateError as error:
                        self._outcomes[key].fail(error)
                        break
                else:
                    if pair == 0:
                        starts.learn(workers[0])

    def _open(self, workers: Workers, key: Key, pair: int) -> None:
        known = self._plans.get(key)
        warm = 1 if known is not None and known.rounds == 1 else 2
        opened = reversed(workers) if pair % 2 else workers  # in the order they were started
        answers = [worker.ask("open", path=key[0], case=key[1], warm=warm) for worker in opened]
        if known is None:
            longest = {name: max(answer[name] for answer in answers) for name in _SECONDS}
            self._plans[key] = Plan.of(**longest)

    def _cpu(self, workers: Workers, key: Key, pair: int) -> tuple[float, float]:
        """Trimmed means of this code's and the base's CPU seconds a call."""
        plan = self._plans[key]
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
        if wall_wanted(self._outcomes[key].wall, pair):
            self._outcomes[key].wall += (self._wall(workers, key),)
        self._outcomes[key].cpu_s = min(samples[0])
        means = trimmed_mean(samples[0]), trimmed_mean(samples[1])
        log_ratio(*means)  # raises here, where it costs this case only
        return means

    def _wall(self, workers: Workers, key: Key) -> float:
        """The quickest turn of each side: this code's wall time over the base's."""
        calls = self._plans[key].wall_calls
        turns = [
            [worker.ask("measure", calls=calls)["wall_s"] for worker in workers]
            for _ in range(WALL_TURNS if self._plans[key].rounds > 1 else 1)
        ]
        now, before = (min(turn[side] for turn in turns) for side in (0, 1))
        return float(now / max(before, 1e-9))


Act = Callable[[Workers, Key, int], None]  # what is done with a case, in which pair


def wall_wanted(taken: Sequence[float], pair: int) -> bool:
    """Whether this pair of the first stage takes wall time.

    A case is suspected if it is slower in every look at it, so one that is not ends the looking.
    """
    return len(taken) <= pair < WALL_PAIRS and all(ratio > SLOWER_WALL for ratio in taken)


def _paired(samples: Sequence[tuple[float, float]]) -> Paired:
    return Paired(tuple(log_ratio(*sample) for sample in samples), tuple(samples))


class _Clock:
    """How long the pairs that are left will take, judged by the last one.

    A pair has the fewer cases the more of them are settled, so what is said is the most.
    """

    def __init__(self, pairs: int) -> None:
        self._pairs = pairs
        self._begun = 0
        self._cases = 0  # of the last pair
        self._since_s = 0.0  # when it began

    def left(self, cases: int) -> str:
        """Said at the start of each pair: words for the time left; empty for the first."""
        now_s = time.monotonic()
        last_s, last_cases = now_s - self._since_s, self._cases
        self._since_s, self._cases = now_s, cases
        self._begun += 1
        if not last_cases:
            return ""
        most_s = last_s / last_cases * cases * (self._pairs - self._begun + 1)
        return f", {counted(cases, 'case')}, at most about {most_s:.0f} s left of this stage"
