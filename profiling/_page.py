"""A profile as one HTML file that needs nothing else: no network, no font, no picture.

_page_top      the first numbers        _page_phases  the phase table
_page_lanes    lanes of workers         _page_cost    what a trial costs along the study
_page_memory   curve, growth, holders   _flame_tree   what `_flame.js` draws

A content policy in the page forbids every request, and every script but the page's own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

import _flame_tree
import _model
import _page_cost
import _page_lanes
import _page_memory
import _page_phases
import _page_top
import _words
from _html import data, phase, prose, text

_HERE = Path(__file__).resolve().parent
_MOST_ADVICE = 3  # phases whose advice is open at once
_MOST_MARKS = 4000  # ends of trials that the pointer over a picture can name
_RUN = (  # the key in `Profile.run`, what it is called
    ("command", "Command"),
    ("working_directory", "In"),
    ("interpreter", "Interpreter"),
    ("python_version", "Python"),
    ("start_utc", "Started"),
    ("platform", "Machine"),
    ("tool", "Recorded by"),
    ("rate_hz", "Samples a second"),
    ("samples", "Samples"),
    ("sampling_errors", "Samples that failed"),
    ("study_exit_code", "Exit code of the study"),
)


def render(profile: _model.Profile, beside: Sequence[tuple[str, str]] = ()) -> str:
    """The page: a pure function of the profile.

    beside: files in the same folder, (name, what it is), linked at the end.
    """
    script = _read("_flame.js") + _read("_page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    body = [
        _page_top.section(profile),
        _remarks(profile),
        _page_phases.section(profile),
        _advice(profile),
        _flame(profile),
        _page_lanes.section(profile),
        _page_cost.section(profile),
        _page_memory.section(profile),
        _run(profile, beside),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(_words.clean(profile.title, 80))}: {profile.kind} profile</title>\n"
        f"<style>{_read('_page.css')}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + f'\n</main>\n<script type="application/json" id="marks">{_marks(profile)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _remarks(profile: _model.Profile) -> str:
    notes = list(profile.remarks)
    if profile.trials_absent and profile.trials_absent not in notes:
        notes.append(f"No trials are marked: {profile.trials_absent}")
    if not notes:
        return ""
    items = "".join(f"<li>{text(note, 1000)}</li>" for note in notes)
    return f'<ul class="remarks">{items}</ul>'


def _advice(profile: _model.Profile) -> str:
    if not profile.advice:
        return ""
    phases = list(dict.fromkeys(one.phase for one in profile.advice))
    cards = [_card([one for one in profile.advice if one.phase == name]) for name in phases]
    less = ""
    if rest := cards[_MOST_ADVICE:]:
        names = text(_words.listed([_words.clean(name, 40) for name in phases[_MOST_ADVICE:]]), 600)
        less = (
            f'<details class="less"><summary>Smaller: {names}</summary>'
            f'<ul class="advice">{"".join(rest)}</ul></details>'
        )
    return (
        '<section id="advice"><h2>What would help</h2>'
        f'<ul class="advice">{"".join(cards[:_MOST_ADVICE])}</ul>{less}</section>'
    )


def _card(given: Sequence[_model.Advice]) -> str:
    """All advice for one phase."""
    share = _words.share(given[0].share) if given[0].share > 0 else ""
    pieces = "".join(
        f'<div class="piece"><p>{prose(one.text)}</p>'
        + (f'<p class="figure">{prose(one.figure)}</p>' if one.figure else "")
        + (f"<p><small>{prose(one.source)}</small></p>" if one.source else "")
        + "</div>"
        for one in given
    )
    return (
        f'<li class="card"><div class="of">{phase(given[0].phase)}<b>{share}</b></div>'
        f"<div>{pieces}</div></li>"
    )


def _flame(profile: _model.Profile) -> str:
    if profile.flame is None or not profile.flame.stacks:
        return ""
    tree, smallest = _flame_tree.encoded(
        profile.flame, str(profile.run.get("working_directory", ""))
    )
    return (
        '<section id="flame"><h2>Which calls take it</h2><p class="hint">Callers above, what they '
        "call below; width is time. A box has the colour of its phase, or is grey with a "
        "strip of its phases. Click to zoom in, which also shows what is narrow and deep "
        "below; Esc to go back, arrow keys to walk. Boxes "
        f"below {100 * smallest:.2g}% of the whole are left out.</p>"
        '<div class="card flame"><div class="tools"><input type="search" id="search" '
        'placeholder="Search functions and files" aria-label="Search functions and files" '
        'spellcheck="false" autocomplete="off"><output id="found"></output>'
        '<button type="button" id="reset" hidden>Show all</button></div>'
        '<div class="chips" id="chips"></div>'
        '<div class="about" id="about" aria-live="polite"></div>'
        '<div class="frames" id="frames" tabindex="0" role="img" aria-label="Flame graph"></div>'
        "</div>"
        "<noscript><p>The flame graph is drawn by the page's own script, which is switched off "
        "here.</p></noscript>"
        f'<script type="application/json" id="tree">{data(tree)}</script></section>'
    )


def _run(profile: _model.Profile, beside: Sequence[tuple[str, str]]) -> str:
    rows = [
        (label, _value(profile.run[key]))
        for key, label in _RUN
        if profile.run.get(key) not in (None, "")
    ]
    cells = "".join(f"<dt>{label}</dt><dd>{value}</dd>" for label, value in rows)
    files = "".join(
        f'<li><a href="{text(urllib.parse.quote(name, errors="replace"))}">{text(name)}</a> '
        f"<small>{text(said)}</small></li>"
        for name, said in beside
    )
    listed = f"<h3>Beside this page</h3><ul>{files}</ul>" if files else ""
    facts = f'<dl class="facts">{cells}</dl>' if cells else ""
    return f'<section id="run"><h2>The run</h2>{facts}{listed}</section>' if facts or listed else ""


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"<code>{text(shlex.join(map(str, value)), 2000)}</code>"
    return text(value, 500)


def _marks(profile: _model.Profile) -> str:
    """When trials ended, for the line that follows the pointer: [seconds, [[second, number]]]."""
    ended = sorted((t.end_s, t.number) for t in profile.trials if t.end_s is not None)
    step = max(1, -(-len(ended) // _MOST_MARKS))
    marks = [[round(at, 3), number] for at, number in ended[::step]]
    return data(json.dumps([round(profile.duration_s, 3), marks], separators=(",", ":")))
