"""The order of the measurements of one run.

on the pairs' core          CPU time in stages, wall time, claims; again what is slower, faster
on the other core           counters, memory, instructions (these on both at the end), and
                            agreement where no claim is measured
then, on both cores         a second look at counts that changed, both sides here and now, and a
                            third one at those that rose again
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from . import exact, instruments, strace
from .baselines import Baseline, Environment
from .claims import Claims, Described
from .exact import Job, Lanes
from .grown import merge
from .harness import Side
from .instruments import Kind, counted_by
from .outcome import Key, Outcomes, Progress, SecondLook
from .pairs import PairedCpu
from .rules import (
    GAIN_PAIRS,
    SLOWER_WALL,
    WALL_AGAIN,
    CpuRule,
    counter_decreased,
    counter_increased,
)

NOTHING_STORED = "nothing is stored"
# How many processes a second look counts in: what differs from process to process by itself (how
# far its threads came, say) must be neither an increase nor a gain.
AGAIN = {Kind.COUNTERS: 3, Kind.INSTRUCTIONS: 2, Kind.MEMORY: 2}


def keys_of(path: Described, wanted: str | None = None) -> list[Key]:
    """A hot path's cases: all, or those whose field `wanted` is true."""
    return [
        (path["name"], case["label"]) for case in path["cases"] if wanted is None or case[wanted]
    ]


def declares(path: Described, kind: Kind) -> bool:
    """Whether a hot path asks for an instrument; the cheapest is for all of them."""
    return kind is Kind.COUNTERS or kind in path["witnesses"]


