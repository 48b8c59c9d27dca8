"""The history of every hot path: record commits, publish, serve; and every benchmark once.

python -m benchmarks._history record [NAME ...] [--last N | --range A..B] [--again]
                                     [--no-record] [--no-serve] [--port P]
python -m benchmarks._history check [--quick]

A commit counts where it changed the code under test. Without --last and --range those of the last
three are recorded that no machine has recorded yet, so that a fresh clone shows what it brings.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import _history_asv, _history_measured, _history_store, _site
from benchmarks._history_asv import Commit
from benchmarks._history_store import HistoryError, Machine, Record, of_tree
from benchmarks.gate.claims import Described
from benchmarks.gate.errors import GateError
from benchmarks.gate.project import read_project
from benchmarks.gate.repository import Repository
from benchmarks.gate.run import Run
from benchmarks.gate.table import counted

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".asv" / "history"
CODE = "optimizer"
LAST = 3
INTERRUPTED = 130
# In `check --quick`: everything but the sides that take seconds a call.
_SLOW = r"(stores\.Add|backtest\.Day|features\.Walk|sweep\.Sweep)\w+"
QUICK = rf"^(?!study\.Momentum)(?!{_SLOW}\.(time_before|track_cost_ratio))"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.command == "check":
            return _check(quick=options.quick)
        if not options.no_record:
            _record(options)
        site = _publish()
        return 0 if options.no_serve else _serve(site, options.port)
    except (HistoryError, _site.SiteError, GateError) as error:
        print(f"history: {error}", file=sys.stderr)
        return getattr(error, "code", 1)
    except KeyboardInterrupt:
        print("history: interrupted; finished commits are kept", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="history", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, dest="command")
    record = commands.add_parser("record", help="record commits, publish, serve")
    record.add_argument("names", nargs="*", metavar="NAME", help="hot paths or suites (all)")
    which = record.add_mutually_exclusive_group()
    which.add_argument("--last", type=_number, metavar="N", help="the last N commits")
    which.add_argument("--range", metavar="A..B", help="the commits of a range, as git names it")
    record.add_argument("--again", action="store_true", help="also those that have results")
    record.add_argument("--no-record", action="store_true", help="show what is recorded")
    record.add_argument("--no-serve", action="store_true", help="publish only")
    record.add_argument("--port", type=int, default=0, help="of loopback (default: a free one)")
    check = commands.add_parser("check", help="run every benchmark once on the working tree")
    check.add_argument("--quick", action="store_true", help="leave the slow sides out")
    return parser


def _number(word: str) -> int:
    if not word.isdecimal() or not int(word):
        raise argparse.ArgumentTypeError(f"{word!r} is no number of commits over 0")
    return int(word)


# --- which commits


def commits(repository: Repository, *, last: int = 0, span: str = "") -> list[Commit]:
    """The commits that changed the code under test, the newest first.

    Those behind HEAD, of a range, or the last few; a merge stands for what it brought.
    """
    words = ["--first-parent", "--format=%H%x09%at%x09%s", *([f"-{last}"] if last else [])]
    if span.startswith("-"):
        raise HistoryError(f"{span} is no range of commits, such as v1..HEAD")
    lines = repository.git("log", *words, span or "HEAD", "--", CODE).splitlines()
    found = []
    for hash_, seconds, subject in (line.split("\t", 2) for line in lines):
        if repository.holds(f"{hash_}:{CODE}"):  # not where it was removed
            tree = repository.subtree(hash_, CODE)
            found.append(Commit(hash_, tree, int(seconds), subject))
    return found


@dataclass(frozen=True)
class Task:
    """A commit, and the hot paths to record of it."""

    commit: Commit
    paths: Sequence[Described]


def tasks(
    wanted: Sequence[Commit],
    paths: Sequence[Described],
    records: Sequence[Record],
    machine: Machine | None,
    *,
    again: bool = False,
) -> list[Task]:
    """What is still to be recorded on `machine`; where that is None, by nobody at all."""
    found, seen = [], set[str]()
    workloads = {path["name"]: path["workload"] for path in paths}
    for commit in wanted:
        if commit.tree in seen:  # a revert is the same code once more
            continue
        seen.add(commit.tree)
        mine = [one for one in of_tree(records, commit.tree) if machine in (None, one.machine)]
        if machine is None and mine:
            continue
        missing = set(workloads) if again or not mine else set(mine[-1].lacks(workloads))
        if missing:
            found.append(Task(commit, [path for path in paths if path["name"] in missing]))
    return found


# --- recording


def _record(options: argparse.Namespace) -> None:
    """Record what is asked for and lacking, one file a commit as soon as it is measured."""
    run = Run(read_project(ROOT), names=options.names)
    asked = bool(options.last or options.range)
    wanted = commits(run.repository, last=options.last or LAST, span=options.range or "")
    if not wanted:
        raise HistoryError(f"no commit of {options.range or 'HEAD'} changed {CODE}/")
    records = _history_store.read_all()
    if not asked and not options.again and all(any(of_tree(records, c.tree)) for c in wanted):
        return  # nothing to import, nothing to stage
    machine = _history_measured.machine_of(run)
    here = machine if asked or options.again else None
    waiting = tasks(wanted, run.selected, records, here, again=options.again)
    if not waiting:
        print(
            f"history: nothing to record: {counted(len(wanted), 'commit')} looked at, all recorded"
        )
    progress = Progress(len(waiting))
    for task in waiting:
        progress.begin(task)
        mine = [one for one in records if one.machine == machine]
        record = _measure(run, task, mine, progress, again=options.again)
        records = [*(one for one in records if one.file != record.file), record]
        file = record.write()
        progress.done(file)


def _measure(
    run: Run, task: Task, mine: Sequence[Record], progress: Progress, *, again: bool
) -> Record:
    """A commit's record; joined to what this machine has of it already, if anything."""
    commit = task.commit
    nearest = None if again else max(mine, key=lambda one: one.date, default=None)
    given = commit.hash, commit.tree, task.paths
    record = _history_measured.measure(run, *given, known=nearest, said=progress.within)
    held = next(of_tree(mine, commit.tree), None)
    return record if held is None else held.joined(record)


