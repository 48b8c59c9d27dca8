"""The ledger of proof: how often the gate is wrong, measured, kept and shown.

    python -m benchmarks._ledger aa --runs 40 --load quiet|other-core|same-core [--subset]
    python -m benchmarks._ledger inject [--percent 3 5 10 20 100] [--runs 1]
    python -m benchmarks._ledger replay [--suites 1000]
    python -m benchmarks._ledger asv
    python -m benchmarks._ledger report

`aa` runs the gate on unchanged code as a user does, against the stored baselines; `inject` on code
in which every hot path was made slower by a named share. Each run is kept at once in
`benchmarks/ledger/`, and `--runs N` means N in all, of the same gate, suites and environment: what
was stopped goes on where it was. A run in which the gate broke is kept, too, counts against
the gate, and stops the campaign. `replay` and `asv` judge the recorded pairs again; `report` writes
the tables of `benchmarks/ledger/README.md`.
"""

from __future__ import annotations

import argparse
import datetime
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from benchmarks import _ledger_record as _made
from benchmarks import _records, _replay
from benchmarks._ledger_report import write_report
from benchmarks._planting import (
    ROOT,
    Calibration,
    Clone,
    PlantError,
    alone_in,
    plant,
)
from benchmarks._plants_cpu import CPU
from benchmarks._plants_kinds import Work, together
from benchmarks._records import LedgerError, Record
from benchmarks.gate.outcome import exact_core, pair_core
from benchmarks.gate.rules import CAREFUL

SCRATCH = ROOT / ".gate" / "ledger"
SUBSET = (
    *("signature.Cold", "signature.Warm"),
    *("stores.AddEach", "stores.SeenBatch", "stores.SeenEach"),
)
"""Five quick hot paths, for many runs."""
LOADS: dict[str, Callable[[], int | None]] = {
    "quiet": lambda: None,
    "other-core": exact_core,
    "same-core": pair_core,
}
SHARES = (3, 5, 10, 20, 100)
INJECTED_EVERY = 5  # an injected suite is replayed for every so many unchanged ones

