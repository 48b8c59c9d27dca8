"""The claims as one HTML file that needs nothing else: no network, no script, no font.

Made from stored runs alone: `nox -s claims` for the reports' claims, `nox -s parity` for the
field's libraries. Every claim of the reports has its row, those not built yet and those that a
part of a run did not ask for included.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import _claims_chart
from benchmarks._claims_cells import (
    goals_cell,
    reported,
    savings,
    spread,
    times,
    verdict,
    words,
)
from benchmarks._claims_figures import ClaimVerdict
from benchmarks._claims_page_style import STYLE
from benchmarks._claims_report import ClaimsReport
from benchmarks._claims_rows import Role, Row
from benchmarks._claims_share import OBJECTIVES
from benchmarks._claims_table import ORDER
from benchmarks._claims_text import caption
from benchmarks.gate.files import replace
from benchmarks.gate.html_path import code, text

_COLUMNS = 8  # of either table
RESULTS = Path(__file__).with_name("results")

_TONES = {
    ClaimVerdict.EXCEEDED: "good",
    ClaimVerdict.REPRODUCED: "good",
    ClaimVerdict.NOT_REPRODUCED: "bad",
    ClaimVerdict.WORKS: "new",
    ClaimVerdict.SIMULATED: "warn",
    ClaimVerdict.FAILED: "warn",
    ClaimVerdict.NOT_BUILT: "quiet",
    ClaimVerdict.OURS: "quiet",
}


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    kind: str = ""


def main(file: Path) -> int:
    """Write the page of the stored runs; returns the exit code."""
    try:
        write(file, stored("claims"), stored_peers())
    except (OSError, ValueError) as error:
        print(f"claims: {error}", file=sys.stderr)
        return 1
    print(f"page: {file}")
    return 0


def write(file: Path, claims: ClaimsReport, peers: ClaimsReport | None) -> None:
    """The page, whole or not at all."""
    replace(file, render(claims, peers))


def stored(name: str, folder: Path = RESULTS) -> ClaimsReport:
    """The stored run of `nox -s NAME`."""
    file = folder / f"{name}.json"
    return ClaimsReport.from_json(json.loads(file.read_text(encoding="utf-8")))


def stored_peers(folder: Path = RESULTS) -> ClaimsReport | None:
    """The stored run beside the field's libraries, if there is one."""
    return stored("parity", folder) if (folder / "parity.json").is_file() else None