@dataclass
class Measurement:
    """Everything one run measures; results go into `outcomes`."""

    head: Side
    base: Callable[[Baseline], Side]
    judged: Sequence[Described]  # hot paths with a baseline
    fresh: Sequence[Described]  # hot paths without one
    baselines: Mapping[str, Baseline]
    environment: Environment
    reached: Callable[[Described], bool]  # whether a changed file can be imported by a path
    rule: CpuRule
    outcomes: Outcomes
    progress: Progress
    every: bool = False  # instructions and claims of paths that no change reaches, too
    notes: list[str] = field(default_factory=list)
    exempt: list[str] = field(default_factory=list)
    claims: Claims = field(init=False)

    def __post_init__(self) -> None:
        what = self.head, self.base, self.judged, self.baselines, self.environment, self.reached
        self.claims = Claims(*what, self.rule, self.outcomes, self.progress, self.every, self.notes)

    def run(self) -> None:
        """Exact counts beside the pairs; whatever ends one of them ends both."""
        lanes, jobs = Lanes(), self._exact_jobs()
        with ThreadPoolExecutor(max_workers=1) as pool:
            try:
                counting = pool.submit(exact.run, jobs, self.outcomes, lanes, self.progress)
                self._on_the_pairs_core()
                if not counting.done():
                    self.progress("waiting for the exact counts")
                    exact.lend(jobs, self.outcomes, lanes, self.progress)
                counting.result()
            except BaseException:
                lanes.stop()
                raise
        looks = ("second", self._changed), ("third", self._rose)
        for turn, (look, wanted) in enumerate(looks):
            if jobs := self._counted_again(wanted, turn):
                self.progress(f"a {look} look at what changed: both sides counted here")
                # No pair is being timed any more, so its core may count, too.
                exact.run(jobs, self.outcomes, Lanes(), self.progress, cores=exact.all_cores())

    # --- exact

    def _exact_jobs(self) -> list[Job]:
        jobs: list[Job] = []
        for kind in (Kind.INSTRUCTIONS, Kind.COUNTERS, Kind.MEMORY):
            if not any(declares(path, kind) for path in [*self.judged, *self.fresh]):
                continue
            if reason := instruments.unavailable(kind):
                self.exempt.append(f"{kind}: {reason}")
            else:
                jobs += self._jobs_of(kind)
        if reason := strace.unavailable():
            self.exempt.append(f"fsyncs: {reason}")
        paths = [*self.judged, *self.fresh]
        claimed = self.claims.wanted  # those who look at a claim compare the answers, too
        compared = [key for path in paths for key in keys_of(path, "compared")]
        compared = [key for key in compared if key not in claimed]
        return [*jobs[:1], Job(self.head, compared, self._take_agreement), *jobs[1:]]

    def _jobs_of(self, kind: Kind) -> list[Job]:
        counted: list[Key] = []
        unreached: list[str] = []
        here: dict[Side, list[Key]] = {}
        recounted: dict[str, list[str]] = {}  # reason -> hot paths
        for path in self.judged:
            keys = keys_of(path, "counted") if declares(path, kind) else []
            if kind is Kind.INSTRUCTIONS and not self.every and not self.reached(path):
                for key in keys:
                    self.outcomes[key].unreached |= {kind}
                unreached += [path["name"]] if keys else []
                continue
            counted += keys
            baseline = self.baselines[path["name"]]
            reason = why_not_stored(path, baseline, self.environment, kind) if keys else ""
            if reason:
                recounted.setdefault(reason, []).append(path["name"])
                here.setdefault(self.base(baseline), []).extend(keys)
                continue
            for key in keys:
                stored = baseline.counters[key[1]]
                mine = {name: n for name, n in stored.items() if counted_by(name) is kind}
                self.outcomes[key].base_counters.update(mine)
        fresh = [path for path in self.fresh if declares(path, kind)]
        counted += [key for path in fresh for key in keys_of(path, "counted")]
        if unreached:
            self.notes.append(
                f"instructions of {len(unreached)} hot paths not counted: nothing that they "
                f"import has changed (--all counts them)"
            )
        recounted.pop(NOTHING_STORED, None)  # `--against`: asked for, so no news
        for reason, names in recounted.items():
            self.notes.append(f"{kind} of both sides counted here ({reason}): {', '.join(names)}")
        bases = [Job(side, keys, self._take_base, kind) for side, keys in here.items()]
        return [Job(self.head, counted, self._take_head, kind), *bases]

    def _take_head(self, key: Key, answer: dict[str, Any]) -> None:
        self.outcomes[key].counters.update(answer["counters"])

    def _take_base(self, key: Key, answer: dict[str, Any]) -> None:
        self.outcomes[key].base_counters.update(answer["counters"])

    def _take_agreement(self, key: Key, answer: dict[str, Any]) -> None:
        self.outcomes[key].agree = answer["agree"]

    # --- on the pairs' core

    def _on_the_pairs_core(self) -> None:
        groups: dict[Side, list[Key]] = {}
        for path in self.judged:
            base = self.base(self.baselines[path["name"]])
            groups.setdefault(base, []).extend(keys_of(path, "timed"))
        pairs = PairedCpu(self.head, self.outcomes, self.progress)
        rule = self.rule
        pairs.measure(groups, rule.first_pairs, "first", lambda p: p.calm(rule))
        suspects = _only(groups, self._suspect)
        if suspects:
            self.progress(f"a second look at {_names(suspects)}")
            pairs.measure(suspects, rule.second_pairs, "second", lambda p: p.settled(rule))
        slower = _only(groups, self._slow_wall)
        if slower:
            pairs.measure_wall(slower, WALL_AGAIN)
        self.claims.measure()
        doubtful = _only(groups, self._doubtful)
        if doubtful:
            self.progress(f"a third look at {_names(doubtful)}")
            pairs.measure(doubtful, rule.second_pairs, "third", lambda p: p.denied(rule))
            self._note_denied(key for keys in doubtful.values() for key in keys)
        quicker = _only(groups, self._quicker)
        if quicker:
            self.progress(f"a second look at what looks faster: {_names(quicker)}")
            pairs.measure(quicker, GAIN_PAIRS, "gain")

    def _doubtful(self, key: Key) -> bool:
        return self.outcomes[key].doubtful(self.rule)

    def _quicker(self, key: Key) -> bool:
        found = self.outcomes[key].decisive
        return found is not None and found.faster

    def _note_denied(self, keys: Iterable[Key]) -> None:
        for key in keys:
            second, third = self.outcomes[key].second, self.outcomes[key].third
            if second is None or third is None or self.outcomes[key].slower(self.rule):
                continue
            self.notes.append(
                f"{key[0]}[{key[1]}] looked slower in {len(second.logs)} process pairs "
                f"({second.mean:+.1%}) and not in {len(third.logs)} later ones "
                f"({third.mean:+.1%}): this machine is noisy"
            )

    def _suspect(self, key: Key) -> bool:
        first = self.outcomes[key].first
        return first is not None and first.suspect(self.rule)

    def _slow_wall(self, key: Key) -> bool:
        wall = self.outcomes[key].wall
        return bool(wall) and min(wall) > SLOWER_WALL

    # --- a second look

    def _counted_again(self, changed: Callable[[Key, Kind], bool], turn: int) -> list[Job]:
        """Both sides of what changed, here and now, with its details.

        The cores take the jobs by turns, and the sides swap who is first, so that each side is on
        each core as often: what a busy core makes slow does more of what is done twice a second.
        """
        jobs: list[Job] = []
        for kind in Kind:
            if instruments.unavailable(kind):
                continue
            groups: dict[Side, list[Key]] = {}
            for path in self.judged:
                wanted = keys_of(path, "counted") if declares(path, kind) else []
                keys = [key for key in wanted if changed(key, kind)]
                if keys:
                    groups.setdefault(self.base(self.baselines[path["name"]]), []).extend(keys)
            for base, keys in groups.items():
                for key in keys:
                    self.outcomes[key].again = self.outcomes[key].again or SecondLook()
                for left in reversed(range(AGAIN[kind])):
                    last = left == 0
                    sides = (base, self._take_before), (self.head, self._take_now)
                    for side, take in sides if (turn + left) % 2 == 0 else reversed(sides):
                        jobs.append(Job(side, keys, take, kind, details=last))
        return jobs

    def _changed(self, key: Key, kind: Kind) -> bool:
        """Whether this instrument is to count the case again: it differs, or it may say why."""
        outcome = self.outcomes[key]
        if outcome.error is not None:
            return False
        grew, fell = (
            {
                counted_by(name)
                for name in outcome.counters.keys() & outcome.base_counters.keys()
                if changed(name, outcome.base_counters[name], outcome.counters[name])
            }
            for changed in (counter_increased, counter_decreased)
        )
        explains = outcome.slower(self.rule) or self._slow_wall(key) or Kind.INSTRUCTIONS in grew
        return kind in grew | fell or (explains and kind is not Kind.MEMORY)

    def _rose(self, key: Key, kind: Kind) -> bool:
        """Whether this instrument's second look would fail the case, which as many must confirm.

        A count that differs by itself (what a body does twice a second, say) parts a few processes
        of both sides once in a hundred runs. Instructions differ by less than they may grow.
        """
        error, again = self.outcomes[key].error, self.outcomes[key].again
        if error is not None or again is None or kind is Kind.INSTRUCTIONS:
            return False
        counted = [name for name in again.now if counted_by(name) is kind and again.counted(name)]
        return any(map(again.increased, counted))

    def _take_before(self, key: Key, answer: dict[str, Any]) -> None:
        look = self.outcomes[key].again
        assert look is not None
        for name, value in answer["counters"].items():
            look.before.setdefault(name, []).append(value)
        merge(look.details_before, answer.get("details", {}))

    def _take_now(self, key: Key, answer: dict[str, Any]) -> None:
        look = self.outcomes[key].again
        assert look is not None
        for name, value in answer["counters"].items():
            look.now.setdefault(name, []).append(value)
        merge(look.details_now, answer.get("details", {}))


