"""A chart of growth as SVG, both axes logarithmic; nothing is loaded by whoever looks at it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 230, 50, 60
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_APART = 15.0  # pixels between two labels

Point = tuple[float, float]


def svg(group: Mapping[str, Any], caption: str) -> str:
    """The lines of a group: milliseconds a trial over finished trials, with a label each."""
    lines: Mapping[str, Sequence[Sequence[float]]] = group["lines"]
    points = [(point[0], point[1]) for each in lines.values() for point in each]
    title = f"{group['title']}: milliseconds a trial where n trials are finished"
    parts = [_text(_LEFT, 20, title, size=14), _text(_LEFT, 36, caption, colour="#666")]
    if points:
        x, y = _scale([n for n, _ in points]), _scale([ms for _, ms in points])
        parts += [*_grid(x, y), *_drawn(lines, x, y)]
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{escape(title, quote=True)}" font-family="sans-serif">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _scale(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten between which all values lie."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _place(value: float, scale: tuple[int, int], start: float, end: float) -> float:
    low, high = scale
    return start + (end - start) * (math.log10(value) - low) / (high - low)


def _at(point: Sequence[float], x: tuple[int, int], y: tuple[int, int]) -> Point:
    across = _place(point[0], x, _LEFT, WIDTH - _RIGHT)
    return across, _place(point[1], y, HEIGHT - _BOTTOM, _TOP)


def _grid(x: tuple[int, int], y: tuple[int, int]) -> Iterable[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    for power in range(x[0], x[1] + 1):
        across, _ = _at((10.0**power, 10.0 ** y[0]), x, y)
        yield _line((across, _TOP), (across, bottom), "#ddd")
        yield _text(across, bottom + 18, f"{10**power:,}", anchor="middle")
    for power in range(y[0], y[1] + 1):
        _, up = _at((10.0 ** x[0], 10.0**power), x, y)
        yield _line((_LEFT, up), (right, up), "#ddd")
        yield _text(_LEFT - 8, up + 4, f"{10.0**power:g} ms", anchor="end")
    yield _text((_LEFT + right) / 2, bottom + 40, "finished trials", anchor="middle")


def _drawn(
    lines: Mapping[str, Sequence[Sequence[float]]], x: tuple[int, int], y: tuple[int, int]
) -> Iterable[str]:
    ends: list[tuple[float, str, str]] = []
    for number, (label, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [_at(point, x, y) for point in points]
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for across, up in places:
            yield f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3" fill="{colour}"/>'
        ends.append((places[-1][1], label, colour))
    lowest = -math.inf
    for up, label, colour in sorted(ends):  # from the top down, none over another
        lowest = max(up + 4, lowest + _APART)
        yield _text(WIDTH - _RIGHT + 12, lowest, label, colour=colour)


def _line(start: Point, end: Point, colour: str) -> str:
    ends = f'x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<line {ends} stroke="{colour}"/>'


def _text(
    x: float, y: float, text: str, *, size: int = 12, colour: str = "#222", anchor: str = "start"
) -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
    return f'<text {where} fill="{colour}">{escape(text)}</text>'
