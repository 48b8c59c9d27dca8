"""The ledger of proof: how often the gate is wrong, measured, kept and shown.

    python -m benchmarks._ledger aa --runs 40 --load quiet|other-core|same-core [--subset]
    python -m benchmarks._ledger inject [--percent 3 5 10 20 100] [--runs 1]
    python -m benchmarks._ledger replay [--suites 1000]
    python -m benchmarks._ledger asv
    python -m benchmarks._ledger report

`aa` runs the gate on unchanged code, `inject` on code in which every hot path was made slower by a
named share. Each run is kept at once in `benchmarks/ledger/`, and `--runs N` means N in all: what
was stopped goes on where it was. `replay` and `asv` judge the recorded pairs again; `report`
writes the tables of `benchmarks/ledger/README.md`.
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
from contextlib import contextmanager, nullcontext
from typing import Any

from benchmarks import _records, _replay
from benchmarks._ledger_report import write_report
from benchmarks._planting import ROOT, Answer, Calibration, Clone, PlantError, git, plant
from benchmarks._plants import CPU, Work
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
    live.add_argument("--load", choices=LOADS, required=True)
    live.add_argument("--subset", action="store_true", help=f"only {', '.join(SUBSET)}")
    live.set_defaults(act=_aa)
    inject = commands.add_parser("inject", help="run the gate on code that was made slower")
    inject.add_argument("--percent", type=float, nargs="+", default=SHARES)
    inject.add_argument("--runs", type=int, default=1, help="of each size, in all")
    inject.set_defaults(act=_inject)
    replay = commands.add_parser("replay", help="judge suites drawn from the recorded pairs")
    replay.add_argument("--suites", type=int, default=1_000)
    replay.set_defaults(act=_replay_all)
    commands.add_parser("asv", help="asv's rule on the recorded pairs").set_defaults(act=_asv)
    report = commands.add_parser("report", help="write the tables of the ledger's README")
    report.set_defaults(act=lambda options: print(f"written: {write_report()}"))
    return parser


# --- live runs


def _aa(options: argparse.Namespace) -> None:
    clone = Clone.make(SCRATCH / "clone")
    stamp = _stamp(clone) | {"load": options.load, "subset": options.subset}
    done = _like(_records.read("aa"), stamp)
    turns = _Turns("aa", options.load, len(done), options.runs)
    clone.touch()
    with _loaded(options.load):
        for _ in turns:
            answer = clone.gate("--against", "HEAD", *(SUBSET if options.subset else ()))
            record = _record(stamp, answer)
            _records.append("aa", record)
            turns.say(record)
    print(f"kept in {_records.file_of('aa')}: {options.runs} runs")


def _inject(options: argparse.Namespace) -> None:
    clone = Clone.make(SCRATCH / "clone")
    lines = Calibration(clone, _say).lines(CPU)
    groups = [[work for work in CPU if not work.alone], *([work] for work in CPU if work.alone)]
    for percent in options.percent:
        for works in groups:
            names = [work.path for work in works]
            stamp = _stamp(clone) | {"load": "quiet", "percent": float(percent), "names": names}
            done = _like(_records.read("inject"), stamp)
            turns = _Turns("inject", f"{percent:g}%", len(done), options.runs)
            sizes = {work: lines[work].n_for(percent / 100) for work in works}
            for _ in turns:
                plant(clone, sizes)
                answer = clone.gate("--against", "HEAD", *names)
                planted = [_planted(work, n, answer) for work, n in sizes.items()]
                record = _record(stamp, answer) | {"planted": planted}
                _records.append("inject", record)
                turns.say(record)
    print(f"kept in {_records.file_of('inject')}")


def _planted(work: Work, n: int, answer: Answer) -> Record:
    """What the gate said of one planted work."""
    worse = [finding for finding in answer.worse() if finding["path"] == work.path]
    cpu = next(
        (
            f
            for f in answer.findings
            if f["witness"] == "cpu" and (f["path"], f["case"]) == work.key
        ),
        None,
    )
    if cpu is None:
        raise LedgerError(f"{work.path}[{work.case}] was not measured: {answer.said()}")
    return {
        "path": work.path,
        "case": work.case,
        "n": n,
        "reached": cpu["change"],
        "by_cpu": cpu["verdict"] == "worse",
        "witnesses": sorted({finding["witness"] for finding in worse}),
    }


def _stamp(clone: Clone) -> Record:
    """What a record was made with; records with equal stamps are counted together."""
    measured = ("optimizer", "benchmarks", ":!benchmarks/ledger")
    return {
        "commit": git(ROOT, "rev-parse", "HEAD"),
        "clean": not git(ROOT, "status", "--porcelain", "--", *measured),
        "code": git(clone.folder, "rev-parse", f"{clone.start}:optimizer"),
        "suite": _records.suite_hash(clone.folder),
        "gate": _records.gate_hash(clone.folder),
    }


def _like(records: Sequence[Record], stamp: Record) -> list[Record]:
    """Records of the same kind of run; the same code may lie in another commit."""
    same = [name for name in stamp if name not in ("commit", "clean")]
    return [r for r in records if all(r.get(name) == stamp[name] for name in same)]


def _record(stamp: Record, answer: Answer) -> Record:
    """One run of the gate, as it is kept."""
    table = answer.table
    if not table:
        raise LedgerError(f"the gate came to no report (exit code {answer.code}): {answer.errors}")
    environment = table["environment"]
    said = ("path", "case", "witness", "verdict", "code", "before", "now", "change", "plus_minus")
    findings = [
        {name: finding[name] for name in said if finding[name] not in (None, "")}
        for finding in answer.findings
        if finding["verdict"] != "same"
    ]
    kept = ("python", "packages", "processor")
    return stamp | {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "environment": {name: environment[name] for name in kept},
        "without": [line.partition(":")[0] for line in table.get("exempt", [])],
        "seconds": answer.seconds,
        "exit_code": answer.code,
        "findings": findings,
        "pairs": {case: stages for case, stages in table["pairs"].items() if stages},
    }


class _Turns:
    """The runs that are left to do, with the time they will take."""

    def __init__(self, kind: str, what: str, done: int, runs: int) -> None:
        self._name = f"{kind} {what}"
        self._done, self._runs = done, runs
        self._seconds: list[float] = []
        self._started = 0.0

    def __iter__(self) -> Iterator[int]:
        if self._done:
            _say(f"{self._name}: {self._done} of {self._runs} runs are there already")
        while self._done < self._runs:
            self._started = time.monotonic()
            yield self._done

    def say(self, record: Record) -> None:
        """After each run: how it stands, and how long the others will take."""
        self._done += 1
        self._seconds.append(time.monotonic() - self._started)
        left = statistics.fmean(self._seconds) * (self._runs - self._done) / 60
        worse = [f["path"] for f in record["findings"] if f["verdict"] == "worse"]
        names = f" ({', '.join(sorted(set(worse)))})" if worse else ""
        _say(
            f"{self._name}: run {self._done} of {self._runs}, exit code {record['exit_code']}"
            f"{names}, {self._seconds[-1]:.0f} s; about {left:.0f} min left"
        )


def _say(line: str) -> None:
    print(f"    {line}", file=sys.stderr, flush=True)


@contextmanager
def _loaded(load: str) -> Iterator[None]:
    """A busy process on that load's core for as long as the block runs."""
    core = LOADS[load]()
    with nullcontext() if core is None else busy(core):
        yield


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


