"""A run of the claims as Markdown, for the summary page of a CI run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks._claims_cells import label, share_cells, speed_cells, words
from benchmarks._claims_figures import ClaimVerdict
from benchmarks._claims_report import ClaimsReport
from benchmarks._claims_rows import Role, Row
from benchmarks._claims_share import OBJECTIVES
from benchmarks._claims_text import SHARES, caption, headline

_HEAD = ("claim", "reported", "wall (± 3 se)", "before → after")


def render(report: ClaimsReport) -> str:
    """Verdicts, the table of speedups, and folded below it all the rest."""
    measured = [row for row in report.rows if row.measured]
    told = [row for row in report.rows if row.verdict is not ClaimVerdict.NOT_BUILT]
    waiting = [row.claim for row in report.rows if row.verdict is ClaimVerdict.NOT_BUILT]
    speeds = [(_label(row), *map(_text, speed_cells(row)[1:])) for row in told]
    head = (*_HEAD, *(f"saves of a trial: {name}" for name in OBJECTIVES), "verdict")
    blocks = [
        f"### Reported claims{' (quick)' if report.quick else ''}",
        _text(report.count()),
        "\n".join(_table(head, speeds)),
    ]
    if waiting:
        blocks.append(f"Not built yet: {_text(', '.join(waiting))}.")
    shares = [(_code(row.name), *map(_text, share_cells(row)[1:])) for row in measured]
    blocks += [
        "<details><summary>How to read it, shares of a trial, notes</summary>",
        "\n".join(_bullet(line) for line in (headline(report), *caption(report))),
        "\n".join(_table(SHARES, shares)) if shares else "",
        "\n".join(line for row in told for line in _item(row)),
        "</details>",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _bullet(line: str) -> str:
    """A line of the terminal's, set in where it is set in there."""
    return f"{'  ' * line.startswith(' ')}- {_text(line.strip())}"


def _label(row: Row) -> str:
    return _text(label(row)) if row.role is Role.CLAIM else f"· {_code(label(row).strip())}"


def _item(row: Row) -> Iterable[str]:
    """What a row compares, and what there is to say of it; set in below its claim's."""
    inset = "  " if row.role in (Role.BESIDE, Role.PLAIN) else ""
    name = f"**{_text(row.claim)}**" if row.role is Role.CLAIM else _code(row.name)
    yield f"{inset}- {name} {_text(row.what)}"
    yield from (f"{inset}  - {_text(word)}" for word in words(row))


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