# A process that does nothing but compute, and ends with whoever started it.
_BUSY = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
parent = os.getppid()
while os.getppid() == parent:
    sum(range(200_000))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    try:
        options.act(options)
    except (LedgerError, PlantError) as error:
        print(f"ledger: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ledger: interrupted; every finished run is kept", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ledger", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    live = commands.add_parser("aa", help="run the gate on unchanged code")
    live.add_argument("--runs", type=int, required=True, help="how many there shall be in all")
    live.add_argument(
        "--load",
        choices=LOADS,
        required=True,
        help="where a busy process runs meanwhile: nowhere, on the core that counts, or on the "
        "very core that the pairs run on",
    )
    live.add_argument("--subset", action="store_true", help=f"only {', '.join(SUBSET)}")
    live.set_defaults(act=_aa)
    inject = commands.add_parser("inject", help="run the gate on code that was made slower")
    sizes = " ".join(map(str, SHARES))
    inject.add_argument(
        "--percent",
        type=float,
        nargs="+",
        default=SHARES,
        help=f"how much slower each hot path is made (default: {sizes})",
    )
    inject.add_argument(
        "--runs",
        type=int,
        default=1,
        help="how many of each size there shall be in all; sizes are calibrated for each (default: "
        "1)",
    )
    inject.set_defaults(act=_inject)
    replay = commands.add_parser("replay", help="judge suites drawn from the recorded pairs")
    replay.add_argument(
        "--suites",
        type=int,
        default=1_000,
        help=f"how many unchanged ones to draw (default: 1000), and a slower one of each size for "
        f"every {INJECTED_EVERY}",
    )
    replay.set_defaults(act=_replay_all)
    commands.add_parser("asv", help="asv's rule on the recorded pairs").set_defaults(act=_asv)
    report = commands.add_parser("report", help="write the tables of the ledger's README")
    report.set_defaults(act=lambda options: print(f"written: {write_report()}"))
    return parser


# --- live runs


def _aa(options: argparse.Namespace) -> None:
    with alone_in(SCRATCH), _loaded(options.load) as process:
        clone = Clone.make(SCRATCH / "clone")
        stamp = _made.stamp_of(clone) | {"load": options.load, "subset": options.subset}
        done = _made.like(_records.read("aa"), stamp)
        turns = _Turns(f"aa {options.load}", len(done), options.runs)
        clone.touch()
        while turns.left:
            turns.begin()
            # Every pair, so that a replay has as many of each case; it finds more, not less.
            answer = clone.gate("--every-pair", *(SUBSET if options.subset else ()))
            if process is not None and process.poll() is not None:
                raise LedgerError(
                    f"the busy process of {options.load} ended by itself (exit code "
                    f"{process.returncode}): this run was not under load and is not kept"
                )
            _keep("aa", _made.record_of(stamp, answer), turns)
    print(f"kept in {_records.file_of('aa')}: {options.runs} runs")


def _inject(options: argparse.Namespace) -> None:
    groups = together(CPU, lambda work: work)
    with alone_in(SCRATCH):
        clone = Clone.make(SCRATCH / "clone")
        made_with = _made.stamp_of(clone) | {"load": "quiet"}
        records = _records.read("inject")
        left = []  # which repetition, what, with which stamp
        for percent in dict.fromkeys(map(float, options.percent)):
            for works in groups:
                names = [work.path for work in works]
                stamp = made_with | {"percent": percent, "names": names}
                done = len(_made.like(records, stamp))
                left += [(turn, works, stamp) for turn in range(done, options.runs)]
        in_all = options.runs * len(set(options.percent)) * len(groups)
        turns = _Turns("inject", in_all - len(left), in_all)
        for turn in range(options.runs):
            jobs = [(works, stamp) for mine, works, stamp in left if mine == turn]
            _inject_once(clone, jobs, turns)
    print(f"kept in {_records.file_of('inject')}")


def _inject_once(clone: Clone, jobs: Sequence[tuple[list[Work], Record]], turns: _Turns) -> None:
    """One repetition: sizes are measured again, so that one odd calibration is not every run's."""
    needed = list(dict.fromkeys(work for works, _ in jobs for work in works))
    if not needed:
        return
    lines = Calibration(clone, _say, anew=True).lines(needed)
    for works, stamp in jobs:
        turns.begin()
        share = stamp["percent"] / 100
        plant(clone, {work: lines[work].n_for(share) for work in works})
        answer = clone.gate("--against", "HEAD", *stamp["names"])
        planted = [_made.planted_of(work, lines[work], share, answer) for work in works]
        record = _made.record_of(stamp, answer) | {"planted": planted}
        unmeasured = [one["path"] for one in planted if one["reached"] is None]
        if unmeasured and not record["errors"]:
            said = f"no CPU time was measured of {', '.join(unmeasured)}"
            record |= {"errors": said, "pairs": {}}
        _keep("inject", record, turns)


def _keep(kind: str, record: Record, turns: _Turns) -> None:
    _records.append(kind, record)
    turns.say(record)
    if record["errors"]:
        raise LedgerError(
            f"the gate broke (exit code {record['exit_code']}): {record['errors']}; the run is "
            f"kept and counts against the gate: find out why, then the same command goes on"
        )


class _Turns:
    """The runs that are left to do, with the time they will take."""

    def __init__(self, name: str, done: int, runs: int) -> None:
        self._name = name
        self._done, self._runs = done, runs
        self._seconds: list[float] = []
        self._started = 0.0
        if done:
            _say(f"{name}: {done} of {runs} runs are there already")

    @property
    def left(self) -> int:
        return max(0, self._runs - self._done)

    def begin(self) -> None:
        self._started = time.monotonic()

    def say(self, record: Record) -> None:
        """After each run: how it stands, and how long the others will take."""
        self._done += 1
        self._seconds.append(time.monotonic() - self._started)
        left = statistics.fmean(self._seconds) * self.left / 60
        worse = [f["path"] for f in record["findings"] if f["verdict"] == "worse"]
        names = f" ({', '.join(sorted(set(worse)))})" if worse else ""
        _say(
            f"{self._name}: run {self._done} of {self._runs}, exit code {record['exit_code']}"
            f"{names}, {self._seconds[-1]:.0f} s; about {left:.0f} min left"
        )


def _say(line: str) -> None:
    print(f"    {line}", file=sys.stderr, flush=True)


@contextmanager
def _loaded(load: str) -> Iterator[subprocess.Popen[bytes] | None]:
    """A busy process on that load's core for as long as the block runs; None for no load."""
    if load == "quiet":
        yield None
        return
    core = LOADS[load]()
    if core is None:
        raise LedgerError(f"a process cannot be kept on one core here: no load {load!r}")
    if exact_core() == pair_core():
        raise LedgerError(
            f"the load {load!r} needs two cores, and this process may use core {core} only"
        )
    with busy(core) as process:
        yield process


@contextmanager
def busy(core: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that keeps one core busy; it ends with the block, and with this process."""
    process = subprocess.Popen([sys.executable, "-c", _BUSY, str(core)])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


# --- the recorded pairs, judged again


def _whole_suites() -> list[list[Record]]:
    """The recorded runs of whole suites by the newest gate, group by group."""
    records = [record for record in _records.read("aa") if not record["subset"]]
    if not records:
        raise LedgerError("no whole suite is recorded yet: run `aa --runs N --load quiet` first")
    return _records.groups(_records.newest_gate(records))


def _judged_again(kind: str, judge: Callable[[list[Record]], Record]) -> None:
    """Keep what `judge` finds in each group; `LedgerError` if none holds enough."""
    refused, kept = [], 0
    for group in _whole_suites():
        whole = _replay.whole(group)
        name = f"suites {group[0]['suite']}"
        _say(f"{name}: {len(whole)} runs, {len(group) - len(whole)} that lack a case left out")
        try:
            results = judge(whole)
        except LedgerError as error:
            refused.append(f"{name}: {error}")
            continue
        _records.append(kind, _resting_on(group, whole) | {"results": results})
        kept += 1
    for line in refused if kept else ():
        _say(line)
    if not kept:
        raise LedgerError("; ".join(refused))
    print(f"kept in {_records.file_of(kind)}")


def _resting_on(group: Sequence[Record], whole: Sequence[Record]) -> Record:
    return {name: group[0][name] for name in _records.GROUP} | {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "runs": len(whole),
        "dropped": len(group) - len(whole),
        "loads": sorted({record["load"] for record in whole}),
    }


def _replay_all(options: argparse.Namespace) -> None:
    def judge(records: list[Record]) -> Record:
        loads = _replay.sequences(records)
        return {
            how: {str(percent): _replayed(loads, how, percent, options.suites) for percent in sizes}
            for how in (_replay.WINDOWS, _replay.BOOTSTRAP)
        }

    sizes = (0, *SHARES)
    _judged_again("replay", judge)


def _replayed(loads: list[_replay.Logs], how: str, percent: float, suites: int) -> Record:
    count = max(1, suites // INJECTED_EVERY) if percent else suites
    _say(f"{how}: {count} suites, {percent}% slower")
    found = asdict(_replay.replay(loads, CAREFUL, count, how, share=percent / 100))
    if how == _replay.WINDOWS:
        apart = _replay.independent(loads, CAREFUL, share=percent / 100)
        found["independent"] = asdict(apart)
    return found


def _asv(options: argparse.Namespace) -> None:
    def judge(records: list[Record]) -> Record:
        counts = {
            str(share): asdict(_replay.asv_on(records, share=share / 100)) for share in (0, *SHARES)
        }
        if not counts["0"]["suites"]:
            raise LedgerError(
                "asv's rule compares a run with the next one: record two under one load"
            )
        return counts

    _judged_again("asv", judge)


if __name__ == "__main__":
    raise SystemExit(main())
