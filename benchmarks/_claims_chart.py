"""The claims as a chart: reported beside measured on a logarithmic axis, as one SVG.

Only what is a factor of wall time has a place on the axis: a figure in seconds, shares, bytes or
counts stands in the table. Shapes tell the two apart as colours do: a hollow diamond is what a
report says (joined by a bar where it gives two), a filled circle what was measured, with a line
over three standard errors to each side. The claims that have no such factor are named below the
axis. Nothing is loaded by whoever looks at it.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks._claims_cells import ratio, reported
from benchmarks._claims_figures import ClaimVerdict, Unit
from benchmarks._claims_measured import Spread
from benchmarks._claims_report import ClaimsReport
from benchmarks._claims_rows import Role, Row

WIDTH = 960
_LEFT, _RIGHT, _TOP, _LINE = 164, 296, 78, 21
_BELOW = 62  # the numbers of the axis, and the caption
_NOTE_LINE, _NOTE_CHARS = 17, 150  # of what has no line here: its lines' height, and their width
_DIAMOND, _DOT = 5.5, 4.0
_COLUMNS = (88, 158, 174)  # right of the axis: where reported, measured and verdict stand
_ROOM = 1.4  # left free at both ends of the axis, as a factor

# Orange and blue of Okabe and Ito, told apart by any eye, on white and on black paper.
_STYLE = """
.claims-chart { --p: #fff; --i: #1d2126; --s: #5b636d; --g: #dfe1e0; --z: #8b939b;
  --m: #0072b2; --r: #d55e00; }
@media (prefers-color-scheme: dark) { .claims-chart { --p: #1c2024; --i: #e4e7e9; --s: #9aa4ad;
  --g: #33393f; --z: #7d8791; --m: #56b4e9; --r: #f0a05a; } }
.claims-chart .paper { fill: var(--p); } .claims-chart .grid { stroke: var(--g); }
.claims-chart .one { stroke: var(--z); }
.claims-chart text { font: 12px sans-serif; fill: var(--i); }
.claims-chart .soft { fill: var(--s); } .claims-chart .title { font-size: 15px; font-weight: 600; }
.claims-chart .reported { stroke: var(--r); stroke-width: 1.8; fill: var(--p); }
.claims-chart .measured { stroke: var(--m); stroke-width: 2; fill: var(--m); }
"""


@dataclass(frozen=True)
class Bar:
    """A line of the chart: what is reported, what was measured, and the verdict."""

    name: str
    said: str  # what is reported, in few words: of a figure that has no place on the axis, too
    reported: tuple[float, float] | None
    measured: Spread | None
    verdict: ClaimVerdict

    @property
    def values(self) -> Iterator[float]:
        if self.reported:
            yield from self.reported
        if self.measured:
            yield from (self.measured.low, self.measured.high)


def bars_of(report: ClaimsReport) -> list[Bar]:
    """The claims that have a factor of wall time, in the reports' order; those not built last."""
    found = [
        Bar(row.claim, reported(row), _reported(row), row.wall, row.verdict)
        for row in report.rows
        if row.role is Role.CLAIM
    ]
    shown = [bar for bar in found if any(bar.values)]
    return sorted(shown, key=lambda bar: bar.measured is None)  # stable


def _reported(row: Row) -> tuple[float, float] | None:
    figure = next((figure for figure in row.figures if figure.unit is Unit.WALL), None)
    return None if figure is None else (figure.least, figure.most)


def svg(report: ClaimsReport) -> str:
    """The chart of a run; a pure function of what is stored."""
    bars = bars_of(report)
    if not bars:
        return ""
    axis = Axis.around(value for bar in bars for value in bar.values)
    notes = textwrap.wrap(lacking(report), _NOTE_CHARS)
    below = _TOP + _LINE * len(bars) + _BELOW
    height = below + _NOTE_LINE * len(notes)
    parts = [
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        *_head(),
        *_grid(axis, len(bars)),
        *(part for number, bar in enumerate(bars) for part in _bar(bar, axis, number)),
        _text(_LEFT, below - 14, caption(report), "soft"),
        *(_text(16, below + 3 + _NOTE_LINE * n, note, "soft") for n, note in enumerate(notes)),
    ]
    title = "Reported and measured speedups, wall time, before / after"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="claims-chart" '
        f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{title}">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def lacking(report: ClaimsReport) -> str:
    """The claims that have no line, by verdict; nothing where each has one."""
    shown = {bar.name for bar in bars_of(report)}
    left: dict[ClaimVerdict, list[str]] = {}
    for row in report.rows:
        if row.role is Role.CLAIM and row.claim not in shown:
            left.setdefault(row.verdict, []).append(row.claim)
    told = "; ".join(f"{', '.join(names)} ({verdict})" for verdict, names in left.items())
    return f"no factor of wall time: {told}" if told else ""


def caption(report: ClaimsReport) -> str:
    """When and where it was measured."""
    packages = report.packages
    versions = [
        f"{name} {packages[name]}" for name in ("optuna", "numpy", "numba") if name in packages
    ]
    return ", ".join([report.date[:10], report.where, *versions])


@dataclass(frozen=True)
class Axis:
    """Powers of ten, between which everything lies: 1 is always among them."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float]) -> Axis:
        found = [1.0, *(value for value in values if value > 0)]
        return cls(math.log10(min(found) / _ROOM), math.log10(max(found) * _ROOM))

    @property
    def powers(self) -> range:
        return range(math.ceil(self.low), math.floor(self.high) + 1)

    def place(self, value: float) -> float:
        share = (math.log10(max(value, 10.0**self.low)) - self.low) / (self.high - self.low)
        return _LEFT + share * (WIDTH - _RIGHT - _LEFT)


def _head() -> Iterator[str]:
    """Title and legend."""
    yield _text(16, 26, "Speedup in wall time: before / after, > 1 is faster", "title")
    yield _diamond(22, 48)
    yield _text(34, 52, "reported (two joined: from - to)")
    yield _interval(250, 274, 48)
    yield _dot(262, 48)
    yield _text(284, 52, "measured here, ± 3 standard errors")
    yield from _columns(("reported", "measured", "verdict"), _TOP - 12, "soft")


def _grid(axis: Axis, lines: int) -> Iterator[str]:
    bottom = _TOP + _LINE * lines
    for power in axis.powers:
        across = axis.place(10.0**power)
        kind = "one" if power == 0 else "grid"
        yield _line(across, _TOP - 6, across, bottom, kind)
        yield _text(across, bottom + 17, f"{10.0**power:,g}x", "soft", "middle")


def _bar(bar: Bar, axis: Axis, number: int) -> Iterator[str]:
    middle = _TOP + _LINE * (number + 0.5)
    ending = "" if bar.measured else "soft"
    yield _text(_LEFT - 12, middle + 4, bar.name, ending, "end")
    if bar.reported:
        ends = sorted({axis.place(value) for value in bar.reported})
        if len(ends) > 1:
            yield _line(ends[0], middle, ends[-1], middle, "reported")
        yield from (_diamond(across, middle) for across in ends)
    found = "-"
    if bar.measured:  # over the diamonds, which are larger
        yield _interval(axis.place(bar.measured.low), axis.place(bar.measured.high), middle)
        yield _dot(axis.place(bar.measured.ratio), middle)
        found = f"{ratio(bar.measured.ratio)}x"
    yield from _columns((bar.said, found, bar.verdict), middle + 4, ending)


def _columns(words: Sequence[str], up: float, kind: str) -> Iterator[str]:
    """The three words right of the axis: two numbers end where they should, a word begins."""
    anchors = "end", "end", "start"
    for across, word, anchor in zip(_COLUMNS, words, anchors, strict=True):
        yield _text(WIDTH - _RIGHT + across, up, word, kind, anchor)


# --- shapes


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _interval(low: float, high: float, middle: float) -> str:
    """A line with an end that is seen, however short."""
    ends: Sequence[float] = (low, high)
    caps = "".join(f"M{across:.1f} {middle - 4:.1f}v8" for across in ends)
    return f'<path class="measured" d="M{low:.1f} {middle:.1f}H{high:.1f}{caps}"/>'


def _dot(across: float, middle: float) -> str:
    return f'<circle class="measured" cx="{across:.1f}" cy="{middle:.1f}" r="{_DOT}"/>'


def _diamond(across: float, middle: float) -> str:
    side = _DIAMOND
    corners = f"m-{side} 0l{side} -{side}l{side} {side}l-{side} {side}z"
    return f'<path class="reported" d="M{across:.1f} {middle:.1f}{corners}"/>'


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    shade = f' class="{kind}"' if kind else ""
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text{shade} {where}>{escape(words)}</text>"
