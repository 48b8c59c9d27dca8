"""The section of one hot path: witnesses, pairs, counters, commits, and what grew."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from . import strip
from .rules import STAGES, Verdict
from .view import (
    Case,
    Stored,
    before,
    change,
    clean,
    code_spans,
    grown_value,
    growth,
    relative,
    short,
    stage_pairs,
    value,
    worst,
)

TONES: dict[str, str] = {
    Verdict.BETTER: "good",
    Verdict.SAME: "quiet",
    Verdict.UNCHANGED: "quiet",
    Verdict.SKIPPED: "quiet",
    Verdict.NEW: "new",
    Verdict.WORSE: "bad",
    Verdict.FAILED: "bad",
    Verdict.NOT_MEASURED: "warn",
}
_MINUS = "\N{MINUS SIGN}"
_GREW_SHOWN = 12  # rows of a table of what grew that stand open
_COMMITS_SHOWN = 20
_EQUAL = (Verdict.SAME, Verdict.UNCHANGED)
_ALWAYS = ("cpu", "wall", "claim")  # witnesses that have a row even where they are the same


def section(
    report: Stored,
    path: str,
    found: Sequence[Case],
    anchor: str,
    scale: strip.Scale,
    limit: float | None,
) -> str:
    """A hot path with all its cases; open where something is wrong."""
    verdict = worst(case.verdict for case in found)
    wrong = any(case.failing for case in found)
    number = len([case for case in found if case.label])
    cases = "1 case" if number == 1 else f"{number} cases" if number else ""
    body = "\n".join(
        _aside(case, words) if wrong and not case.failing else words
        for case in found
        for words in [_case(report, case, scale, limit)]
    )
    return (
        f'<details class="path t-{tone(verdict)}"{" open" if wrong else ""}>'
        f'<summary>{pill(verdict)} <span class="name">{text(path)}</span> '
        f'<span class="aside">{cases}</span></summary>\n'
        f'<div class="body"><a class="anchor" id="{anchor}"></a>'
        f"{_baseline(report, path)}\n{body}\n</div></details>"
    )


def _baseline(report: Stored, path: str) -> str:
    """Which state a path is compared with, and the commits since."""
    stored = (report.get("baselines") or {}).get(path)
    if not stored:
        return '<p class="hint">No baseline was read for this path.</p>'
    reason = f": {text(stored['reason'])}" if stored.get("reason") else ""
    words = (
        f"Baseline: commit {code(short(stored.get('commit')))}, tree "
        f"{code(short(stored.get('tree')))}, {text(stored.get('date', ''))}{reason}."
    )
    return f'<p class="hint">{words}</p>{_commits(report, stored)}'


def _commits(report: Stored, stored: Stored) -> str:
    commits = stored.get("commits")
    if not commits:
        if report.get("tree") and report.get("tree") == stored.get("tree"):
            return '<p class="hint">The code is the same as the baseline\'s.</p>'
        if "commits" not in stored:
            return ""
        if commits is None:
            words = (
                "Its commit is not in this clone: which commits touched the code since is unknown."
            )
            return f'<p class="hint">{words}</p>'
        words = "No commit since then touched the code: what differs is in the working tree."
        return f'<p class="hint">{words}</p>'
    items = [
        f"<li>{code(short(commit.get('hash')))} <time>{text(commit.get('date', ''))}</time> "
        f"{text(commit.get('subject', ''))}</li>"
        for commit in commits
    ]
    rest = _folded(f"{len(items) - _COMMITS_SHOWN} more commits", _items(items[_COMMITS_SHOWN:]))
    title = f"Commits since then that touched the code: {len(items)}"
    return f"<h4>{title}</h4>{_items(items[:_COMMITS_SHOWN])}{rest}"


def _items(items: Sequence[str]) -> str:
    return f'<ul class="commits">{"".join(items)}</ul>' if items else ""


def _aside(case: Case, words: str) -> str:
    """A case without fault on a path with one that has: folded."""
    title = f"{pill(case.verdict)}<b>{text(case.label)}</b>"
    return f'<details class="more quiet"><summary>{title}</summary>{words}</details>'


def _case(report: Stored, case: Case, scale: strip.Scale, limit: float | None) -> str:
    title = f"<h3>{pill(case.verdict)} {text(case.label)}</h3>" if case.label else ""
    said = "".join(
        f'<p class="said">{sentence(finding["sentence"])}</p>'
        for finding in case.findings
        if finding.get("sentence")
    )
    stages = {stage: stage_pairs(report, case, stage) for stage in STAGES}
    cpu = case.cpu["verdict"] if case.cpu else "same"
    picture = strip.pairs(stages, limit, cpu)
    if picture:
        picture = (
            f"<figure>{picture}<figcaption>CPU time of each process pair, this code against the "
            "baseline's, in the order of measuring from top to bottom; line and band: mean ± 3 se."
            f"{_wall(report, case)}</figcaption></figure>"
        )
    return (
        f'<section class="case">{title}{said}{_witnesses(case, scale, limit)}{picture}'
        f"{_grew(growth(report, case))}</section>"
    )


def _wall(report: Stored, case: Case) -> str:
    ratios = ((report.get("pairs") or {}).get(case.name) or {}).get("wall") or ()
    words = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return f" Wall time, this code over the baseline's, pair by pair: {words}." if words else ""


def _witnesses(case: Case, scale: strip.Scale, limit: float | None) -> str:
    """A row for each witness that is timed, changed or wrong; the equal ones folded."""
    shown: list[Stored] = []
    equal: list[Stored] = []
    for finding in case.findings:
        numbers = [finding.get(key) for key in ("before", "now", "change")]
        if numbers == [None] * 3 and finding.get("sentence"):
            continue  # the sentence has said it all
        differs = numbers[0] is not None and numbers[0] != numbers[1]
        timed = finding["witness"] in _ALWAYS
        noted = timed or differs or finding["verdict"] not in _EQUAL
        (shown if noted else equal).append(finding)
    rows = "".join(_witness(finding, scale, limit) for finding in shown)
    table = (
        '<div class="wide"><table class="witnesses"><thead><tr><th>witness</th>'
        '<th class="num">baseline</th><th class="num">this code</th>'
        f'<th class="num">change ± 3 se</th><th class="picture">{strip.axis(scale, None)}</th>'
        f"<th>verdict</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
    values = "".join(
        f"<li>{text(finding['witness'])} <b>{text(_equal(finding))}</b></li>" for finding in equal
    )
    title = f"{len(equal)} the same"
    return (table if shown else "") + _folded(title, f'<ul class="equal">{values}</ul>', equal)


def _equal(finding: Stored) -> str:
    if finding.get("now") is None:
        return str(finding["verdict"])
    return value(finding["witness"], finding["now"])


def _witness(finding: Stored, scale: strip.Scale, limit: float | None) -> str:
    name, verdict, moved = finding["witness"], finding["verdict"], finding.get("change")
    picture = ""
    if moved is not None:
        its_limit = limit if name == "cpu" else None
        picture = strip.interval(scale, moved, finding.get("plus_minus"), verdict, its_limit)
    unit = " <small>before ÷ after, &gt; 1 is faster</small>" if name == "claim" else ""
    return (
        f"<tr><td>{text(name)}{unit}</td>"
        f"{amount(before(finding))}{amount(value(name, finding.get('now')))}"
        f"{amount(change(finding))}"
        f'<td class="picture">{picture}</td><td>{pill(verdict)}</td></tr>'
    )


def _grew(kinds: dict[str, list[tuple[str, float, float]]]) -> str:
    """What grew, a table for each kind, largest growth first as the report has it."""
    if not kinds:
        return ""
    tables = []
    for kind, rows in kinds.items():
        lines = [_grown(kind, *row) for row in rows]
        rest = lines[_GREW_SHOWN:]
        tables.append(
            _grew_table(kind, lines[:_GREW_SHOWN])
            + _folded(f"{len(rest)} more", _grew_table(kind, rest), rest)
        )
    return f'<div class="grew"><h4>What grew</h4>{"".join(tables)}</div>'


def _grew_table(kind: str, rows: Sequence[str]) -> str:
    return (
        f'<div class="wide"><table><thead><tr><th>{text(kind)}</th><th class="num">baseline</th>'
        '<th class="num">this code</th><th class="num">more</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _grown(kind: str, name: str, old: float, now: float) -> str:
    more = grown_value(kind, now - old)
    share = relative(now / old - 1) if old else "new"
    return (
        f'<tr><td class="what">{code(name)}</td>'
        f"{amount(grown_value(kind, old))}{amount(grown_value(kind, now))}"
        f'<td class="num"><b>{"+" if now > old else ""}{text(more)}</b> '
        f'<span class="aside">{text(share)}</span></td></tr>'
    )


def _folded(title: str, body: str, what: Sequence[Any] | str = "") -> str:
    return f'<details class="more"><summary>{text(title)}</summary>{body}</details>' if what else ""


# --- words


def text(words: object) -> str:
    """Escaped for HTML, in attribute values too."""
    return escape(clean(words), quote=True)


def amount(words: str, kind: str = "num") -> str:
    """A cell with a number; one with a dash, for nothing, is marked as such."""
    if words == "-":
        return f'<td class="{kind} none">-</td>'
    return f'<td class="{kind}">{text(words).replace("-", _MINUS)}</td>'


def code(words: object) -> str:
    return f"<code>{text(words)}</code>"


def sentence(words: str) -> str:
    """A sentence; what stands between backticks is something to type."""
    return "".join(code(piece) if typed else text(piece) for typed, piece in code_spans(words))


def pill(verdict: str) -> str:
    return f'<span class="pill t-{tone(verdict)}">{text(verdict)}</span>'


def tone(verdict: str) -> str:
    """The colour of a verdict; an unknown one is drawn like a failure."""
    return TONES.get(verdict, "bad")
