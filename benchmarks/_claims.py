"""Reported speedups beside measured ones: each claim's hot path, before against after."""

from __future__ import annotations

import argparse
import datetime
import enum
import json
import os
import platform
import sys
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import _registry
from benchmarks.gate.errors import GateError
from benchmarks.gate.files import replace
from benchmarks.gate.project import read_project
from benchmarks.gate.ratio import Ratio, claim_ratio
from benchmarks.gate.run import Run
from benchmarks.gate.table import seconds, table

FILE = Path(__file__).with_name("claims.toml")
ROOT = Path(__file__).resolve().parent.parent
NEAR = 0.10  # a row reproduces where the measured ratio is at most this far below the reported


class ClaimVerdict(enum.StrEnum):
    """What a row says of a reported speedup."""

    EXCEEDED = "exceeded"
    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    OURS = "not reported"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    claim: str
    hot_path: str
    case: str
    reported: float | None
    measured: Ratio
    verdict: ClaimVerdict
    what: str
    note: str
    source: str

    def cells(self) -> tuple[str, ...]:
        measured = self.measured
        return (
            self.claim or "-",
            f"{self.hot_path}[{self.case}]",
            f"{self.reported:,.4g}x" if self.reported else "-",
            f"{measured.wall:,.3g}x",
            f"{measured.cpu:,.3g}x ({measured.low:,.3g}-{measured.high:,.3g})",
            f"{seconds(measured.before_s)} → {seconds(measured.after_s)}",
            str(self.verdict),
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks claims`."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="claims or hot paths")
    parser.add_argument("--quick", action="store_true", help="two processes a row, no slow before")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")


def read_claims(file: Path = FILE) -> dict[str, dict[str, Any]]:
    """claims.toml: claim -> its fields."""
    return tomllib.loads(file.read_text(encoding="utf-8"))


def main(options: argparse.Namespace) -> int:
    """Measure and print; returns the exit code."""
    try:
        rows = _rows(options)
    except GateError as error:
        print(f"claims: {error}", file=sys.stderr)
        return error.code
    print("\n".join(_lines(rows)))
    file = options.json or ROOT / ".gate" / "claims.json"
    _write(file, rows, quick=options.quick)
    print(f"rows: {file}")
    return 0


def _rows(options: argparse.Namespace) -> list[Row]:
    run = Run(read_project(ROOT))
    claims = read_claims()
    by_path = {fields["hot_path"]: claim for claim, fields in claims.items()}
    paths = {path.name: path for path in _registry.load()}
    for name in options.names:
        if name not in claims and name not in paths:
            known = ", ".join([*claims, *paths])
            raise KeyError(f"no claim or hot path {name}; there are: {known}")
    rows = []
    for name, path in paths.items():
        claim = by_path.get(name, "")
        if options.names and not {name, claim} & set(options.names):
            continue
        case = path.case()
        if options.quick and not case.compared:
            case = next(other for other in path.cases if other.compared)
        print(f"measuring {name}[{case.label}]", file=sys.stderr, flush=True)
        ratio = claim_ratio(run.head, (name, case.label), quick=options.quick)
        rows.append(_row(claim, claims.get(claim, {}), name, case, ratio))
    return rows


def _row(
    claim: str, fields: dict[str, Any], name: str, case: _registry.RegisteredCase, ratio: Ratio
) -> Row:
    reported = fields.get("reported")
    verdict = judge_claim(reported, ratio)
    note = fields.get("note", "")
    if verdict is ClaimVerdict.NOT_REPRODUCED:
        note = f"not reproduced, because {fields.get('because', 'it was not investigated yet')}"
    if claim and not case.judged:
        note = f"at {case.label}, not where the claim is judged; {note}".strip("; ")
    what = fields.get("what", "")
    return Row(
        claim, name, case.label, reported, ratio, verdict, what, note, fields.get("source", "")
    )


def judge_claim(reported: float | None, ratio: Ratio) -> ClaimVerdict:
    """Wall time against wall time, as the reports measured."""
    if reported is None:
        return ClaimVerdict.OURS
    if ratio.wall > reported:
        return ClaimVerdict.EXCEEDED
    if ratio.wall >= reported * (1 - NEAR):
        return ClaimVerdict.REPRODUCED
    return ClaimVerdict.NOT_REPRODUCED


def _lines(rows: list[Row]) -> list[str]:
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{datetime.datetime.now(datetime.UTC).date()}",
        "speedup = before / after, > 1 is faster; reported: what the report says, not ours",
        "",
    ]
    head = ("claim", "hot path", "reported", "wall", "CPU (± 3 se)", "before → after", "verdict")
    lines += table(head, [row.cells() for row in rows], right=(2, 3))
    lines += ["", *(f"{row.claim}: {row.note}" for row in rows if row.note)]
    return [*lines, "rerun a row: nox -s claims -- CLAIM"]


def _write(file: Path, rows: list[Row], *, quick: bool) -> None:
    contents = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "quick": quick,
        "rows": [asdict(row) for row in rows],
    }
    replace(file, json.dumps(contents, indent=1) + "\n")