def why_not_stored(path: Described, baseline: Baseline, here: Environment, kind: Kind) -> str:
    """Why a baseline's stored counts of one instrument cannot be used; empty if they can."""
    if not baseline.counters:
        return NOTHING_STORED
    difference = baseline.environment.difference(here, kind)
    if difference:
        return difference
    if baseline.workload != path["workload"]:
        return "the workload changed since its baseline"
    labels = {case["label"] for case in path["cases"] if case["counted"]}
    if labels - set(baseline.counters):
        return "a case is new"
    stored = [baseline.counters[label] for label in labels]
    if not all(any(counted_by(name) is kind for name in counts) for counts in stored):
        return f"its baseline was stored without {kind}"
    fsyncs = kind is Kind.COUNTERS and not strace.unavailable()
    if fsyncs and not all("fsyncs" in counts for counts in stored):
        return "its baseline was stored without fsyncs"
    return ""


def _names(groups: Mapping[Side, Sequence[Key]]) -> str:
    return ", ".join(f"{path}[{case}]" for keys in groups.values() for path, case in keys)


def _only(
    groups: Mapping[Side, Sequence[Key]], wanted: Callable[[Key], bool]
) -> dict[Side, list[Key]]:
    chosen = {base: [key for key in keys if wanted(key)] for base, keys in groups.items()}
    return {base: keys for base, keys in chosen.items() if keys}
