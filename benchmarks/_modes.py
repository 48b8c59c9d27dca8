"""`python -m benchmarks modes`: the efficiency modes against plain search, time and quality."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import _claims_code, _modes_runs
from benchmarks._claims_cells import percent
from benchmarks._claims_measured import Amount
from benchmarks._engine_workloads import WORKLOADS
from benchmarks._modes_found import TARGETS, ModeFound, found_modes
from benchmarks.gate.errors import GateError, NotMeasuredError, UsageError
from benchmarks.gate.files import replace
from benchmarks.gate.project import read_project
from benchmarks.gate.run import Run
from benchmarks.gate.table import seconds, table

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / ".gate" / "modes.json"
LONGEST_S = 600.0
SEEDS = tuple(range(101, 121))
"""Twenty, fixed before anything was run."""
TRIALS = 150
QUICK_SEEDS, QUICK_TRIALS = 2, 20
INTERRUPTED = 130

Report = Mapping[str, Any]
Unit = tuple[str, int]  # workload, seed
Measure = Callable[[str, int, int], dict[str, Any]]

_EPILOG = """\
Each seed of each workload is a process of its own, in which every arm searches as many trials, in
an order that the seed shuffles: random points, plain (Optuna's default sampler, all data, one
process), and the three modes with as many workers as there are cores, started before: imports,
compiling and starts are in nobody's time. Every value is that of an evaluation on all data.

An interrupted run goes on where it ended, as long as code and suite are the same.

