"""The page's pictures over time: a lane for each thread that works, its idle time left blank."""

from __future__ import annotations

from collections.abc import Sequence

import _colours
import _findings
import _model
import _trend
import _words
from _html import axis, percent, phase, step_area, text, ticks

MOST_LANES = 32
_BINS = 240  # of one lane; fewer where there are many lanes
_ALL_BINS = 3000
_LABELS = 8  # trial numbers above the lanes


def section(profile: _model.Profile) -> str:
    """Lanes of workers under a ruler of trials; empty without lanes."""
    if not profile.lanes:
        return ""
    ordered = _ordered(profile)
    shown = ordered[:MOST_LANES]
    bins = max(90, min(_BINS, _ALL_BINS // len(shown)))
    rows = "".join(_lane(profile, lane, bins) for lane in shown)
    more = ""
    if len(ordered) > len(shown):
        more = (
            f'<p class="hint">{len(ordered) - len(shown)} more lanes, less busy, are not shown.</p>'
        )
    return (
        f'<section id="lanes"><h2>{_title(profile)}</h2>'
        f'<p class="hint">{_hint(bool(profile.trials))}</p>'
        f'<div class="card timed">{ruler(profile)}{rows}'
        f'<div class="lane axes"><span></span>{seconds_axis(profile.duration_s)}<span></span></div>'
        f"</div>{legend(profile)}{more}</section>"
    )


def _title(profile: _model.Profile) -> str:
    busy = _findings.busy_share(profile)
    share = _words.share(busy or 0.0)
    return (
        f"Workers: {share} busy" if len(profile.lanes) > 1 else f"The study over time: {share} busy"
    )


def _hint(trials: bool) -> str:
    said = (
        "A lane is a thread. Its height is how much of that moment went into each phase; hatched "
        "is <b>idle</b>."
    )
    if trials:
        said += (
            " Numbers above are trials, where they ended: if they drift apart, trials get slower."
        )
    return said


def _ordered(profile: _model.Profile) -> list[_model.Lane]:
    """The busiest where not all fit, then as they began."""
    lanes = list(profile.lanes)
    if len(lanes) > MOST_LANES:
        lanes.sort(key=lambda lane: -lane.busy_s)
        return sorted(lanes[:MOST_LANES], key=lambda lane: lane.start_s) + lanes[MOST_LANES:]
    return sorted(lanes, key=lambda lane: (lane.start_s, lane.pid, lane.thread))


def _lane(profile: _model.Profile, lane: _model.Lane, bins: int) -> str:
    length = lane.end_s - lane.start_s
    busy = _words.share(lane.busy_s / length) if length > 0 else "-"
    name = f"{lane.pid} {_words.clean(lane.thread, 60)}".strip()
    left, width = percent(lane.start_s, profile.duration_s), percent(length, profile.duration_s)
    return (
        f'<div class="lane"><span class="who" title="{text(name)}"><b>{lane.pid}</b> '
        f"{text(lane.thread, 60)}</span>"
        f'<div class="strip"><u style="left:{left};width:{width}"></u>'
        f'<svg viewBox="0 0 {bins} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{text(name)}, {busy} busy">{areas(lane.segments, profile.duration_s, bins)}'
        f'</svg></div><span class="num">{busy}<small> busy</small></span></div>'
    )


def areas(segments: Sequence[_model.Segment], duration_s: float, bins: int) -> str:
    """Stacked phases of one lane; a bin's height is the share of its time that has a phase."""
    filled = binned(segments, duration_s, bins)
    if not filled:
        return ""
    width = duration_s / bins
    return stacked({name: [100 * one / width for one in row] for name, row in filled.items()})


def stacked(heights: dict[str, list[float]]) -> str:
    """Stepped areas on top of each other, in the order of `_colours`; heights from 0 to 100."""
    below = [0.0] * len(next(iter(heights.values())))
    paths = []
    for name in sorted(heights, key=_colours.rank):
        below = [one + more for one, more in zip(below, heights[name], strict=True)]
        tops = [min(100, round(top)) for top in below]
        if any(round(one) for one in heights[name]):
            title = f"<title>{text(name)}</title>"
            shape = f'<path class="{_colours.css_class(name)}" d="{step_area(tops)}">{title}</path>'
            paths.append(shape)
    return "".join(reversed(paths))  # the tallest first: each next one covers its lower part


def binned(
    segments: Sequence[_model.Segment], duration_s: float, bins: int
) -> dict[str, list[float]]:
    """Seconds of each phase in each of `bins` equal parts of the recording; idle ones left out."""
    edges = [duration_s * n / bins for n in range(bins + 1)]
    return _trend.between(segments, edges) if duration_s > 0 else {}


def ruler(profile: _model.Profile) -> str:
    """Trial numbers where the trials ended; empty where none did."""
    ends = sorted(trial.end_s for trial in profile.trials if trial.end_s is not None)
    if not ends:
        return ""
    scale = ticks(len(ends), _LABELS)
    step = max(1, round(scale[-1] / (len(scale) - 1)))
    places = [
        (percent(ends[n - 1], profile.duration_s), f"{n:,}")
        for n in range(step, len(ends) + 1, step)
    ]
    return (
        '<div class="lane axes"><span class="what">trials</span>'
        f"{axis(places, 'above')}<span></span></div>"
    )


def seconds_axis(duration_s: float) -> str:
    """Round seconds of the recording."""
    return axis(
        [(percent(tick, duration_s), _round_seconds(tick)) for tick in ticks(duration_s, 6)]
    )


def _round_seconds(value: float) -> str:
    return "0" if value == 0 else f"{value:g} s" if value < 600 else f"{value / 60:g} min"


def legend(profile: _model.Profile) -> str:
    """Colours of the phases that are there."""
    names = sorted((one.name for one in profile.phases if one.seconds > 0), key=_colours.rank)
    return f'<div class="legend">{"".join(phase(name) for name in names)}</div>' if names else ""
