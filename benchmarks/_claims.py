"""`python -m benchmarks claims`: reported speedups beside measured ones."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import _claims_code, _claims_markdown, _claims_page, _engine, _peers
from benchmarks._claims_answers import answered
from benchmarks._claims_cells import figures_cell, spread
from benchmarks._claims_figures import ClaimVerdict, Counted, reported_figures
from benchmarks._claims_goals import KEPT
from benchmarks._claims_measured import Measured, count_both, measure
from benchmarks._claims_modes import mode_row
from benchmarks._claims_once import measure_once
from benchmarks._claims_plan import lines_of
from benchmarks._claims_report import ClaimsReport
from benchmarks._claims_rows import (
    Line,
    Role,
    Row,
    failed_row,
    measured_row,
    told_row,
    with_plain,
)
from benchmarks._claims_table import read_beyond, read_claims, read_compared
from benchmarks._claims_text import terminal_lines
from benchmarks._claims_trial import TrialCost, trial_cost
from benchmarks.gate.errors import GateError
from benchmarks.gate.files import replace
from benchmarks.gate.harness import Side
from benchmarks.gate.machine import processor
from benchmarks.gate.outcome import Key
from benchmarks.gate.project import Project, read_project
from benchmarks.gate.run import Run
from benchmarks.gate.table import table

ROOT = Path(__file__).resolve().parent.parent
BELOW_FLOOR, INTERRUPTED = 1, 130

_DESCRIPTION = """\
Measure the speedups that the reports claim, each in fresh processes, before and after by turns, and
print them beside what is reported: wall and CPU ratios with intervals, what they save of a trial,
and the verdict. Hot paths of which no report speaks come last.
"""
_EPILOG = """\
verdicts: exceeded (all of the interval lies above), reproduced (at most a tenth of the gain
below, and of a quality two points), not reproduced, works (no figure is reported), simulator only
(no figure, and seen to work nowhere else), not built yet, not measured. Factors, seconds saved in
100 trials, shares of a run, and counts are judged alike; bytes are below what is reported, or not.
The worst is the claim's own.

exit codes: 0, whatever the verdicts; 1 where a figure beyond the reports lies below its floor; 2
where a hot path raised or its sides disagree, or the
command makes no sense; 3 where one was not measured; 130 interrupted: what was measured is printed,
and no file is written.

