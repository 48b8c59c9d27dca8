"""A stored report as Markdown, for the summary page of a CI run: short when all is well."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .table import seconds
from .view import (
    QUIET,
    Case,
    Stored,
    cases,
    change,
    changed_counters,
    clean,
    code_spans,
    environment_words,
    grown_value,
    growth,
    rule_words,
    short,
    value,
    verdict_line,
)

_GREW_SHOWN = 3  # of each kind; the HTML has them all
_NAME_LENGTH = 120  # of what grew: an SQL statement can be long
_SPECIAL = re.compile(r"([\\`*_{}\[\]~#$!])")
_HEAD = ("hot path", "verdict", "CPU a call", "change ± 3 se", "counters")


def render(report: Stored) -> str:
    """The report in GitHub's Markdown: verdict, what is wrong, a table of what is not the same."""
    word, rest = verdict_line(report)
    found = cases(report)
    odd = [case for case in found if case.verdict not in QUIET]
    blocks = [f"### {_text(word)}", _text(rest)]
    blocks.append("\n".join(_wrong(report, case) for case in found if case.failing))
    if odd:
        blocks.append("\n".join(_table(odd)))
    lines = [f"- not measured here: {_text(line)}" for line in report.get("exempt") or ()]
    lines += [f"- {_text(note)}" for note in report.get("notes") or ()]
    if lines:
        blocks.append("\n".join(lines))
    if found:
        title = f"All {len(found)} cases" if len(found) > 1 else "The case"
        inside = "\n\n".join(["\n".join(_table(found)), *_about(report)])
        blocks.append(f"<details><summary>{title}, and how to read them</summary>")
        blocks += [inside, "</details>"]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _wrong(report: Stored, case: Case) -> str:
    """The sentences of a case, and below them the beginning of what grew."""
    said = [
        finding.get("sentence") or f"{case.name}: {finding['verdict']}" for finding in case.failing
    ]
    return "\n".join([*(f"- {_text(line)}" for line in said), *_grew(report, case)])


def _grew(report: Stored, case: Case) -> list[str]:
    lines = []
    for kind, rows in growth(report, case).items():
        for name, before, now in rows[:_GREW_SHOWN]:
            shown = name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…"
            values = f"{grown_value(kind, before)} → {grown_value(kind, now)}"
            lines.append(f"  - grew, {_text(kind)}: {_code(shown)} {values}")
        if len(rows) > _GREW_SHOWN:
            lines.append(f"  - grew, {_text(kind)}: {len(rows) - _GREW_SHOWN} more")
    return lines


def _table(found: Sequence[Case]) -> list[str]:
    rows = [
        (
            _code(case.name),
            _text(case.verdict),
            value("cpu", (case.cpu or {}).get("now")),
            _text(change(case.cpu)),
            _text(changed_counters(case)),
        )
        for case in found
    ]
    lines = [_HEAD, ("---", "---", "---:", "---:", "---"), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _about(report: Stored) -> list[str]:
    took = report.get("seconds")
    return [
        "Change: CPU time of this code against its baseline's; > 0 is slower. se is the standard "
        "error of the mean over process pairs. Counters are exact.",
        _text(f"CPU rule: {rule_words(report.get('rule') or {})}."),
        f"Code: tree {_code(short(report.get('tree')))} on commit "
        f"{_code(short(report.get('commit')))}; "
        + _text(environment_words(report.get("environment") or {}))
        + (f"; took {seconds(float(took))}" if took is not None else ""),
    ]


def _text(words: str) -> str:
    """One line of text without Markdown or HTML of its own; code between backticks stays code."""
    pieces = code_spans(_one_line(words))
    return "".join(_code(piece) if typed else _escaped(piece) for typed, piece in pieces)


def _escaped(words: str) -> str:
    """A pipe becomes an entity: a backslash before it would be read in two ways in a table."""
    plain = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", plain).replace("|", "&#124;")


def _code(words: str) -> str:
    """A code span that no backtick inside can end, and that cannot end a table's cell either."""
    line = _one_line(words) or " "
    if "|" in line:
        return f"<code>{_escaped(line)}</code>"
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    room = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{room}{line}{room}{fence}"


def _one_line(words: str) -> str:
    return " ".join(clean(words).split())
