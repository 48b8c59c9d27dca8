"""Claims of one run: how much faster `after` is than `before`, and whether that still holds.

Each is looked at in a fresh process or a few. What falls below its floor there is taken by turns
with the baseline's code, unless the pairs are sure already that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import exact, judge
from .baselines import Baseline, Environment
from .harness import Side, WorkerProcess
from .outcome import Key, Outcomes, Progress, pair_core
from .ratio import PROCESSES, DisagreedError, claim_ratios, claims_kept, interleave
from .rules import LOST_CLAIM, CpuRule
from .ticker import Ticker

ROUNDS = 3
LOOKS = 3  # processes that look at a claim before both sides are measured by turns

_FILES = ("opens", "connections", "fsyncs")  # counters of what lies on the disk

Described = dict[str, Any]  # one hot path, as a worker describes it


@dataclass
class Claims:
    """Measures the claims of hot paths with a baseline; results go into `outcomes`."""

    head: Side
    base: Callable[[Baseline], Side]
    judged: Sequence[Described]
    baselines: Mapping[str, Baseline]
    environment: Environment
    reached: Callable[[Described], bool]  # whether a changed file can be imported by a path
    rule: CpuRule
    outcomes: Outcomes
    progress: Progress
    every: bool  # those of paths that no change reaches, too
    notes: list[str]

    def measure(self) -> None:
        """Before against after, for the cases whose `before` is quick, when the pairs are done."""
        self._note_what_is_not_judged()
        waiting = [key for key in self.wanted if self.outcomes[key].error is None]
        title = "claims: before against after"
        if waiting:
            self.progress(f"{title} of {len(waiting)} cases")
        for _ in range(LOOKS):
            ticker = Ticker(self.progress, title, f"{len(waiting)} cases")

            def look(worker: WorkerProcess, key: Key, ticker: Ticker = ticker) -> None:
                ticker.begin()
                self._look(worker, key)

            exact.each_case(
                self.head, waiting, look, self.outcomes, exact.Lanes(), core=pair_core()
            )
            waiting = [key for key in waiting if self._lost(key)]
        if waiting:
            self.progress(f"claims again, both sides by turns: {_names(waiting)}")
            self._by_turns(waiting)
        self._note_what_pairs_kept()

    def floor(self, path: Described, case: dict[str, Any]) -> float | None:
        """The least before/after ratio that is no failure; None if nothing is promised."""
        baseline = self.baselines[path["name"]]
        same = baseline.workload == path["workload"]
        return judge.claim_floor(case, baseline, self.environment) if same else case["cpu_floor"]

    @cached_property
    def wanted(self) -> dict[Key, float]:
        """The cases whose claims are measured here, and what they must reach.

        Whoever looks at them compares the two answers as well.
        """
        return {
            (path["name"], case["label"]): floor
            for path, case in self._comparable
            if not self._known(path, case) and (floor := self.floor(path, case)) is not None
        }

    @property
    def _comparable(self) -> list[tuple[Described, dict[str, Any]]]:
        return [(path, case) for path in self.judged for case in path["cases"] if case["compared"]]

    @cached_property
    def _promised(self) -> dict[Key, float]:
        """What must be reached on any machine."""
        return {
            (path["name"], case["label"]): case["cpu_floor"] or 0.0
            for path, case in self._comparable
        }

    def _known(self, path: Described, case: dict[str, Any]) -> bool:
        """Whether the stored ratio is this code's, too: no changed file can be imported here."""
        baseline = self.baselines[path["name"]]
        known = judge.claim_known(case, baseline, self.environment)
        return known and not self.every and not self.reached(path)

    def _note_what_is_not_judged(self) -> None:
        known = {path["name"] for path, case in self._comparable if self._known(path, case)}
        if known:
            self.notes.append(
                f"claims of {len(known)} hot paths not measured: nothing that they import has "
                f"changed since their ratios were stored here (--all measures them)"
            )
        claiming = {path["name"] for path in self.judged if "claim" in path["witnesses"]}
        if unjudged := sorted(claiming - known - {path for path, _ in self.wanted}):
            self.notes.append(
                f"no speedup is promised for this processor and these packages: the claims of "
                f"{', '.join(unjudged)} are not judged here"
            )

    def _look(self, worker: WorkerProcess, key: Key) -> None:
        outcome = self.outcomes[key]
        try:
            found = interleave(worker, key, compare=outcome.agree is None, rounds=ROUNDS)
        except DisagreedError:
            outcome.agree = False  # which is judged by itself; what was timed counts for nothing
            worker.ask("close")
            return
        outcome.agree = True
        outcome.claim_looks.append(found.ratio("cpu_s"))

    def _lost(self, key: Key) -> bool:
        found = self.outcomes[key].claim
        if found is None or found >= self.wanted[key]:
            return False
        self.outcomes[key].claim_by_pairs = kept = self._kept(key, found)
        return not kept

    def _kept(self, key: Key, found: float) -> bool:
        """Whether the pairs are sure that `after` takes no longer than the baseline's.

        Then no more of the speedup can be lost than `before` became faster, which is no loss. What
        opens files is left out: the pairs have theirs in memory, and here they are on the disk.
        """
        outcome, stored = self.outcomes[key], self.baselines[key[0]].counters.get(key[1])
        pairs = outcome.decisive
        if pairs is None or stored is None or any(map(stored.get, _FILES)):
            return False
        longer = pairs.mean + 3 * pairs.se
        sure = not outcome.slower(self.rule) and 1.0 / (1.0 + longer) > LOST_CLAIM
        return sure and found >= self._promised[key]

    def _note_what_pairs_kept(self) -> None:
        if kept := [key for key in self.wanted if self.outcomes[key].claim_by_pairs]:
            self.notes.append(
                f"claims that reach less here today than is stored, of which the pairs are sure "
                f"that nothing is lost: {_names(kept)}"
            )

    def _by_turns(self, keys: Sequence[Key]) -> None:
        """In fresh processes; beside the baseline's code where a ratio of its is stored."""
        alone: list[Key] = []
        groups: dict[Side, list[Key]] = {}
        for key in keys:
            baseline = self.baselines[key[0]]
            stored = key[1] in baseline.ratios
            (groups.setdefault(self.base(baseline), []) if stored else alone).append(key)
        looks = PROCESSES * (2 * len(keys) - len(alone))
        begun = Ticker(self.progress, "claims again", f"at most {looks} looks").begin
        found = claim_ratios(self.head, alone, self.outcomes, begun) if alone else {}
        for base, group in groups.items():
            looked = claims_kept(self.head, base, group, self.outcomes, begun, self._promised)
            for key, kept in looked.items():
                outcome, found[key] = self.outcomes[key], kept.now
                outcome.claim_base, outcome.claim_kept = kept.then.cpu, kept.high
        for key, now in found.items():
            self.outcomes[key].claim_spread = (now.cpu, now.low, now.high)


def _names(keys: Sequence[Key]) -> str:
    return ", ".join(f"{path}[{case}]" for path, case in keys)
