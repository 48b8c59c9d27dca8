"""The rows of the efficiency modes: judged by a whole run of `nox -s modes`, of many seeds.

The last one of this checkout, else the one that is stored beside the README's other tables.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks._claims_figures import ClaimVerdict, Figure, Unit, judged, together
from benchmarks._claims_measured import Amount
from benchmarks._claims_rows import Line, Row, failed_row, told_row
from benchmarks._modes import REPORT, is_whole
from benchmarks._modes_found import found_modes, worst

FILES = (REPORT, Path(__file__).with_name("results") / "modes.json")


def mode_row(line: Line) -> Row:
    """The row of a mode: the least of its figures over the workloads, and where they come from."""
    report = _report()
    if report is None:
        return failed_row(line, "there is no whole run of `nox -s modes`")
    found = found_modes(report["runs"])
    least = worst(found, line.claim.mode)
    if least is None:
        return failed_row(line, f"`nox -s modes` ran no mode {line.claim.mode}")
    row, (speedup, quality) = told_row(line), least
    amounts = {
        Unit.WALL: Amount(speedup.ratio, speedup.low, speedup.high),
        Unit.QUALITY: quality,
    }
    figures = tuple(_judged(figure, amounts) for figure in row.figures)
    notes = [] if line.claim.because == "" else [f"not reproduced, because {line.claim.because}"]
    missed = any(figure.verdict is ClaimVerdict.NOT_REPRODUCED for figure in figures)
    where = f"`nox -s modes` of {report['date'][:10]}, code {report['tree'][:10]}"
    seeds = min(one.seeds for one in found)
    told = f"the least of {len({one.workload for one in found})} searches, {seeds} seeds each"
    return replace(
        row,
        figures=figures,
        verdict=together(figures),
        notes=(*(notes if missed else []), f"{told}: {where}", *row.notes),
    )


def _report() -> Mapping[str, Any] | None:
    for file in FILES:
        if file.is_file():
            report: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if is_whole(report):
                return report
    return None


def _judged(figure: Figure, amounts: Mapping[Unit, Amount]) -> Figure:
    return judged(replace(figure, found=amounts.get(figure.unit)))
