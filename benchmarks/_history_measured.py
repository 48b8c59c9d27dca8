"""One commit measured for the history, at the least cost that is still honest.

On one core, in TURNS fresh processes: before and after by turns, ROUNDS times (the gate's own
measure of a claim); that gives the cost ratio, after / before of CPU time, and the CPU seconds of
`after`. A case of which `before` takes long, or that has none, is timed alone. At the same time
on another core, exact: machine instructions of one case a path under callgrind, allocations and
their peak under memray. These are taken over from another record of the same machine where no file
that the path can import differs, by the gate's own rule: they would be the same. What is not
recorded: wall time, which says little on a shared machine; SQL, files, and bytecodes, which the
gate keeps for the baselines; whether the sides agree, which the gate and the tests judge.
"""

from __future__ import annotations

import datetime
import functools
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from benchmarks._history_store import (
    ALLOCATIONS,
    COST_RATIO,
    CPU_S,
    INSTRUCTIONS,
    PEAK_BYTES,
    Machine,
    Numbers,
    Record,
    Recorded,
)
from benchmarks.gate import exact, instruments
from benchmarks.gate.claims import Described
from benchmarks.gate.errors import BaseLacksError, GateError
from benchmarks.gate.exact import warm_calls
from benchmarks.gate.harness import BASE, Side, WorkerProcess
from benchmarks.gate.instruments import Kind
from benchmarks.gate.outcome import Key, Outcome, exact_core, pair_core
from benchmarks.gate.pairs import Plan
from benchmarks.gate.ratio import interleave
from benchmarks.gate.reach import Reach
from benchmarks.gate.run import Run

TURNS = 3
ROUNDS = 2
_EXACT = {INSTRUCTIONS: Kind.INSTRUCTIONS, PEAK_BYTES: Kind.MEMORY, ALLOCATIONS: Kind.MEMORY}

Said = Callable[[str], None]  # what begins now


@dataclass
class Case:
    """What was seen of a case."""

    path: Described
    compared: bool  # with `before`
    counted: bool
    main: bool  # of its path: the one whose instructions are counted
    ratios: list[float] = field(default_factory=list)  # after / before of CPU time, one a process
    cpu_s: list[float] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def counted_by(self, kind: Kind) -> bool:
        """Whether it is still to be counted; instructions take so long that one a path must do."""
        asked = self.counted and (self.main or kind is not Kind.INSTRUCTIONS)
        return asked and not columns_of(kind) <= self.counts.keys()

    def numbers(self) -> Numbers:
        found: dict[str, float | None] = {
            COST_RATIO: statistics.geometric_mean(self.ratios) if self.ratios else None,
            CPU_S: statistics.median(self.cpu_s) if self.cpu_s else None,
        }
        return found | {name: self.counts.get(name) for name in _EXACT}


def measure(
    run: Run,
    commit: str,
    tree: str,
    paths: Sequence[Described],
    known: Record | None = None,
    said: Said = lambda line: None,
) -> Record:
    """The record of these hot paths at a commit; Ctrl-C ends every process.

    `known` is another record of this machine: exact counts that cannot differ are taken from it.
    """
    started = time.monotonic()
    cases = cases_of(paths)
    if known is not None:
        _take_over(run, tree, cases, known)
    outcomes = {key: Outcome() for key in cases}
    # As the baseline's side: what this code lacks is told apart from what fails.
    one = _Commit(run.side(BASE, tree), cases, outcomes, exact.Lanes())
    one.measure(said)
    return Record(
        commit=commit,
        tree=tree,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seconds=time.monotonic() - started,
        machine=machine_of(run),
        paths={path["name"]: _recorded(path, cases, outcomes) for path in paths},
        exempt=tuple(
            f"{kind}: {why}" for kind in _kinds() if (why := instruments.unavailable(kind))
        ),
    )


def machine_of(run: Run) -> Machine:
    """This machine as the workers see it."""
    return Machine.here(run.environment.python, run.environment.packages)


def _kinds() -> list[Kind]:
    return list(dict.fromkeys(_EXACT.values()))


def cases_of(paths: Iterable[Described]) -> dict[Key, Case]:
    """The cases that are recorded: those that a bench run times, and one with a ratio a path."""
    found: dict[Key, Case] = {}
    for path in paths:
        chosen = _chosen(path["cases"])
        main = next((case for case in chosen if case["counted"]), None)
        for case in chosen:
            given = path, case["compared"], case["counted"], case is main
            found[path["name"], case["label"]] = Case(*given)
    return found