def render(claims: ClaimsReport, peers: ClaimsReport | None) -> str:
    """The page of two runs: a pure function of what they stored."""
    body = [
        "<h1>Reported speedups, and what was measured</h1>",
        _facts(claims),
        f'<figure class="card">{_claims_chart.svg(claims)}</figure>',
        "<h2>How to read it</h2>",
        f'<ul class="hint">{"".join(map(_item, _how_to_read(claims)))}</ul>',
        "<h2>The claims of the reports</h2>",
        _claims_table(claims),
        "<h2>Beyond the reports</h2>",
        _beyond(claims, peers),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>Claims: reported beside measured</title>\n<style>{STYLE}</style>\n</head>\n"
        "<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _facts(report: ClaimsReport) -> str:
    """Where, when and with what it was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in report.packages.items())
    rows = [
        ("Measured", f"{report.date[:16].replace('T', ' ')} UTC, {report.seconds:,.0f} s"),
        ("Machine", report.where),
        ("Versions", versions),
        ("Code", report.tree[:12]),
        ("Verdicts", report.count()),
    ]
    if report.quick:
        rows.insert(0, ("Quick run", "two processes a row: the figures are rough"))
    cells = "".join(f"<dt>{name}</dt><dd>{text(words)}</dd>" for name, words in rows if words)
    return f'<dl class="facts">{cells}</dl>'


def _how_to_read(report: ClaimsReport) -> list[str]:
    """The terminal's caption; there a line that is set in goes on with the one above."""
    lines: list[str] = []
    for line in caption(report):
        if line.startswith(" ") and lines:
            lines[-1] += f"; {line.strip()}"
        else:
            lines.append(line)
    return lines


def _item(line: str) -> str:
    return f"<li>{text(line)}</li>"


# --- the reports' claims


def _claims_table(report: ClaimsReport) -> str:
    head = [
        *(Column("claim"), Column("reported"), Column("wall (± 3 se)", "num")),
        Column("before → after", "num"),
        *(Column(f"saves: {name}", "num") for name in OBJECTIVES),
        Column("verdict"),
    ]
    groups = [list(_group(report, name)) for name in ORDER]
    return _table(head, [_claim(name, rows) for name, rows in zip(ORDER, groups, strict=True)])


def _group(report: ClaimsReport, name: str) -> Iterator[Row]:
    """A claim's own row and those below it."""
    return (row for row in report.rows if row.claim == name and row.role is not Role.OURS)


def _claim(name: str, rows: Sequence[Row]) -> str:
    if not rows:
        asked = f'<td colspan="{_COLUMNS - 1}">not asked for in this run</td>'
        detail = _detail(["rerun: " + _typed(f"nox -s claims -- {name}")])
        return _body([f'<td class="n">{text(name)}</td>{asked}'], detail, "quiet")
    own = rows[0]
    lines = [_detail([text(own.what), *map(text, words(own)), _rerun(own)])]
    for row in rows[1:]:
        lines += [_cells(row), _detail([text(row.what), *map(text, words(row))])]
    return _body([_cells(own)], "".join(lines), _TONES[own.verdict])


def _cells(row: Row) -> str:
    own = row.role is Role.CLAIM
    told = _verdict(verdict(row)) if own else text(verdict(row))
    numbers = [spread(row.wall) if row.wall else "-", times(row), *savings(row)]
    return (
        f'<tr class="{"row" if own else "below"}"><td class="n">{_name(row)}</td>'
        f"<td>{text(reported(row))}</td>{_numbers(numbers)}<td>{told}</td></tr>"
    )


def _name(row: Row) -> str:
    """The claim or the hot path, and below it the case."""
    name = row.claim if row.role is Role.CLAIM else row.hot_path
    plain = "plain: " if row.role is Role.PLAIN else ""
    case = f"<small>{text(row.case).replace(',', ', ')}</small>" if row.case else ""
    return f"{plain}{text(name)}{case}"


# --- beyond the reports


_GROUPS = (
    ("Storage", ("stores", "optuna_storage", "records", "evaluations", "peers_storage")),
    ("Sampler", ("sampling", "peers_sampling")),
    ("Sweep, backtest and features", ("sweep", "backtest", "features", "stages", "peers")),
)
_OTHERS = "The rest"


def _beyond(claims: ClaimsReport, peers: ClaimsReport | None) -> str:
    """Hot paths of which no report speaks, and the field's libraries; where they win, too."""
    rows = [row for row in claims.rows if row.role is Role.OURS]
    parts = [
        '<p class="hint">No report speaks of these. The first side is the slow way, the library '
        "that the row names, or no library at all; a row in which it is faster, beyond noise, says "
        "so.</p>"
    ]
    if peers is not None:
        rows += peers.rows
        parts.append(f"<p>Beside the field&#x27;s libraries:</p>{_facts(peers)}")
    else:
        parts.append(
            '<p class="hint">Not beside the field&#x27;s libraries: no run of '
            f"{_typed('nox -s parity')} is stored.</p>"
        )
    head = [
        *(Column("hot path"), Column("goal"), Column("wall (± 3 se)", "num")),
        Column("before → after", "num"),
        *(Column(f"saves: {name}", "num") for name in OBJECTIVES),
        Column("verdict"),
    ]
    bodies: list[str] = []
    for title, group in _grouped(rows):
        bodies.append(
            f'<tbody><tr class="group"><th colspan="{_COLUMNS}">{title}</th></tr></tbody>'
        )
        bodies += map(_ours, group)
    return "\n".join([*parts, _table(head, bodies)])


def _grouped(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """The rows by what they are about; none is left out."""
    left = list(rows)
    for title, suites in _GROUPS:
        group = [row for row in left if row.hot_path.partition(".")[0] in suites]
        left = [row for row in left if row not in group]
        if group:
            yield title, group
    if left:
        yield _OTHERS, left


def _ours(row: Row) -> str:
    measured = row.measured
    wins = measured is not None and measured.wall.high < 1.0  # the first side, beyond noise
    tone = "bad" if wins else "quiet"
    if any(goal.verdict for goal in row.goals) and not wins:
        tone = "bad" if any(str(goal.verdict) == "goal missed" for goal in row.goals) else "good"
    told = f"the first side is faster; {verdict(row)}" if wins else verdict(row)
    wall = cpu = "-"
    if measured:
        wall, cpu = spread(measured.wall), f"CPU {spread(measured.cpu)}"
    numbers = [times(row), *savings(row)]
    cells = (
        f'<tr class="row"><td class="n">{_name(row)}</td><td>{text(goals_cell(row))}</td>'
        f'<td class="num">{text(wall)}<small>{text(cpu)}</small></td>'
        f"{_numbers(numbers)}<td>{_verdict(told)}</td></tr>"
    )
    told_below = [text(row.what), *map(text, words(row)), _rerun(row)]
    return _body([cells], _detail(told_below), tone)


# --- pieces


def _table(head: Iterable[Column], bodies: Iterable[str]) -> str:
    cells = "".join(f'<th class="{column.kind}">{text(column.title)}</th>' for column in head)
    return (
        f'<div class="wide card"><table><thead><tr>{cells}</tr></thead>\n'
        + "\n".join(bodies)
        + "\n</table></div>"
    )


def _body(rows: Iterable[str], details: str, tone: str) -> str:
    lines = "".join(row if row.startswith("<tr") else f'<tr class="row">{row}</tr>' for row in rows)
    return f'<tbody class="t-{tone}">{lines}{details}</tbody>'


def _detail(lines: Iterable[str]) -> str:
    """What there is to say below a row."""
    told = "".join(f"<p>{line}</p>" for line in lines if line)
    return f'<tr class="why"><td colspan="{_COLUMNS}">{told}</td></tr>'


def _numbers(cells: Iterable[str]) -> str:
    return "".join(f'<td class="num">{text(cell)}</td>' for cell in cells)


def _verdict(words: str) -> str:
    """The verdict as a pill, and what is added to it beside it."""
    word, mark, rest = words.partition("; ")
    return f'<span class="pill">{text(word)}</span>{mark and " "}<small>{text(rest)}</small>'


def _rerun(row: Row) -> str:
    return f"rerun: {_typed(row.rerun)}" if row.rerun else "rerun: nothing, it is not built yet"


def _typed(command: str) -> str:
    return code(command)
