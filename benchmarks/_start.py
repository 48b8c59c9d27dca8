"""`python -m benchmarks start`: seconds from a process' start to the first table of a tracker."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import _claims_code
from benchmarks.gate.errors import GateError
from benchmarks.gate.files import replace
from benchmarks.gate.project import read_project
from benchmarks.gate.run import Run
from benchmarks.gate.table import seconds, table

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / ".gate" / "start.json"
WARM, COLD = 5, 2  # processes

_SCRIPT = """\
import numpy as np
from optimizer import Tracker, load_sp500

panel = load_sp500()
bars = np.arange(21, len(panel.close), 21)
rank = (panel.close[bars] / panel.close[bars - 21]).argsort(axis=1).argsort(axis=1)
weights = np.where(rank >= 13, 0.07, 0.0) - np.where(rank < 7, 0.035, 0.0)
print(Tracker(panel, fee_rate=0.001).track(bars, weights).statistics())
"""
# What is started: its name in the table, and the program.
_PROGRAMS = {
    "Python": "pass",
    "import numba": "import numba",
    "first table, compiled before": _SCRIPT,
    "first table, nothing compiled": _SCRIPT,
}
COLD_START = list(_PROGRAMS)[-1]

_EPILOG = """\
Each is a fresh process that ends after its work. A "first table" imports the package, reads the S&P
panel, trades it each month and prints the table of all trades; its output must be the same each
time. "nothing compiled" has an empty folder for numba's compiled code; the others find it filled.

exit codes: 0; 2 where a process failed, or printed something else than another one.
"""


@dataclass(frozen=True)
class Start:
    """What processes of one kind took, seconds: medians."""

    name: str
    processes: int
    wall_s: float
    cpu_s: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks start`."""
    parser.description, parser.epilog = __doc__, _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--json", type=Path, metavar="FILE", default=REPORT, help="(default: .gate/start.json)"
    )


def main(options: argparse.Namespace) -> int:
    """Measure and print; returns the exit code."""
    try:
        tree = Run(read_project(ROOT)).tree
        starts = measured()
    except GateError as error:
        print(f"start: {error}", file=sys.stderr)
        return error.code
    report = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "tree": tree,
        "packages": _claims_code.versions(),
        "starts": [asdict(start) for start in starts],
    }
    replace(options.json, json.dumps(report, indent=1) + "\n")
    print("\n".join(lines_of(report)))
    return 0


def measured() -> list[Start]:
    """Every kind of start, by turns, after one of each that fills the caches."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in _PROGRAMS}
    printed = set()
    with tempfile.TemporaryDirectory(prefix="velocity-start-") as folder:
        kept = Path(folder, "kept")
        for program in _PROGRAMS.values():
            _run(program, kept)
        for number in range(WARM):
            for name, program in _PROGRAMS.items():
                if name == COLD_START and number >= COLD:
                    continue
                cache = Path(folder, f"new-{number}") if name == COLD_START else kept
                output, *times = _run(program, cache)
                took[name].append((times[0], times[1]))
                printed.add((program, output))
    if len(printed) != len(set(_PROGRAMS.values())):
        raise GateError("a program did not print the same in each process")
    return [
        Start(name, len(found), *(statistics.median(column) for column in zip(*found, strict=True)))
        for name, found in took.items()
    ]


def lines_of(report: Mapping[str, Any]) -> list[str]:
    """The table of a run."""
    rows = [
        (one["name"], str(one["processes"]), seconds(one["wall_s"]), seconds(one["cpu_s"]))
        for one in report["starts"]
    ]
    versions = ", ".join(f"{name} {report['packages'][name]}" for name in ("numba", "numpy"))
    return [
        f"{report['date'][:10]}, {report['machine']}, Python {report['python']}, {versions}",
        *table(("a process, start to end", "of", "wall", "CPU"), rows, right=(1, 2, 3)),
    ]


def _run(program: str, cache: Path) -> tuple[str, float, float]:
    """What a process printed, and its wall and CPU seconds."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    before, began = os.times(), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    wall_s, after = time.monotonic() - began, os.times()
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise GateError(f"a process exited with {done.returncode}: {last[0]}")
    user, system = (
        getattr(after, field) - getattr(before, field)
        for field in ("children_user", "children_system")
    )
    return done.stdout, wall_s, user + system