def _chosen(cases: Sequence[Described]) -> list[Described]:
    timed = [case for case in cases if case["timed"]]
    compared = [case for case in cases if case["compared"]]
    if any(case["compared"] for case in timed):
        return timed
    return timed + compared[:1] or list(cases[:1])


def columns_of(kind: Kind) -> set[str]:
    """The columns that an instrument fills."""
    return {name for name, its in _EXACT.items() if its is kind}


def _take_over(run: Run, tree: str, cases: dict[Key, Case], known: Record) -> None:
    """Exact counts of the cases that no file reaches which differs from the known record's."""
    if not run.repository.holds(known.tree):
        return
    reaches = functools.cache(partial(_reached, run, tree, known.tree))
    for (name, label), case in cases.items():
        stored = known.paths.get(name)
        if stored is None or stored.workload != case.path["workload"]:
            continue
        numbers = stored.cases.get(label)
        if isinstance(numbers, Mapping) and not reaches(case.path["source"]):
            case.counts |= {
                column: int(value)
                for column in _EXACT
                if (value := numbers.get(column)) is not None
            }


def _reached(run: Run, tree: str, other: str, source: str) -> bool:
    """Whether a suite's file can import code that differs between two trees."""
    here, there = (run.side(BASE, one) for one in (tree, other))
    if here.stage == there.stage:
        return False
    suite = here.suite_stage / here.suite
    reach = _reach(there.stage, here.stage, here.package)
    return reach.reaches(suite / source, suite.parent)


_reach = functools.cache(Reach)


@dataclass
class _Commit:
    """One commit's code, and what is found of it."""

    side: Side
    cases: dict[Key, Case]
    outcomes: dict[Key, Outcome]
    lanes: exact.Lanes

    def measure(self, said: Said) -> None:
        """Exact counts beside the timings; whatever ends one of them ends both."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            try:
                counting = pool.submit(self._count)
                self._time(said)
                if not counting.done():
                    said("the exact counts are still under way")
                counting.result()
            except BaseException:
                self.lanes.stop()
                raise

    def _time(self, said: Said) -> None:
        for turn in range(TURNS):
            said(f"process {turn + 1} of {TURNS}")
            self._each(list(self.cases), self._timed, core=pair_core())

    def _timed(self, worker: WorkerProcess, key: Key) -> None:
        case = self.cases[key]
        if case.compared:
            found = interleave(worker, key, rounds=ROUNDS)
            case.ratios.append(1.0 / found.ratio("cpu_s"))
            case.cpu_s.append(found.after["cpu_s"])
            return
        calls = Plan.of(**worker.ask("open", path=key[0], case=key[1])).calls
        case.cpu_s.append(worker.ask("measure", calls=calls)["cpu_s"])
        worker.ask("close")

    def _count(self) -> None:
        for kind in _kinds():
            if instruments.unavailable(kind):
                continue
            keys = [key for key, case in self.cases.items() if case.counted_by(kind)]

            def count(worker: WorkerProcess, key: Key, warm: int = warm_calls(kind)) -> None:
                worker.ask("open", path=key[0], case=key[1], warm=warm)
                self.cases[key].counts |= worker.ask("count")["counters"]

            self._each(keys, count, core=exact_core(), kind=kind)

    def _each(
        self,
        keys: Sequence[Key],
        act: Callable[[WorkerProcess, Key], None],
        *,
        core: int | None,
        kind: Kind | None = None,
    ) -> None:
        """Each case in one process; a part that the code lacks costs no new one."""

        def unless_lacking(worker: WorkerProcess, key: Key) -> None:
            try:
                act(worker, key)
            except BaseLacksError as error:
                self.outcomes[key].fail(error)

        if keys:
            exact.each_case(
                *(self.side, keys, unless_lacking, self.outcomes, self.lanes),
                core=core,
                instrument=kind,
            )


def _recorded(path: Described, cases: dict[Key, Case], outcomes: dict[Key, Outcome]) -> Recorded:
    found: dict[str, Numbers | str | None] = {}
    for (name, label), case in cases.items():
        if name == path["name"]:
            error = outcomes[name, label].error
            found[label] = case.numbers() if error is None else _told(error)
    return Recorded(path["workload"], found)


def _told(error: GateError) -> str | None:
    """What stands in place of numbers: nothing where the code lacks the part."""
    if isinstance(error, BaseLacksError):
        return None
    return str(error).removeprefix(f"{BASE}: ")
