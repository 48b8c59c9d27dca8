"""The profile in the terminal: the numbers, the phases, what grew, what would help."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

import _findings
import _model
import _trend
import _words

NARROWEST = 60  # columns; a narrower terminal breaks the lines itself
_BAR = 8
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_MOST_LANES, _MOST_ALLOCATORS, _MOST_ADVICE = 8, 5, 3
_BOLD, _RED, _DIM, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


def lines(profile: _model.Profile, width: int = 100, colour: bool = False) -> list[str]:
    """Lines of at most `width` columns (60 at least); colour: with escape codes for bold and red.

    What comes from the study is printed without its control characters.
    """
    width = max(width, NARROWEST)
    parts = [
        _top(profile, width),
        _phases(profile, width),
        _lanes(profile, width),
        _memory(profile, width),
        _advice(profile, width),
        _remarks(profile, width),
    ]
    found = [line for part in parts if part for line in ("", *part)][1:]
    return [_painted(line) if colour else _bare(line) for line in found]


# Marks that no text of the study can hold, since it is cleaned: \x01 bold, \x02 red, \x03 end.
def _painted(line: str) -> str:
    return line.replace("\x01", _BOLD).replace("\x02", _RED).replace("\x03", _PLAIN)


def _bare(line: str) -> str:
    return re.sub("[\x01-\x03]", "", line)


def _bold(text: str) -> str:
    return f"\x01{text}\x03"


def _wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )


def _top(profile: _model.Profile, width: int) -> list[str]:
    facts = [_words.seconds(profile.duration_s), _findings.trials_in_words(profile)]
    per_trial = _findings.trial_ms(profile)
    if per_trial is not None:
        facts.append(f"{_words.milliseconds(per_trial)} a trial")
    title = _words.clean(profile.title, width)
    found = [_bold(title), *_wrapped(", ".join(facts), width)]
    for one in _findings.sentences(profile):
        found += _wrapped(one, width)
    return found


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: str) -> list[str]:
    """Lines of a table; `right` has an r for each column that is aligned to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(size) if side == "r" else cell.ljust(size)
            for cell, size, side in zip(row, widths, right, strict=True)
        )
        return "  ".join(cells).rstrip()

    return [line(head), "  ".join("─" * size for size in widths), *map(line, rows)]


def _phases(profile: _model.Profile, width: int) -> list[str]:
    ranked = _findings.ranked(profile)
    if not ranked:
        return []
    tenths = _trend.growth(profile) is not None
    head = ["phase", "time", "share", ""]
    rows = [
        [
            _words.clean(one.name, 24),
            _words.seconds(one.seconds),
            _words.share(one.share),
            _bar(one.share / max(ranked[0].share, 1e-9)),
        ]
        for one in ranked
    ]
    right = "lrrl"
    if tenths:
        head += ["a trial", "first → last tenth", ""]
        right += "rrl"
        for row, one in zip(rows, ranked, strict=True):
            row += [_words.milliseconds(one.ms_per_trial), _tenths(one), _factor(profile, one)]
    found = table(head, rows, right)
    room = width - max(map(len, found)) - 2
    if room >= 24:
        found = _with_hot(profile, ranked, found, room)
    return [line[:width] for line in found]


def _with_hot(
    profile: _model.Profile, ranked: Sequence[_model.Phase], found: list[str], room: int
) -> list[str]:
    """The same lines with the hottest line of each phase behind them."""
    wide = max(map(len, found))
    folder = str(profile.run.get("working_directory", ""))
    places = ["hottest line", "─" * min(room, 40)]
    for one in ranked:
        hot = max(one.hot, key=lambda hot: hot.seconds, default=None)
        text = ""
        if hot is not None:
            where = _words.place(hot.file, hot.line, folder)
            text = f"{_words.clean(hot.function, 40)}  {where}"
            if len(text) > room:
                text = where if len(where) <= room else f"…{where[len(where) - room + 1 :]}"
        places.append(text)
    return [
        f"{line.ljust(wide)}  {place}".rstrip() for line, place in zip(found, places, strict=True)
    ]


