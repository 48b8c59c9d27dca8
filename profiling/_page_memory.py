"""The page's memory: curve with trial marks, growth per 100 trials, allocators, processes."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import _findings
import _model
import _words
from _html import percent, place, text, ticks
from _page_lanes import ruler, seconds_axis

_MOST_ALLOCATORS, _MOST_CURVES, _MOST_POINTS = 15, 8, 600


def section(profile: _model.Profile) -> str:
    """Everything about memory; empty where none was recorded."""
    memory = profile.memory
    if memory is None:
        return ""
    return (
        '<section id="memory"><h2>Memory</h2>'
        + _leak(profile, memory)
        + _curves(profile, memory)
        + _allocators(profile, memory)
        + _processes(memory)
        + "</section>"
    )


def _folder(profile: _model.Profile) -> str:
    return str(profile.run.get("working_directory", ""))


def _leak(profile: _model.Profile, memory: _model.Memory) -> str:
    leak = memory.leak
    if leak is None:
        why = f"Growth per trial is not known: {text(memory.leak_absent)}."
        return f'<p class="hint">{why}</p>' if memory.leak_absent else ""
    interval = f"{_words.size(leak.low)} to {_words.size(leak.high)}"
    if leak.low <= 0:
        return (
            '<div class="card leak"><p>No growth from trial to trial can be told from noise: '
            f"{_words.size(leak.bytes_per_100_trials)} per 100 trials, interval {interval}.</p>"
            "</div>"
        )
    where = text(_words.place(leak.file, leak.line, _folder(profile)))
    if not _findings.leaks(profile):
        return (
            f'<div class="card leak"><p>It grows little: {_words.size(leak.bytes_per_100_trials)} '
            f"per 100 trials <small>interval {interval}</small>, {_findings.LITTLE}. Most of it "
            f'in <b>{text(leak.function)}</b>, <code title="{text(leak.file, 500)}">{where}</code>'
            "</p></div>"
        )
    return (
        '<div class="card leak bad"><p><b class="big">'
        f"+{_words.size(leak.bytes_per_100_trials)}</b> per 100 trials "
        f"<small>interval {interval}</small></p><p>This line holds so much more after every "
        f'100 trials: <b>{text(leak.function)}</b>, <code title="{text(leak.file, 500)}">{where}'
        f"</code> <small>{_holder(memory, leak)}</small></p></div>"
    )


def _holder(memory: _model.Memory, leak: _model.Leak) -> str:
    """The growth is that of all processes together."""
    count = len(_heaps(memory))
    if count < 2:
        return f"process {leak.pid}"
    return f"over {count} processes, most in process {leak.pid}"


def _heaps(memory: _model.Memory) -> list[_model.Curve]:
    return [one for one in memory.curves if any(point[2] is not None for point in one.points)]


def _curves(profile: _model.Profile, memory: _model.Memory) -> str:
    known = sorted(
        (curve for curve in memory.curves if curve.points),
        key=lambda curve: -max(point[1] for point in curve.points),
    )
    curves = known[:_MOST_CURVES]
    if not curves:
        return ""
    heights = [max(p[1], p[2] or 0) for curve in curves for p in curve.points]
    highest = 1.06 * max(memory.peak_bytes, *heights)
    scale = ticks(highest, 4)
    lines = "".join(f'<i style="bottom:{percent(tick, highest)}"></i>' for tick in scale)
    labels = "".join(
        f'<span style="bottom:{percent(tick, highest)}">{_words.size(tick) if tick else "0"}</span>'
        for tick in scale
    )
    shapes = "".join(_curve(profile, n, one, highest) for n, one in enumerate(curves))
    slope = _slope(profile, memory, highest)
    return (
        '<div class="card timed memory">'
        f'{ruler(profile)}<div class="chart"><div class="scale">{labels}</div>'
        f'<div class="plot strip">{lines}<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" '
        f'role="img" aria-label="memory over time">{shapes}{slope}</svg>'
        f"{_peak(memory, curves, highest)}</div><span></span>"
        f"{seconds_axis(profile.duration_s)}</div></div>{_key(curves, len(known), bool(slope))}"
    )


def _curve(profile: _model.Profile, number: int, curve: _model.Curve, highest: float) -> str:
    """Resident memory as a line, the heap as the area below it."""
    points = thinned(curve.points)
    name = f"process {curve.pid}"
    resident = _path([(p[0], p[1]) for p in points], profile.duration_s, highest)
    heap = [(p[0], p[2]) for p in points if p[2] is not None]
    area = ""
    if heap:
        line = _path(heap, profile.duration_s, highest)
        start, end = (1000 * one[0] / profile.duration_s for one in (heap[0], heap[-1]))
        area = f'<path class="heap m{number}" d="{line}L{end:.1f} 1000L{start:.1f} 1000Z"/>'
    return f'{area}<path class="line m{number}" d="{resident}"><title>{text(name)}</title></path>'


def _path(points: Sequence[tuple[float, float]], duration_s: float, highest: float) -> str:
    return "".join(
        f"{'L' if n else 'M'}{1000 * x / duration_s:.1f} {1000 - 1000 * y / highest:.1f}"
        for n, (x, y) in enumerate(points)
    )


def thinned(
    points: Sequence[tuple[float, int, int | None]], most: int = _MOST_POINTS
) -> list[tuple[float, int, int | None]]:
    """At most so many points; of each stretch the highest is kept, so that no peak is lost."""
    if len(points) <= most:
        return list(points)
    step = len(points) / most
    parts = (
        points[int(n * step) : max(int(n * step) + 1, int((n + 1) * step))] for n in range(most)
    )
    return [max(part, key=lambda point: (point[1], point[2] or 0)) for part in parts]


def _slope(profile: _model.Profile, memory: _model.Memory, highest: float) -> str:
    """The growth per trial as a dashed line through the middle of its process' curve."""
    leak = memory.leak
    curve = next(
        (one for one in memory.curves if leak and one.pid == leak.pid and one.points), None
    )
    ends = sorted(t.end_s for t in profile.trials if t.end_s is not None)
    alone = len(_heaps(memory)) < 2  # else it is the growth of several curves
    if leak is None or curve is None or leak.low <= 0 or len(ends) < 2 or not alone:
        return ""
    inside = [
        (at, resident if heap is None else heap, bisect.bisect_right(ends, at))
        for at, resident, heap in curve.points
        if ends[0] <= at <= ends[-1]
    ]
    if not inside:
        return ""
    height = sum(value for _, value, _ in inside) / len(inside)
    middle = sum(trial for _, _, trial in inside) / len(inside)
    per_trial = leak.bytes_per_100_trials / 100
    drawn = [(at, height + per_trial * (trial - middle)) for at, _, trial in inside]
    thin = drawn[:: max(1, len(drawn) // 60)]
    return f'<path class="slope" d="{_path(thin, profile.duration_s, highest)}"/>'


def _key(curves: Sequence[_model.Curve], known: int, slope: bool) -> str:
    names = "".join(
        f'<span class="phase"><i class="m{n}"></i>process {curve.pid}</span>'
        for n, curve in enumerate(curves)
    )
    said = "line: resident; area: heap" + ("; dashed: growth per trial" if slope else "")
    if known > len(curves):
        said += f"; the {len(curves)} largest of {known} processes"
    return f'<div class="legend">{names}<small>{said}</small></div>'


def _peak(memory: _model.Memory, curves: Sequence[_model.Curve], highest: float) -> str:
    """A line at the peak; of several processes together it would touch no curve."""
    if len(curves) != 1:
        return ""
    return (
        f'<b class="peak" style="bottom:{percent(memory.peak_bytes, highest)}">'
        f"<span>peak {_words.size(memory.peak_bytes)}</span></b>"
    )


def _allocators(profile: _model.Profile, memory: _model.Memory) -> str:
    ranked = _findings.by_line(memory.allocators)[:_MOST_ALLOCATORS]
    if not ranked:
        return ""
    several = len({one.pid for one in memory.allocators}) > 1
    heading = "Held at the peaks of their processes" if several else "Held at the peak"
    rows = "".join(_allocator(profile, one, ranked[0].bytes, several) for one in ranked)
    pid = '<th class="num few">process</th>' if several else ""
    return (
        f"<h3>{heading}</h3>"
        '<div class="card wide"><table class="allocators"><thead><tr>'
        '<th class="num">bytes</th><th class="share"></th><th class="num few">allocations</th>'
        f'<th class="hot">allocated in</th>{pid}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _allocator(profile: _model.Profile, one: _findings.Held, largest: int, several: bool) -> str:
    who = f"{len(one.pids)} processes" if len(one.pids) > 1 else str(*one.pids)
    pid = f'<td class="num few">{who}</td>' if several else ""
    return (
        f'<tr><td class="num">{_words.size(one.bytes)}</td><td class="share"><span class="bar">'
        f'<i class="m0" style="width:{percent(one.bytes, largest)}"></i></span></td>'
        f'<td class="num few">{one.allocations:,}</td>'
        f'<td class="hot"><div title="{text(one.file, 500)}"><span>{text(one.function, 80)}</span> '
        f"<small>{place(one.file, one.line, _folder(profile))}</small></div></td>"
        f"{pid}</tr>"
    )


def _processes(memory: _model.Memory) -> str:
    if len(memory.processes) < 2 and all(one.recorded for one in memory.processes):
        return ""
    rows = "".join(
        f'<tr class="{"" if one.recorded else "lost"}"><td class="num">{one.pid}</td>'
        f"<td>{text(one.kind)}</td>"
        f'<td class="num">{"-" if one.peak_bytes is None else _words.size(one.peak_bytes)}</td>'
        f"<td>{_recorded(one)}</td></tr>"
        for one in memory.processes
    )
    return (
        '<h3>Processes</h3><div class="card wide"><table class="processes"><thead><tr>'
        '<th class="num">process</th><th>started by</th><th class="num">peak</th><th></th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _recorded(one: _model.Process) -> str:
    return "recorded" if one.recorded else f"<b>not recorded</b>: {text(one.lost)}"
