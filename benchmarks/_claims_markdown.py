"""A run of the claims as Markdown, for the summary page of a CI run."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks._claims_report import ClaimsReport
from benchmarks._claims_rows import ClaimVerdict, Role
from benchmarks._claims_share import OBJECTIVES
from benchmarks._claims_text import (
    SHARES,
    caption,
    headline,
    label,
    reported,
    savings,
    share_cells,
    spread,
    times,
    verdict,
    words,
)

_HEAD = ("claim", "reported", "wall (± 3 se)", "before → after")


def render(report: ClaimsReport) -> str:
    """Verdicts, the table of speedups, and folded below it all the rest."""
    measured = [row for row in report.rows if row.measured]
    told = [row for row in report.rows if row.verdict is not ClaimVerdict.NOT_BUILT]
    waiting = [row.claim for row in report.rows if row.verdict is ClaimVerdict.NOT_BUILT]
    speeds = [
        (
            _text(label(row)) if row.role is Role.CLAIM else f"· {_code(label(row).strip())}",
            reported(row.reported),
            spread(row.measured.wall) if row.measured else "-",
            times(row),
            *map(_text, savings(row)),
            _text(verdict(row)),
        )
        for row in told
    ]
    head = (*_HEAD, *(f"saves of a trial: {name}" for name in OBJECTIVES), "verdict")
    blocks = [
        f"### Reported claims{' (quick)' if report.quick else ''}",
        _text(report.count()),
        "\n".join(_table(head, speeds)),
    ]
    if waiting:
        blocks.append(f"Not built yet: {_text(', '.join(waiting))}.")
    shares = [(_code(row.name), *map(_text, share_cells(row)[1:])) for row in measured]
    rows = [row for row in told if row.said or row.notes]
    blocks += [
        "<details><summary>How to read it, shares of a trial, notes</summary>",
        "\n".join(f"- {_text(line)}" for line in (headline(report), *caption(report))),
        "\n".join(_table(SHARES, shares)) if shares else "",
        "\n".join(
            line
            for row in rows
            for line in (
                f"- **{_text(row.claim or row.name)}** {_text(row.what)}",
                *(f"  - {_text(word)}" for word in words(row)),
            )
        ),
        "</details>",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _text(line: str) -> str:
    """Text without Markdown or HTML of its own, in one cell of a table."""
    for plain, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;")):
        line = line.replace(plain, safe)
    for special in "\\`*_[]~":
        line = line.replace(special, "\\" + special)
    return line


def _code(name: str) -> str:
    return f"`{name}`"
