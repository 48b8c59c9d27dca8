"""The page's head: the numbers, then the same in a few sentences."""

from __future__ import annotations

from dataclasses import dataclass

import _findings
import _model
import _trend
import _words
from _html import text


@dataclass(frozen=True)
class Tile:
    """One number with its name above and a note below."""

    name: str
    value: str
    note: str = ""
    bad: bool = False


def section(profile: _model.Profile) -> str:
    """Title, numbers, sentences."""
    lead, *more = [text(one, 600) for one in _findings.sentences(profile)]
    rest = "".join(f"<li>{one}</li>" for one in more)
    cells = "".join(map(_cell, tiles(profile)))
    return (
        f'<header><p class="kicker">{text(profile.kind)} profile of a study</p>'
        f'<h1>{text(profile.title, 160)}</h1><ul class="tiles">{cells}</ul>'
        f'<div class="said"><p class="lead">{lead}</p>{f"<ul>{rest}</ul>" if rest else ""}</div>'
        "</header>"
    )


def _cell(tile: Tile) -> str:
    bad = ' class="grows"' if tile.bad else ""
    return (
        f"<li><span>{text(tile.name)}</span><b{bad}>{text(tile.value)}</b>"
        f"<small>{text(tile.note)}</small></li>"
    )


def tiles(profile: _model.Profile) -> list[Tile]:
    """The numbers that are known."""
    found = [Tile("took", _words.seconds(profile.duration_s))]
    if profile.trials:
        states = ", ".join(_findings.states(profile))
        found.append(Tile("trials", f"{len(profile.trials):,}", states))
    per_trial = _findings.trial_ms(profile)
    if per_trial is not None:
        found.append(
            Tile("a trial costs", _words.milliseconds(per_trial), "all processes together")
        )
    growth = _trend.growth(profile)
    if growth is not None:
        change = f"{_words.milliseconds(growth.first_ms)} → {_words.milliseconds(growth.last_ms)}"
        ratio = _words.times(growth.first_ms, growth.last_ms) or "-"
        found.append(Tile("first → last tenth", ratio, change, growth.trend > 0))
    busy = _findings.busy_share(profile)
    if busy is not None:
        lanes = _words.counted(len(profile.lanes), "lane")
        found.append(Tile("at work", _words.share(busy), f"of {lanes}"))
    return found + _memory(profile)


def _memory(profile: _model.Profile) -> list[Tile]:
    memory = profile.memory
    if memory is None:
        return []
    found = [Tile("peak", _words.size(memory.peak_bytes), _findings.held(memory))]
    if memory.leak is not None:
        grows, bad = memory.leak.low > 0, _findings.leaks(profile)
        value = _words.size(memory.leak.bytes_per_100_trials) if grows else "none seen"
        note = "per 100 trials, which is little" if grows and not bad else "per 100 trials"
        found.append(Tile("growth", value, note, bad))
    return found
