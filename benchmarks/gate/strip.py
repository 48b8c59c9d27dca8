"""Inline SVG: a change with its interval on a common axis, and the process pairs behind a mean.

Horizontal places are percentages and vertical ones pixels, so a picture takes the width it is
given while its text keeps its size. Colours come from the page's style, by class.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from .table import percent, seconds
from .view import clean, paired

Pair = tuple[float, float]  # CPU seconds a call: this code, the baseline's

_INSET = 5.0  # percent of the width kept free at both ends, for labels
_ROW = 30  # height of an interval, pixels
_STEP = 5  # from one pair to the next
_TOP, _LABEL, _GAP, _AXIS = 20, 20, 8, 20
_LEAST_SPAN, _MOST_SPAN = 0.03, 0.10  # of the common axis, to each side of zero


@dataclass(frozen=True)
class Scale:
    """Where a relative change lies between the left and the right end of a picture."""

    low: float
    high: float

    def x(self, change: float) -> float:
        """Percent of the width; a change beyond an end lies at that end."""
        inside = min(max(change, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low)
        return _INSET + share * (100 - 2 * _INSET)

    def ticks(self, most: int = 6) -> list[float]:
        """Round changes inside the scale, at most `most` + 1 of them."""
        raw = (self.high - self.low) / most
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(unit * n for n in (1, 2, 5, 10) if unit * n >= raw * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [n * step for n in range(first, last + 1)]


def common_scale(intervals: Iterable[tuple[float, float]], limit: float) -> Scale:
    """One axis for many changes (each with its plus-minus), the same to both sides of zero.

    It ends at 10%: a change beyond is drawn as an arrow, so that one large loss does not flatten
    the rest.
    """
    ends = [abs(change) + spread for change, spread in intervals if math.isfinite(change + spread)]
    span = min(max([_LEAST_SPAN, 1.5 * limit, *ends]), max(_MOST_SPAN, 1.5 * limit))
    span = math.ceil(span * 100 - 1e-9) / 100
    return Scale(-span, span)


def axis(scale: Scale, limit: float | None) -> str:
    """The common axis, to stand above a column of intervals."""
    parts = [_text(scale.x(tick), 30, _tick(tick, scale), "tick") for tick in scale.ticks(4)]
    if limit is not None:
        parts.append(_text(scale.x(limit), 13, f"limit {limit:+.1%}", "limit"))
    return _svg("axis", 34, "axis of the changes", parts)


def interval(
    scale: Scale, change: float, plus_minus: float | None, verdict: str, limit: float | None
) -> str:
    """A bar from zero to the change, its whisker, zero and the limit."""
    zero, end, middle = scale.x(0.0), scale.x(change), _ROW / 2
    parts = [_line(zero, 0, zero, _ROW, "zero")]
    if limit is not None:
        parts.append(_line(scale.x(limit), 0, scale.x(limit), _ROW, "limit"))
    parts.append(_rect(min(zero, end), middle - 4, abs(end - zero), 8, "bar"))
    label = f"{change:+.1%}"
    if plus_minus is not None and math.isfinite(plus_minus):
        label += f" ± {plus_minus:.1%}"
        left, right = scale.x(change - plus_minus), scale.x(change + plus_minus)
        parts.append(_line(left, middle, right, middle, "whisker"))
        for cap, edge in ((left, change - plus_minus), (right, change + plus_minus)):
            if scale.low <= edge <= scale.high:
                parts.append(_line(cap, middle - 5, cap, middle + 5, "whisker"))
    parts.append(_arrow(scale, change, middle))
    return _svg(f"interval {_class(verdict)}", _ROW, f"{label}, {verdict}", parts)


def pairs(measured: Mapping[str, Sequence[Pair]], limit: float | None, verdict: str) -> str:
    """One dot for each pair, in the order of measuring from top to bottom, stage below stage.

    `measured`: the pairs of each stage, by its name. A band shows each stage's mean ± 3 se; the
    zero line and the limit run through all.
    """
    stages = [(name, stage) for name, stage in measured.items() if stage]
    if not stages:
        return ""
    scale = _own_scale([head / base - 1 for _, stage in stages for head, base in stage], limit)
    bottom = _TOP + sum(_LABEL + _GAP + _STEP * (len(stage) + 1) for _, stage in stages)
    parts = []
    for tick in scale.ticks():
        x = scale.x(tick)
        parts.append(_line(x, _TOP, x, bottom, "grid"))
        parts.append(_text(x, bottom + 15, _tick(tick, scale), "tick"))
    parts.append(_line(scale.x(0.0), _TOP, scale.x(0.0), bottom, "zero"))
    if limit is not None:
        parts.append(_line(scale.x(limit), _TOP - 4, scale.x(limit), bottom, "limit"))
        parts.append(_text(scale.x(limit), 12, f"limit {limit:+.1%}", "limit"))
    top, said = float(_TOP), []
    for name, stage in stages:
        lane, label = _lane(scale, name, stage, top)
        parts += lane
        said.append(label)
        top += _LABEL + _GAP + _STEP * (len(stage) + 1)
    return _svg(f"strip {_class(verdict)}", bottom + _AXIS, "; ".join(said), parts)


def _lane(scale: Scale, name: str, stage: Sequence[Pair], top: float) -> tuple[list[str], str]:
    """One stage: its label, the band of its mean, its dots."""
    result, height = paired(stage), _STEP * (len(stage) + 1)
    many = "pair" if len(stage) == 1 else "pairs"
    label = f"{name} stage: {len(stage)} {many}, mean {result.mean:+.1%}"
    start = top + _LABEL
    parts = []
    if math.isfinite(result.se):
        label += f" ± {3 * result.se:.1%}"
        left, right = (scale.x(result.mean + side * 3 * result.se) for side in (-1, 1))
        parts.append(_rect(left, start, right - left, height, f"band {name}"))
    x = scale.x(result.mean)
    parts.append(_line(x, start, x, start + height, "mean"))
    for index, (head, base) in enumerate(stage):
        change = head / base - 1
        title = f"pair {index + 1}: {change:+.2%}, {seconds(head)} against {seconds(base)}"
        parts.append(
            f'<circle class="pair {name}" cx="{scale.x(change):.2f}%" '
            f'cy="{start + _STEP * (index + 1)}" r="3.5"><title>{escape(title)}</title></circle>'
        )
    parts.append(f'<text class="lane" x="0" y="{top + 14}">{escape(label)}</text>')
    return parts, label


def _own_scale(changes: Sequence[float], limit: float | None) -> Scale:
    """A scale that holds every pair, zero and the limit."""
    marks = [*changes, 0.0, *([] if limit is None else [limit])]
    result = Scale(min(marks), max(marks))
    room = max(result.high - result.low, 0.02) * 0.04
    return Scale(result.low - room, result.high + room)


def _tick(change: float, scale: Scale) -> str:
    if abs(change) < 1e-12:
        return "0"
    digits = 1 if scale.high - scale.low < 0.03 else 0
    return percent(change, f"+.{digits}%")


def _arrow(scale: Scale, change: float, y: float) -> str:
    """A mark at the end that a change lies beyond; empty for one inside."""
    if scale.low <= change <= scale.high:
        return ""
    side = 1 if change > scale.high else -1
    return (
        f'<svg x="{scale.x(change):.2f}%" y="{y}" overflow="visible">'
        f'<path class="arrow" d="M0 -7 L{side * 9} 0 L0 7 Z"/></svg>'
    )


def _class(verdict: str) -> str:
    return escape("v-" + clean(verdict).replace(" ", "-"))


def _svg(name: str, height: float, label: str, parts: Iterable[str]) -> str:
    return (
        f'<svg class="{name}" width="100%" height="{height:g}" role="img" '
        f'aria-label="{escape(clean(label))}">{"".join(parts)}</svg>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    return f'<line class="{name}" x1="{x1:.2f}%" y1="{y1:g}" x2="{x2:.2f}%" y2="{y2:g}"/>'


def _rect(x: float, y: float, width: float, height: float, name: str) -> str:
    return f'<rect class="{name}" x="{x:.2f}%" y="{y:g}" width="{width:.2f}%" height="{height:g}"/>'


def _text(x: float, y: float, text: str, name: str) -> str:
    words = escape(text.replace("-", "\N{MINUS SIGN}"))
    return f'<text class="{name}" x="{x:.2f}%" y="{y:g}">{words}</text>'