@dataclass
class Progress:
    """Lines on standard error: what is recorded, since when, and how long the rest will take."""

    number: int
    _started: float = field(default_factory=time.monotonic)
    _finished: int = 0
    _finished_s: float = 0.0  # when the last one was
    _name: str = ""

    def begin(self, task: Task) -> None:
        self._name = f"commit {self._finished + 1} of {self.number}, {task.commit.hash[:8]}"
        self._say(f"{self._name} {task.commit.subject} ({len(task.paths)} hot paths)")

    def within(self, line: str) -> None:
        """What begins within the commit."""
        self._say(f"{self._name}: {line}{self._left()}")

    def done(self, file: Path) -> None:
        self._finished += 1
        self._finished_s = self._elapsed_s
        self._say(f"{self._name}: {file}{self._left()}")

    def _left(self) -> str:
        """By the whole commits so far: the parts of one differ too much to tell."""
        if not 0 < self._finished < self.number:
            return ""
        whole_s = self._finished_s / self._finished * (self.number - self._finished)
        left_s = whole_s - (self._elapsed_s - self._finished_s)
        return f", about {left_s:.0f} s left" if left_s > 0 else ""

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started

    def _say(self, line: str) -> None:
        print(f"[{self._elapsed_s:5.0f} s] {line}", file=sys.stderr, flush=True)


# --- showing


def _publish() -> Path:
    """asv's site of the records that this clone has the commits of; returns where it lies."""
    repository = Repository(ROOT)
    reachable = set(repository.git("rev-list", "--all").split())  # all that asv looks at
    shown = [commit for commit in commits(repository) if commit.hash in reachable]
    records = _history_store.read_all()
    number = _history_asv.write_results(records, shown, FOLDER / "results")
    if not number:
        raise HistoryError(
            f"none of {len(records)} records is of a commit of this clone: record some with "
            f"--last N, or fetch the whole history (git fetch --unshallow)"
        )
    site = _history_asv.publish(records, ROOT, FOLDER)
    _tell(site, records, shown, number)
    try:
        _site.make_self_contained(site)
    except _site.SiteError as error:
        print(f"history: the page needs a network to be looked at, as asv made it: {error}")
    print(f"history: {site / 'index.html'}")
    return site


def _tell(site: Path, records: Sequence[Record], shown: Sequence[Commit], number: int) -> None:
    """What is shown and what is not, and the regressions that asv's step detection found."""
    trees = {commit.tree for commit in shown}
    elsewhere = sum(record.tree not in trees for record in records)
    left_out = f"; {elsewhere} records are of commits that this clone lacks" if elsewhere else ""
    machines = len({record.machine.name for record in records})
    print(
        f"history: {number} of {len(shown)} commits that changed {CODE}/ are recorded, by "
        f"{machines} machine{'s' if machines > 1 else ''}{left_out}"
    )
    for line in stale(records):
        print(f"history: {line}")
    found = _history_asv.regressions(site)
    subjects: Mapping[str, str] = {commit.hash: commit.subject for commit in shown}
    steps = counted(len(found), "regression")
    print(f"history: {steps} by asv's step detection (it judges nothing)")
    for one in found:
        print(f"  {one.line(subjects)}")


def stale(records: Sequence[Record]) -> list[str]:
    """Which hot paths have commits that no graph shows, since their workload was another."""
    workloads = _history_store.workloads_now(records)
    lines = []
    for name, workload in workloads.items():
        held = [record.paths[name] for record in records if name in record.paths]
        if old := sum(path.workload != workload for path in held):
            lines.append(f"{name}: {old} of {len(held)} records are of another workload, not shown")
    return lines


def _serve(site: Path, port: int) -> int:
    """Serve the site on loopback until Ctrl-C."""
    with _site.server(site, port) as server:
        print(f"serving http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")
    return 0


# --- every benchmark once


def _asv(*words: str) -> int:
    return subprocess.run([sys.executable, "-m", "asv", *words], cwd=ROOT).returncode


def _check(*, quick: bool) -> int:
    """Every benchmark once in this environment, where the project is installed."""
    if _asv("machine", "--yes"):
        return 1
    words = ["run", "--quick", "--dry-run", "--show-stderr", "-E", f"existing:{sys.executable}"]
    return _asv(*words, *(["--bench", QUICK] if quick else []))


if __name__ == "__main__":
    raise SystemExit(main())
