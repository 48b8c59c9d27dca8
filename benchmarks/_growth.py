"""`python -m benchmarks growth`: milliseconds a trial where 100 to 100,000 trials are finished.

python -m benchmarks._growth GROUP CURVE N      one process's answer, as JSON
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import _claims_code, _growth_chart, _growth_curves
from benchmarks.gate.errors import GateError, NotMeasuredError, UsageError
from benchmarks.gate.files import replace
from benchmarks.gate.project import read_project
from benchmarks.gate.run import Run
from benchmarks.gate.table import seconds, table

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / ".gate" / "growth.json"
LONGEST_S = 1_800.0

Report = Mapping[str, Any]
Measure = Callable[[str, str, int], dict[str, float]]

_EPILOG = """\
Each number is of a fresh process, which is given n finished trials and then takes the median of
some more. Growth is the exponent of n from the first size to the last: 0 does not grow, 1 grows as
n does. A curve ends where its next size would take too long to wait for, which is said.

exit codes: 0; 2 where a process failed, or the command makes no sense; 3 where one took too long.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks growth`."""
    parser.description, parser.epilog = __doc__, _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "groups", nargs="*", metavar="GROUP", help=f"{', '.join(_growth_curves.GROUPS)}; all"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=list(_growth_curves.SIZES), metavar="N"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", default=REPORT, help="(default: .gate/growth.json)"
    )


def main(options: argparse.Namespace) -> int:
    """Measure, print, and write the numbers and a chart for each group; returns the exit code."""
    try:
        report = measured(options.groups, options.sizes, asked)
    except GateError as error:
        print(f"growth: {error}", file=sys.stderr)
        return error.code
    write(report, options.json)
    print("\n".join(lines_of(report)))
    print(f"numbers: {options.json}; charts beside it")
    return 0


def write(report: Report, file: Path) -> None:
    """Its numbers to the file, and a chart for each group beside it."""
    replace(file, json.dumps(report, indent=1) + "\n")
    for group in report["groups"]:
        chart = file.with_name(f"{file.stem}-{group['name']}.svg")
        replace(chart, _growth_chart.svg(group, caption(report)))


def is_whole(report: Report) -> bool:
    """Whether every group was measured, and some curve of each at every usual size."""
    found = {
        group["name"]: {int(n) for line in group["lines"].values() for n, _ in line}
        for group in report["groups"]
    }
    return found == {key: set(_growth_curves.SIZES) for key in _growth_curves.GROUPS}


def measured(groups: Sequence[str], sizes: Sequence[int], measure: Measure) -> dict[str, Any]:
    """The report of the groups, all where none is named; raises `UsageError` for unknown ones."""
    if unknown := [name for name in groups if name not in _growth_curves.GROUPS]:
        known = ", ".join(_growth_curves.GROUPS)
        raise UsageError(f"no group {unknown[0]}; expected some of {known}")
    if min(sizes) < 1:
        raise UsageError(f"a size is {min(sizes)}; expected how many trials are finished, over 0")
    chosen = {name: _growth_curves.GROUPS[name] for name in groups or _growth_curves.GROUPS}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "tree": Run(read_project(ROOT)).tree,
        "packages": _claims_code.versions(),
        "groups": [_group(name, group, sizes, measure) for name, group in chosen.items()],
    }


def _group(
    name: str, group: _growth_curves.Group, sizes: Sequence[int], measure: Measure
) -> dict[str, Any]:
    lines: dict[str, list[list[float]]] = {}
    ended: dict[str, str] = {}
    for curve in group.curves:
        for n in sorted(set(sizes)):
            if n > curve.longest:
                ended[curve.name] = f"not beyond {curve.longest:,}: too long to wait for"
                break
            print(f"{name}: {curve.name}, n = {n:,}", file=sys.stderr, flush=True)
            try:
                found = measure(name, curve.name, n)
            except NotImplementedError as error:
                ended[curve.name] = str(error)
                break
            for label, value in found.items():
                lines.setdefault(label, []).append([n, value])
    return {"name": name, "title": group.title, "ended": ended, "lines": lines}


def caption(report: Report) -> str:
    """The run, in a line."""
    return f"{report['date'][:10]}, {report['machine']}, Python {report['python']}"


def growth(points: Sequence[Sequence[float]]) -> float | None:
    """The exponent of n by which it grows from the first point to the last; None of one point."""
    (n, first), (m, last) = points[0], points[-1]
    return math.log(last / first) / math.log(m / n) if m > n else None


def lines_of(report: Report) -> list[str]:
    """A table for each group: a line for each curve, its growth at the end."""
    lines = [caption(report)]
    for group in report["groups"]:
        sizes = sorted({int(n) for points in group["lines"].values() for n, _ in points})
        rows = []
        for label, points in group["lines"].items():
            known = {int(n): seconds(value / 1e3) for n, value in points}
            grown = growth(points)
            told = "-" if grown is None else f"n^{grown:.2f}"
            rows.append((label, *(known.get(n, "-") for n in sizes), told))
        head = (group["title"], *(f"n = {n:,}" for n in sizes), "grows as")
        lines += table(head, rows, right=tuple(range(1, len(head))))
        lines += [f"{name}: {why}" for name, why in group["ended"].items()]
    return lines


def asked(group: str, curve: str, n: int) -> dict[str, float]:
    """What a fresh process finds; `NotImplementedError` where a part is not installed."""
    done = None
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, group, curve, str(n)],
            cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        told = f"{group}, {curve}: n = {n:,} took longer than {LONGEST_S:.0f} s"
        raise NotMeasuredError(told) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if last.startswith("NotImplementedError: "):
            raise NotImplementedError(last.partition(": ")[2])
        raise GateError(f"{group}, {curve}: a process exited with {done.returncode}: {last}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _main(words: Sequence[str]) -> int:
    group, name, n = words
    (curve,) = (one for one in _growth_curves.GROUPS[group].curves if one.name == name)
    rounds = [curve.measure(int(n)) for _ in range(curve.rounds)]
    medians = {label: statistics.median(one[label] for one in rounds) for label in rounds[0]}
    print(json.dumps(medians))
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