examples:
  nox -s claims -- --list
  nox -s claims -- --quick dedup-lookup tracker
  nox -s claims -- stores                          every claim that the suite stores measures
  python -m benchmarks claims --page claims.html   the page of the stored runs, nothing measured
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks claims`."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="claims, hot paths or suites (default: all)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="two processes a row, and no case whose slow way takes long: for CI, never stored",
    )
    parser.add_argument("--list", action="store_true", help="the claims, without measuring")
    parser.add_argument(
        "--peers", action="store_true", help="the field's libraries instead: nox -s parity"
    )
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write the page of the stored runs, measure none"
    )
    forms = {"json": "the numbers", "markdown": "a page for a CI summary"}
    for form, said in (forms | {"html": "the page with the chart"}).items():
        default = ROOT / ".gate" / f"claims.{'md' if form == 'markdown' else form}"
        parser.add_argument(
            f"--{form}",
            type=Path,
            metavar="FILE",
            default=default,
            help=f"write {said} there (default: .gate/{default.name})",
        )


def main(options: argparse.Namespace) -> int:
    """Measure and print; returns the exit code."""
    rows: list[Row] = []
    if options.page:
        return _claims_page.main(options.page)
    try:
        claims = {} if options.peers else read_claims()
        load = _peers.load if options.peers else _engine.load
        paths = {path.name: path for path in load()}
        quick, every_case = options.quick, options.peers and not options.quick
        asked = {"quick": quick, "compared": read_compared(), "every_case": every_case}
        asked["beyond"] = read_beyond()
        lines = lines_of(claims, paths, options.names, **asked)
        if options.list:
            print("\n".join(listed(lines)))
            return 0
        with _terminated_as_interrupted():
            return _run(options, lines, rows)
    except GateError as error:
        print(f"claims: {error}", file=sys.stderr)
        return error.code


def listed(lines: Sequence[Line]) -> list[str]:
    """What there is, without measuring it."""
    rows = []
    for line in lines:
        claim, own = line.claim, line.role is Role.CLAIM
        built = "shown by a test" if claim.tested_by else "not built yet"
        built = "nox -s modes" if claim.mode else built
        shown = claim.name if own else "-" if line.role is Role.OURS else f"  ({line.role})"
        figures = figures_cell(reported_figures(claim)) if own else "-"
        rows.append((shown, line.name if line.path else built, figures, line.what))
    return table(("claim", "hot path", "reported", "slow way → fast way"), rows, right=(2,))


def _run(options: argparse.Namespace, lines: Sequence[Line], rows: list[Row]) -> int:
    started, trial, tree = time.monotonic(), None, ""
    progress = Progress(sum(bool(line.path) for line in lines))
    try:
        progress.say("staging the code, then trials of a plain Optuna study")
        run = Run(_project(options))
        tree, side = run.tree, run.head
        trial = trial_cost(quick=options.quick)
        codes = _measure(side, lines, rows, trial, progress, quick=options.quick)
    except KeyboardInterrupt:
        if trial is not None and any(row.measured for row in rows):
            report = _report(options, rows, trial, started, tree)
            print("\n".join(["INTERRUPTED, a part of the rows:", *terminal_lines(report)]))
        done = sum(row.measured is not None for row in rows)
        told = f"{done} of {progress.rows} rows were measured; no file was written"
        print(f"claims: interrupted, {told}", file=sys.stderr)
        return INTERRUPTED
    report = _report(options, rows, trial, started, tree, _worst(codes))
    report.write(options.json)
    replace(options.markdown, _claims_markdown.render(report))
    print("\n".join(terminal_lines(report)))
    print(f"rows: {options.json}; as Markdown: {options.markdown}")
    if not options.peers:
        _claims_page.write(options.html, report, _claims_page.stored_peers())
        print(f"page: {options.html}")
    return report.exit_code


def _project(options: argparse.Namespace) -> Project:
    module = _peers if options.peers else _engine
    return dataclasses.replace(read_project(ROOT), loader=f"{module.__name__}:load")


def _measure(
    side: Side,
    lines: Sequence[Line],
    rows: list[Row],
    trial: TrialCost,
    progress: Progress,
    *,
    quick: bool,
) -> list[int]:
    """Fill `rows`, so that an interrupted run has what was measured; returns the errors' codes.

    A case that stands beside two claims is measured once, for both.
    """
    codes: list[int] = []
    known: dict[Key, Measured] = {}
    for line in lines:
        if not line.path:
            rows.append(mode_row(line) if line.claim.mode else told_row(line))
            continue
        key = line.path, line.case
        progress.begin(line.name)
        try:
            if key not in known:
                taking = measure_once if line.once else measure
                known[key] = taking(side, key, quick=quick, begun=progress.process)
            measured = known[key]
            counted, uncounted = _counted(side, line, codes)
            rows.append(measured_row(line, measured, counted, trial.seconds, uncounted))
            codes += [BELOW_FLOOR for goal in rows[-1].goals if goal.broken]
            progress.say(f"{line.name}: {spread(measured.wall)} in wall time")
        except GateError as error:
            codes.append(error.code)
            rows.append(failed_row(line, str(error)))
            progress.say(f"{line.name}: {ClaimVerdict.FAILED}: {error}")
    return codes


def _counted(side: Side, line: Line, codes: list[int]) -> tuple[Counted, str]:
    """The counts that the report speaks of, or why there are none: the times stand without them."""
    if line.role is Role.PLAIN:
        return {}, ""
    try:
        key = line.path, line.case
        found = count_both(side, key, line.claim.counted)
        if line.role is Role.CLAIM:
            found |= answered(side, key, line.claim.at_most)
        if any(goal.kind in KEPT for goal in line.claim.goals):
            found |= answered(side, key, ["bytes"])
        return found, ""
    except GateError as error:
        codes.append(error.code)
        return {}, str(error)


def _worst(codes: Sequence[int]) -> int:
    """The gate's order of exit codes: 2 before 3, and 1 last."""
    return min(codes, default=0, key=(2, 3, BELOW_FLOOR).index)


def _report(
    options: argparse.Namespace,
    rows: Sequence[Row],
    trial: TrialCost,
    started: float,
    tree: str,
    exit_code: int = 0,
) -> ClaimsReport:
    return ClaimsReport(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        python=platform.python_version(),
        quick=options.quick,
        whole=not options.names,
        seconds=time.monotonic() - started,
        trial=trial,
        rows=tuple(with_plain(list(rows))),
        exit_code=exit_code,
        tree=tree,
        suite=_claims_code.suites(ROOT, peers=options.peers),
        packages=_claims_code.versions(),
        processor=processor(),
    )


class Progress:
    """A line on standard error for each step: seconds since the start, about how many are left."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._started = time.monotonic()
        self._first: float | None = None  # when the first row began
        self._done = -1.0  # rows, as a fraction
        self._name = ""

    def begin(self, name: str) -> None:
        """The next row begins."""
        self._done = float(int(self._done) + 1) if self._first is not None else 0.0
        self._first = self._first if self._first is not None else time.monotonic()
        self._name = name

    def process(self, at: int, of: int) -> None:
        """The row's process `at` of `of` begins."""
        done = self._done + (at - 1) / of
        row = f"row {int(self._done) + 1} of {self.rows}"
        self.say(f"{row}, {self._name}: process {at} of {of}{self._left(done)}")

    def say(self, line: str) -> None:
        elapsed = time.monotonic() - self._started
        print(f"[{elapsed:5.1f} s] {line}", file=sys.stderr, flush=True)

    def _left(self, done: float) -> str:
        if self._first is None or done <= 0:
            return ""
        each = (time.monotonic() - self._first) / done
        return f", about {each * (self.rows - done):.0f} s left"


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """A terminated run ends its workers as an interrupted one does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
