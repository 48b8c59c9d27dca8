"""A stored report as one HTML file that needs nothing else: no network, no script, no font.

html        the page: verdict, what was compared, how to read it, the summary table
html_path   the section of one hot path
html_style  the style sheet, light and dark
strip       the pictures
"""

from __future__ import annotations

from collections.abc import Sequence

from . import strip
from .html_path import amount, code, pill, section, sentence, text, tone
from .html_style import STYLE
from .table import seconds, some
from .view import (
    Case,
    Stored,
    cases,
    change,
    changed_counters,
    counting_words,
    environment_words,
    grew_most,
    rule_words,
    short,
    value,
    verdict_line,
)

_TONES = {0: "good", 1: "bad", 2: "bad", 3: "warn", 4: "warn"}


def render(report: Stored) -> str:
    """The page of a report: a pure function of what `Report.write` stored."""
    found = cases(report)
    limit = cpu_limit(report)
    scale = strip.common_scale(_cpu_intervals(found), limit or 0.0)
    anchors = {path: f"path-{n}" for n, path in enumerate(dict.fromkeys(c.path for c in found))}
    word, rest = verdict_line(report)
    sections = [
        section(report, path, [case for case in found if case.path == path], anchor, scale, limit)
        for path, anchor in anchors.items()
    ]
    body = [
        _verdict(report, word, rest),
        _compared(report),
        _list("Not measured here", report.get("exempt") or ()),
        _list("Notes", report.get("notes") or ()),
        "<h2>Summary</h2>",
        _how_to_read(),
        _summary(report, found, anchors, scale, limit),
        "<h2>Hot paths</h2>" if sections else "",
        *sections,
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>Gate: {text(word)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def cpu_limit(report: Stored) -> float | None:
    """The change of CPU time above which a path fails; None if the report holds no rule."""
    limit = (report.get("rule") or {}).get("fail_mean_above")
    return None if limit is None else float(limit)


def _cpu_intervals(found: Sequence[Case]) -> list[tuple[float, float]]:
    return [
        (case.cpu["change"], case.cpu.get("plus_minus") or 0.0)
        for case in found
        if case.cpu is not None and case.cpu.get("change") is not None
    ]


def _verdict(report: Stored, word: str, rest: str) -> str:
    shade = _TONES.get(report.get("exit_code", 2), "bad")
    return (
        f'<header class="verdict t-{shade}"><h1><span class="word">{text(word)}</span> '
        f"<span>{text(rest)}</span></h1></header>"
    )


def _compared(report: Stored) -> str:
    """What was compared, where, and by which rule."""
    rows = [
        (
            "This code",
            f"tree {code(short(report.get('tree')))}, the working tree on commit "
            f"{code(short(report.get('commit')))}{_uncommitted(report)}",
        ),
        ("Against", _against(report)),
        ("Environment", text(environment_words(report.get("environment") or {}))),
        ("Counted by", text(counting_words(report.get("environment") or {}))),
        ("CPU time", text(rule_words(report.get("rule") or {}))),
        ("Run", text(_when(report))),
        ("Gate", f"<small>source {code(report['gate'])}</small>" if report.get("gate") else ""),
    ]
    cells = "".join(f"<dt>{name}</dt><dd>{words}</dd>" for name, words in rows if words)
    return f'<dl class="facts">{cells}</dl>'


def _uncommitted(report: Stored) -> str:
    files = report.get("uncommitted")
    return f"; not committed: {text(some(files))}" if files else ""


def _against(report: Stored) -> str:
    stored = report.get("baselines") or {}
    commits: dict[str, list[str]] = {}
    for path, baseline in stored.items():
        commits.setdefault(str(baseline.get("commit") or "?"), []).append(path)
    parts = [
        f"{code(short(commit))} ({text(stored[paths[0]].get('date', '?'))}, {_paths(len(paths))})"
        for commit, paths in commits.items()
    ]
    return f"baseline of commit {', of '.join(parts)}" if parts else ""


def _paths(number: int) -> str:
    return "1 hot path" if number == 1 else f"{number} hot paths"


def _when(report: Stored) -> str:
    date = str(report.get("date", "")).replace("T", " ").replace("+00:00", " UTC")
    took = report.get("seconds")
    return date + (f", {seconds(float(took))}" if took is not None else "")


def _list(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{sentence(line)}</li>" for line in lines)
    return f'<section class="lines"><h2>{title}</h2><ul>{items}</ul></section>'


def _how_to_read() -> str:
    return (
        '<p class="hint"><b>Change</b>: this code against its baseline; &gt; 0 is slower or more. '
        "CPU changes are means over pairs of fresh processes, one per side, alternated on this "
        "machine; <b>se</b> is the standard error of that mean. The bar starts at zero and ends "
        "at the mean, its whisker spans ± 3 se, the dashed line is the limit of the mean; an arrow "
        "means that the change lies beyond the axis. Counters are exact.</p>"
    )


def _summary(
    report: Stored,
    found: Sequence[Case],
    anchors: dict[str, str],
    scale: strip.Scale,
    limit: float | None,
) -> str:
    if not found:
        return '<p class="hint">Nothing was measured.</p>'
    head = (
        '<th>verdict</th><th>hot path</th><th class="num">CPU a call</th>'
        f'<th class="num">change ± 3 se</th><th class="picture">{strip.axis(scale, limit)}</th>'
        "<th>counters</th>"
    )
    rows = "\n".join(_row(report, case, anchors[case.path], scale, limit) for case in found)
    return (
        f'<div class="wide"><table class="summary"><thead><tr>{head}</tr></thead>\n'
        f"{rows}\n</table></div>"
    )


def _row(report: Stored, case: Case, anchor: str, scale: strip.Scale, limit: float | None) -> str:
    """One case; below it, what is wrong with it."""
    cpu = case.cpu
    picture, counters = "", changed_counters(case)
    if cpu is not None and cpu.get("change") is not None:
        picture = strip.interval(scale, cpu["change"], cpu.get("plus_minus"), cpu["verdict"], limit)
    label = f' <span class="label">{text(case.label)}</span>' if case.label else ""
    name = f'<a href="#{anchor}">{text(case.path)}</a>{label}'
    lines = [f["sentence"] for f in case.findings if f.get("sentence")]
    said = "".join(f"<p>{sentence(line.removeprefix(case.name + ', '))}</p>" for line in lines)
    if grew := grew_most(report, case):
        said += f"<p>what grew most: {text(grew)}</p>"
    why = f'<tr class="why"><td></td><td colspan="5">{said}</td></tr>' if said else ""
    return (
        f'<tbody class="t-{tone(case.verdict)}"><tr class="row">'
        f'<td class="v">{pill(case.verdict)}</td><td class="n">{name}</td>'
        f"{amount(value('cpu', cpu.get('now') if cpu else None), 'num cpu')}"
        f"{amount(change(cpu), 'num change')}"
        f'<td class="picture{"" if picture else " none"}">{picture}</td>'
        f'<td class="c{" none" if counters == "-" else ""}">{text(counters)}</td>'
        f"</tr>{why}</tbody>"
    )