def _whole_suites() -> list[Record]:
    records = [record for record in _records.read("aa") if not record["subset"]]
    if not records:
        raise LedgerError("no whole suite is recorded yet: run `aa --runs N --load quiet` first")
    return _records.newest_gate(records)


def _resting_on(records: Sequence[Record]) -> Record:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "gate": records[-1]["gate"],
        "runs": len(records),
        "loads": sorted({record["load"] for record in records}),
    }


def _replay_all(options: argparse.Namespace) -> None:
    records = _whole_suites()
    loads = _replay.sequences(records)
    result: dict[str, Any] = {}
    for how in (_replay.WINDOWS, _replay.BOOTSTRAP):
        _say(f"{how}: {options.suites} unchanged suites")
        result[how] = {"unchanged": vars(_replay.replay(loads, CAREFUL, options.suites, how))}
        for percent in SHARES:
            suites = max(1, options.suites // INJECTED_EVERY)
            _say(f"{how}: {suites} suites, {percent}% slower")
            slowed = _replay.replay(loads, CAREFUL, suites, how, share=percent / 100)
            result[how][f"{percent}"] = vars(slowed)
    _records.append("replay", _resting_on(records) | {"results": result})
    print(f"kept in {_records.file_of('replay')}")


def _asv(options: argparse.Namespace) -> None:
    records = _whole_suites()
    counts = {0: vars(_replay.asv_on(records))}
    counts |= {share: vars(_replay.asv_on(records, share=share / 100)) for share in SHARES}
    if not counts[0]["suites"]:
        raise LedgerError("asv's rule compares a run with the next one: record two under one load")
    kept = {str(share): count for share, count in counts.items()}
    _records.append("asv", _resting_on(records) | {"results": kept})
    print(f"kept in {_records.file_of('asv')}")


if __name__ == "__main__":
    raise SystemExit(main())
