"""The page that links to the profiles of all hot paths, before beside after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import _colours
import _html
import _report
import _words
from _html import text

KINDS, SIDES = ("time", "memory"), ("before", "after")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_HINT = (
    "Each side ran alone under the profiler, which slows it: how many calls it made says which is "
    "faster, `nox -s claims` says by how much. Phases are those of a study; what prepares the "
    "workload counts as objective."
)


@dataclass(frozen=True)
class Shot:
    """One profile of one side of a hot path; `folder` is relative to the index."""

    path: str
    side: str
    kind: str
    code: int
    folder: str  # empty: there is no profile
    said: str  # its figures, or why there is none
    workload: str = ""
    phases: tuple[tuple[str, float], ...] = ()  # with their shares, the largest first


def index(shots: Sequence[Shot], about: str = "") -> str:
    """One row a hot path; about: when and where they were recorded."""
    kinds = [kind for kind in KINDS if any(shot.kind == kind for shot in shots)]
    known = {(shot.path, shot.kind, shot.side): shot for shot in shots}
    over = "".join(f'<th colspan="{len(SIDES)}">{kind}</th>' for kind in kinds)
    sides = "".join(f"<th>{side}</th>" for _ in kinds for side in SIDES)
    rows = "".join(
        f"<tr>{_named(path, shots)}"
        + "".join(_cell(known.get((path, kind, side))) for kind in kinds for side in SIDES)
        + "</tr>\n"
        for path in dict.fromkeys(shot.path for shot in shots)
    )
    style = Path(__file__).with_name("_page.css").read_text(encoding="utf-8")
    kicker = "profiles of this repository" + (f", {text(about)}" if about else "")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<title>hot paths</title>\n'
        f"<style>{style}{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<p class="kicker">{kicker}</p><h1>Hot paths, before and after</h1>\n'
        f'<p class="hint">{_html.prose(_HINT)}</p>\n<div class="card wide"><table class="index">'
        f'<thead><tr><th rowspan="2">hot path</th>{over}</tr><tr>{sides}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>\n</main>\n</body>\n</html>\n"
    )


_STYLE = """
h1 + .hint { margin: 8px 0 16px; }
table.index thead th { vertical-align: bottom; padding-bottom: 2px; }
table.index thead tr + tr th { padding: 0 14px 6px 0; font-weight: 400; }
table.index td { min-width: 150px; }
table.index td small { display: block; line-height: 1.4; color: var(--soft); }
table.index .name { font-weight: 600; overflow-wrap: normal; }
table.index .name small { font-weight: 400; }
table.index .whole { height: 9px; margin: 5px 0 3px; border-radius: 3px; max-width: 260px; }
"""


def _named(path: str, shots: Sequence[Shot]) -> str:
    workload = next((shot.workload for shot in shots if shot.path == path and shot.workload), "")
    said = f"<small>{text(workload).replace(',', ',<wbr>')}</small>" if workload else ""
    return f'<td class="name">{text(path)}{said}</td>'


def _cell(shot: Shot | None) -> str:
    if shot is None:
        return '<td class="none">not yet</td>'
    if not shot.folder:
        return f"<td><b>no profile</b><small>{text(shot.said)}</small></td>"
    parts = "".join(
        f'<i class="{_colours.css_class(name)}" style="width:{_html.percent(share, 1.0)}" '
        f'title="{text(name)} {_words.share(share)}"></i>'
        for name, share in shot.phases
    )
    bar = f'<div class="whole">{parts}</div>' if parts else ""
    link = text(f"{shot.folder}/{_report.PAGE}")
    return f'<td><a href="{link}">profile</a>{bar}<small>{text(shot.said)}</small></td>'