exit codes: 0, whatever is found; 2 where a process failed, or the command makes no sense; 3 where
one took too long, or a part is not there; 130 interrupted.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks modes`."""
    parser.description, parser.epilog = __doc__, _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help=f"{', '.join(WORKLOADS)}; all"
    )
    parser.add_argument(
        "--quick", action="store_true", help="two seeds of few trials: never stored"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", default=REPORT, help="(default: .gate/modes.json)"
    )


def main(options: argparse.Namespace) -> int:
    """Measure, print, and write the numbers; returns the exit code."""
    kept = options.json.with_suffix(".part.jsonl")
    try:
        report = measured(options.workloads, asked, kept, quick=options.quick)
    except GateError as error:
        print(f"modes: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        told = f"what was measured is kept in {kept}, and the next run goes on from there"
        print(f"modes: interrupted; {told}", file=sys.stderr)
        return INTERRUPTED
    replace(options.json, json.dumps(report, indent=1) + "\n")
    kept.unlink(missing_ok=True)
    print("\n".join(lines_of(report)))
    print(f"numbers: {options.json}")
    return 0


def measured(
    names: Sequence[str], measure: Measure, kept: Path, *, quick: bool = False
) -> dict[str, Any]:
    """The report of the workloads, all where none is named; raises `UsageError` for unknown ones.

    What is measured goes to the file `kept` at once; what is there already is not measured again.
    """
    if unknown := [name for name in names if name not in WORKLOADS]:
        known = ", ".join(WORKLOADS)
        raise UsageError(f"no workload {unknown[0]}; expected some of {known}")
    n_trials = QUICK_TRIALS if quick else TRIALS
    seeds = SEEDS[:QUICK_SEEDS] if quick else SEEDS
    tree = Run(read_project(ROOT)).tree
    units = [(name, seed) for seed in seeds for name in (names or WORKLOADS)]
    made_with = {"tree": tree, "suite": suite(), "trials": n_trials, "cores": os.cpu_count()}
    runs = [*_all_runs(units, measure, kept, made_with)]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "quick": quick,
        "tree": tree,
        "suite": made_with["suite"],
        "trials": n_trials,
        "packages": _claims_code.versions(),
        "runs": runs,
    }


def _all_runs(
    units: Sequence[Unit], measure: Measure, kept: Path, made_with: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Each unit's run, from the file or measured now."""
    known = _known(kept, made_with)
    waiting = sum(unit not in known for unit in units)
    started, done = time.monotonic(), 0
    for number, (workload, seed) in enumerate(units, start=1):
        if (workload, seed) not in known:
            elapsed = time.monotonic() - started
            left = f", about {elapsed / done * (waiting - done):.0f} s left" if done else ""
            told = f"{number} of {len(units)}: {workload}, seed {seed}{left}"
            print(f"[{elapsed:5.0f} s] {told}", file=sys.stderr, flush=True)
            arms = measure(workload, seed, made_with["trials"])
            known[workload, seed] = {"workload": workload, "seed": seed, "arms": arms}
            _keep(kept, {**made_with, **known[workload, seed]})
            done += 1
        yield known[workload, seed]


def _keep(file: Path, line: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def _known(file: Path, made_with: Mapping[str, Any]) -> dict[Unit, dict[str, Any]]:
    """What an interrupted run of the same code left; a torn line, and what follows it in the line,
    is measured again.
    """
    found: dict[Unit, dict[str, Any]] = {}
    for text in file.read_text(encoding="utf-8").split("\n") if file.is_file() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if all(line.get(name) == value for name, value in made_with.items()):
            unit = line["workload"], line["seed"]
            found[unit] = {"workload": unit[0], "seed": unit[1], "arms": line["arms"]}
    return found


def suite() -> str:
    """Hash of what is searched, and how."""
    digest = hashlib.sha256()
    for name in ("_engine_workloads.py", "_modes_runs.py"):
        digest.update((ROOT / "benchmarks" / name).read_bytes())
    return digest.hexdigest()[:12]


def is_whole(report: Report) -> bool:
    """Whether every workload was searched with every seed, at full length."""
    units = {(run["workload"], run["seed"]) for run in report["runs"]}
    wanted = {(name, seed) for name in WORKLOADS for seed in SEEDS}
    return not report["quick"] and report["trials"] == TRIALS and units == wanted


# --- what is told


def lines_of(report: Report) -> list[str]:
    """The caption and the table of a run."""
    quick = "QUICK: not to be stored; " if report["quick"] else ""
    found = found_modes(report["runs"])
    seeds = max((one.seeds for one in found), default=0)
    head = ("search", "plain", "mode", "time saved (± 3 se)", "goal", "quality (± 3 se)", "goal")
    return [
        f"{quick}{report['date'][:10]}, {report['machine']}, Python {report['python']}; "
        f"{report['trials']} trials, {seeds} seeds; plain: Optuna's default sampler, all data",
        "quality = (value - random) / (plain - random), values on all data; random: a point drawn "
        "at random,",
        "    or, in the last column, the best of a random search of as many trials",
        *table(
            (*head, "beside random search", "verdict"),
            [_cells(one, report["runs"]) for one in found],
            right=(1, 3, 4, 5, 6, 7),
        ),
    ]


def _cells(found: ModeFound, runs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    time_goal, quality_goal = TARGETS[found.mode]
    mine = [run["arms"] for run in runs if run["workload"] == found.workload]
    plain_s = sum(arms[_modes_runs.PLAIN]["wall_s"] for arms in mine) / len(mine)
    missed = f"goal missed: {' and '.join(found.missed)}" if found.missed else "goal reached"
    return (
        *(found.workload, seconds(plain_s), found.mode),
        *(_share(found.saved), percent(time_goal), _share(found.quality), percent(quality_goal)),
        *(_share(found.beside_search), missed),
    )


def _share(found: Amount) -> str:
    value, low, high = (f"{100 * end:.1f}" for end in (found.value, found.low, found.high))
    return f"{value}% ({low}-{high})"


# --- one process


def asked(workload: str, seed: int, n_trials: int) -> dict[str, Any]:
    """What a fresh process finds; raises where it failed, or a part is not installed."""
    words = [workload, str(seed), str(n_trials)]
    try:
        done = subprocess.run(
            [sys.executable, "-m", _modes_runs.__name__, *words],
            cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        told = f"{workload}, seed {seed}, took longer than {LONGEST_S:.0f} s"
        raise NotMeasuredError(told) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if last.startswith("NotImplementedError: "):
            raise NotMeasuredError(last.partition(": ")[2])
        raise GateError(f"{workload}, seed {seed}: exit code {done.returncode}: {last}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
