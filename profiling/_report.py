"""Everything a recording leaves for people: page, JSON, speedscope file, table in the terminal.

For the scripts that record::

    page = _report.write(profile, recording)        # report.html, profile.json, speedscope.json
    for line in _report.lines(profile): say(line)   # the table, as wide as the terminal

Both fill in the advice where the profile holds none.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import _advice
import _model
import _page
import _record
import _speedscope
import _terminal

PAGE, JSON, SPEEDSCOPE = "report.html", "profile.json", "speedscope.json"
_OF_OTHERS = {  # what else may lie in the folder, in words
    "samples.speedscope.json": "all samples, in their order, for speedscope.app",
    SPEEDSCOPE: "the same stacks for speedscope.app",
    JSON: "every figure of this page; what compare.py reads",
    "run.json": "how the study was run",
    "stacks.txt": "collapsed stacks",
    "flamegraph.svg": "py-spy's own picture",
}
_KINDS = {".html": "memray's own page", ".bin": "memray's own recording, for `memray stats FILE`"}


def complete(profile: _model.Profile) -> _model.Profile:
    """The profile with advice; unchanged where it has some."""
    if profile.advice:
        return profile
    return dataclasses.replace(profile, advice=_advice.advise(profile))


def write(profile: _model.Profile, recording: _record.Recording, stem: str = "") -> Path:
    """Write report, JSON and, where there are stacks, the speedscope file; each whole or not.

    stem: put before the names, for a second profile in the same folder. Returns the page's path.
    Raises OSError.
    """
    profile = complete(profile)
    _keep(recording, stem + JSON, _model.to_json(profile))
    if profile.flame is not None and profile.flame.stacks:
        _keep(recording, stem + SPEEDSCOPE, _speedscope.rendered(profile))
    beside = files_beside(recording.folder, stem + PAGE)
    return _keep(recording, stem + PAGE, _page.render(profile, beside))


def lines(profile: _model.Profile, width: int | None = None) -> list[str]:
    """The profile in the terminal; coloured where stderr is one and NO_COLOR is not set."""
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    columns = width or shutil.get_terminal_size((100, 24)).columns
    return _terminal.lines(complete(profile), columns, colour)


def files_beside(folder: Path, page: str) -> Sequence[tuple[str, str]]:
    """What lies in the folder beside the page: (name, what it is)."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == page or not path.is_file():
            continue
        known = next((said for name, said in _OF_OTHERS.items() if path.name.endswith(name)), "")
        found.append((path.name, known or _KINDS.get(path.suffix, "")))
    return found


def _keep(recording: _record.Recording, name: str, text: str) -> Path:
    # A file name that is not UTF-8 reaches Python as surrogates: kept readable, as escapes.
    recording.draft(name).write_text(text, encoding="utf-8", errors="backslashreplace")
    return recording.keep(name)
