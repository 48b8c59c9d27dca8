"""The page's phase table, with the change from the first to the last tenth of the trials."""

from __future__ import annotations

import _colours
import _findings
import _model
import _trend
import _words
from _html import percent, phase, place, text

_HOT, _SMALL = 3, 0.02  # lines shown of each phase; the share below which a further one is not


def section(profile: _model.Profile) -> str:
    """Where the time goes; empty without phases."""
    if not profile.phases:
        return ""
    ranked = _findings.ranked(profile)
    tenths = _trend.growth(profile) is not None
    return (
        '<section id="phases"><h2>Where the time goes</h2>'
        f'<p class="hint">{_hint(profile, tenths)}</p>'
        f'{_bar(profile)}<div class="card wide"><table class="phases'
        f'{"" if tenths else " flat"}"><thead><tr>{_head(tenths)}</tr></thead><tbody>'
        + "".join(_row(profile, one, ranked, tenths) for one in ranked)
        + f"</tbody>{_total(profile, tenths)}</table></div></section>"
    )


def _hint(profile: _model.Profile, tenths: bool) -> str:
    said = (
        "<b>Seconds</b> are those of all threads and processes that work for the study, added "
        "up: two workers that compute for a second are two seconds, and so are two threads of one "
        "process, even where the code of only one of them can run at a time."
    )
    if tenths:
        said += (
            " <b>First → last tenth</b> compares the trials that ended first with those that ended "
            "last: what grows there makes long studies slow. Hollow is the first, filled the last."
        )
    elif profile.trials_absent:
        said += f" Nothing is known per trial: {text(profile.trials_absent)}."
    return said


def _bar(profile: _model.Profile) -> str:
    """All phases in one strip."""
    parts = "".join(
        f'<i class="{_class(one)}" style="width:{percent(one.share, 1)}" '
        f'title="{text(one.name)} {_words.share(one.share)}"></i>'
        for one in _findings.ranked(profile)
        if one.share > 0
    )
    return f'<div class="whole" aria-hidden="true">{parts}</div>'


def _class(one: _model.Phase) -> str:
    return _colours.css_class(one.name)


def _head(tenths: bool) -> str:
    per = '<th class="num">per trial</th>' if tenths else ""
    change = '<th class="change">first → last tenth</th>' if tenths else ""
    return (
        '<th>phase</th><th class="num">seconds</th><th class="share">share</th>'
        f'{per}{change}<th class="hot">lines that take it</th>'
    )


def _row(
    profile: _model.Profile, one: _model.Phase, ranked: list[_model.Phase], tenths: bool
) -> str:
    grown = ' class="grown"' if _trend.grows(profile, one) else ""
    per = (
        f'<td class="num per">{_words.milliseconds(one.ms_per_trial)}</td>'
        f'<td class="change">{_change(profile, one, _widest(ranked))}</td>'
        if tenths
        else ""
    )
    return (
        f'<tr{grown}><td class="name">{phase(one.name)}</td>'
        f'<td class="num">{_words.seconds(one.seconds)}</td>'
        f'<td class="share"><span class="bar"><i class="{_class(one)}" '
        f'style="width:{percent(one.share, ranked[0].share)}"></i></span>'
        f"<b>{_words.share(one.share)}</b></td>"
        f'{per}<td class="hot">{_hot(profile, one)}</td></tr>'
    )


def _widest(ranked: list[_model.Phase]) -> float:
    both = [(one.first_tenth_ms or 0.0, one.last_tenth_ms or 0.0) for one in ranked]
    return max(max(pair) for pair in both)


def _change(profile: _model.Profile, one: _model.Phase, widest: float) -> str:
    first, last = one.first_tenth_ms, one.last_tenth_ms
    if first is None or last is None or not (first or last):
        return '<span class="none">-</span>'
    left, right = sorted((first, last))
    span = percent(right - left, widest)
    grown = ""
    if _trend.grows(profile, one):
        grown = f" <b>{_words.times(first, last) or 'new'}</b>"
    return (
        f'<span class="dumbbell" aria-hidden="true">'
        f'<u class="{_class(one)}" style="left:{percent(left, widest)};width:{span}"></u>'
        f'<i class="from {_class(one)}" style="left:{percent(first, widest)}"></i>'
        f'<i class="to {_class(one)}" style="left:{percent(last, widest)}"></i></span>'
        f'<span class="figures">{_words.milliseconds(first)} → {_words.milliseconds(last)}'
        f"{grown}</span>"
    )


def _hot(profile: _model.Profile, one: _model.Phase) -> str:
    folder = str(profile.run.get("working_directory", ""))
    found = sorted(one.hot, key=lambda hot: -hot.seconds)[:_HOT]
    found = [hot for hot in found if hot is found[0] or hot.seconds >= _SMALL * one.seconds]
    return "".join(
        f'<div title="{text(hot.file, 500)}:{hot.line}"><b>{_of(hot.seconds, one.seconds)}</b> '
        f"<span>{text(hot.function, 80)}</span> "
        f"<small>{place(hot.file, hot.line, folder)}</small></div>"
        for hot in found
    )


def _of(part: float, whole: float) -> str:
    return _words.share(part / whole) if whole > 0 else ""


def _total(profile: _model.Profile, tenths: bool) -> str:
    whole = sum(one.seconds for one in profile.phases)
    per = ""
    if tenths:
        found = _trend.growth(profile)
        assert found is not None  # `tenths` says so
        factor = _words.times(found.first_ms, found.last_ms) if found.trend > 0 else ""
        change = f"{_words.milliseconds(found.first_ms)} → {_words.milliseconds(found.last_ms)}"
        per = (
            f'<td class="num per">{_words.milliseconds(_findings.trial_ms(profile))}</td>'
            f'<td class="change"><span class="figures">{change}'
            f"{f' <b>{factor}</b>' if factor else ''}</span></td>"
        )
    return (
        f'<tfoot><tr><td class="name">together</td><td class="num">{_words.seconds(whole)}</td>'
        f'<td class="share"></td>{per}<td class="hot"></td></tr></tfoot>'
    )