def _bar(part: float) -> str:
    eighths = round(max(0.0, min(1.0, part)) * _BAR * 8)
    rest = _EIGHTHS[eighths % 8] if eighths % 8 else ""
    return "█" * (eighths // 8) + rest


def _tenths(one: _model.Phase) -> str:
    if one.first_tenth_ms is None or one.last_tenth_ms is None:
        return "-"
    return f"{_words.milliseconds(one.first_tenth_ms)} → {_words.milliseconds(one.last_tenth_ms)}"


def _factor(profile: _model.Profile, one: _model.Phase) -> str:
    if not _trend.grows(profile, one):
        return ""
    return f"{_words.times(one.first_tenth_ms, one.last_tenth_ms)} grows".strip()


def _lanes(profile: _model.Profile, width: int) -> list[str]:
    if len(profile.lanes) < 2:
        return []
    ordered = sorted(profile.lanes, key=lambda lane: -lane.busy_s)
    rows = []
    for lane in ordered[:_MOST_LANES]:
        length = lane.end_s - lane.start_s
        busy = min(1.0, lane.busy_s / length) if length > 0 else 0.0
        rows.append((str(lane.pid), _words.clean(lane.thread, 32), _words.share(busy), _bar(busy)))
    found = table(("process", "thread", "busy", ""), rows, "rlrl")
    if len(ordered) > _MOST_LANES:
        found.append(f"and {len(ordered) - _MOST_LANES} less busy ones")
    return [line[:width] for line in found]


def _memory(profile: _model.Profile, width: int) -> list[str]:
    memory = profile.memory
    if memory is None:
        return []
    folder = str(profile.run.get("working_directory", ""))
    found = []
    if memory.leak is not None:
        leak = memory.leak
        found += _wrapped(
            f"{_words.clean(leak.function, 60)}  {_words.place(leak.file, leak.line, folder)}: "
            f"this line holds {_words.size(leak.bytes_per_100_trials)} more per 100 trials "
            f"({_words.size(leak.low)} to {_words.size(leak.high)})"
            + ("" if _findings.leaks(profile) or leak.low <= 0 else f": {_findings.LITTLE}"),
            width,
        )
    elif memory.leak_absent:
        found += _wrapped(
            f"growth per trial is not known: {_words.clean(memory.leak_absent)}", width
        )
    ranked = _findings.by_line(memory.allocators)[:_MOST_ALLOCATORS]
    rows = [
        (
            _words.size(one.bytes),
            f"{one.allocations:,}",
            f"{_words.clean(one.function, 40)}  {_words.place(one.file, one.line, folder)}",
        )
        for one in ranked
    ]
    if rows:
        found += table(("at the peak", "allocations", "allocated in"), rows, "rrl")
    lost: dict[str, list[str]] = {}
    for one in memory.processes:
        if not one.recorded:
            lost.setdefault(one.lost, []).append(str(one.pid))
    for reason, pids in lost.items():
        who = f"process {pids[0]}" if len(pids) == 1 else f"processes {', '.join(pids)}"
        found += _wrapped(f"not recorded: {who}: {_words.clean(reason)}", width)
    return [line[:width] for line in found]


def _advice(profile: _model.Profile, width: int) -> list[str]:
    if not profile.advice:
        return []
    phases = list(dict.fromkeys(one.phase for one in profile.advice))
    shown, rest = phases[:_MOST_ADVICE], phases[_MOST_ADVICE:]
    found = [_bold("what would help")]
    for one in profile.advice:
        if one.phase not in shown:
            continue
        share = f" ({_words.share(one.share)})" if one.share > 0 else ""
        name = _words.clean(one.phase)
        found += _wrapped(f"{name}{share}: {_words.clean(one.text, 2000)}", width, "", "  ")
        if one.figure:
            found += _wrapped(_words.clean(one.figure, 1000), width, "  → ", "    ")
        if one.source:
            found += _wrapped(_words.clean(one.source, 1000), width, "    ", "    ")
    if rest:
        names = _words.listed([_words.clean(name, 40) for name in rest])
        found += _wrapped(f"further advice, on the page: {names}", width, "", "  ")
    return found


def _remarks(profile: _model.Profile, width: int) -> list[str]:
    notes = [f"no trials are marked: {profile.trials_absent}"] if profile.trials_absent else []
    notes += profile.remarks
    return [
        line
        for note in notes
        for line in _wrapped(_words.clean(note, 1000), width, "note: ", "      ")
    ]
