"""A heat map as one self-contained SVG picture."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.errors import OptimizerError

Floats = NDArray[np.float64]

# Dark to light in equal steps of lightness, also for eyes that tell red from green badly (viridis).
_COLOURS = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
    (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
)  # fmt: skip
_MISSING = "#e6e6e6"
_INK = "#222222"
_FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', 'DejaVu Sans', sans-serif"
_LETTER = 7.0  # width of a letter of 12 pixels, about

_WIDTH, _HEIGHT = 640.0, 440.0  # of the cells together, at most
_LARGEST, _LEAST_PLOT = (64.0, 40.0), (220.0, 120.0)
_TOP, _BOTTOM, _BAR = 66.0, 58.0, 110.0
_MOST_CELLS = 62_500
_MOST_NOTES = 10_000  # cells with a note that appears under the pointer


@dataclass(frozen=True, eq=False)
class HeatMap:
    """One figure over two parameters; shows itself in a notebook.

    Attributes:
        x: name of the parameter from left to right.
        y: name of the parameter from bottom to top.
        title: what the colours say.
        x_values: (X,) its values.
        y_values: (Y,) its values.
        cells: (Y, X) the figure; NaN where there is none.
    """

    x: str
    y: str
    title: str
    x_values: NDArray[Any]
    y_values: NDArray[Any]
    cells: Floats

    def to_svg(self) -> str:
        """The picture, which needs nothing else to be shown.

        Raises:
            OptimizerError: more cells than a picture shows.
        """
        if self.cells.size > _MOST_CELLS:
            raise OptimizerError(
                f"the heat map has {self.cells.shape[1]} x {self.cells.shape[0]} cells, and a "
                f"picture shows at most {_MOST_CELLS}: sweep fewer values of {self.x} or {self.y}"
            )
        return "\n".join(_Picture(self).lines())

    def to_html(self) -> str:
        """A page with the picture."""
        name = html.escape(f"{self.title} by {self.x} and {self.y}")
        return (
            f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{name}</title>'
            f"</head>\n<body>\n{self.to_svg()}\n</body>\n</html>\n"
        )

    def save(self, path: str | Path) -> Path:
        """Write the picture (.svg) or a page with it (.html); returns where it lies.

        Raises:
            OptimizerError: another ending.
            OSError: the file cannot be written.
        """
        path = Path(path)
        if path.suffix not in (".svg", ".html"):
            raise OptimizerError(f"found the file name {path.name!a}, expected .svg or .html")
        path.write_text(self.to_svg() if path.suffix == ".svg" else self.to_html(), "utf-8")
        return path

    def _repr_html_(self) -> str:
        return self.to_svg()


class _Picture:
    """Where everything lies, and the elements that are drawn there."""

    def __init__(self, heat_map: HeatMap) -> None:
        self.map = heat_map
        rows, columns = heat_map.cells.shape
        self.cell = (
            _side(_WIDTH, columns, _LARGEST[0], _LEAST_PLOT[0]),
            _side(_HEIGHT, rows, _LARGEST[1], _LEAST_PLOT[1]),
        )
        self.plot = self.cell[0] * columns, self.cell[1] * rows
        self.x_texts = [number(value) for value in heat_map.x_values.tolist()]
        self.y_texts = [number(value) for value in heat_map.y_values.tolist()]
        self.left = 40.0 + _LETTER * max(map(len, self.y_texts))
        known = heat_map.cells[np.isfinite(heat_map.cells)]
        self.low = float(known.min()) if known.size else 0.0
        self.high = float(known.max()) if known.size else 0.0

    def lines(self) -> Iterator[str]:
        least = 9.0 * max(len(self.map.title), len(self._subtitle())) * 0.8 + 40.0
        width = max(self.left + self.plot[0] + _BAR, least)
        height = _TOP + self.plot[1] + _BOTTOM
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}" role="img" font-family="{_FONT}" '
            f'font-size="12" fill="{_INK}" style="max-width:100%;height:auto">'
        )
        yield f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>'
        yield _text(self.left, 24, self.map.title, "start", 'font-size="16" font-weight="600"')
        yield _text(self.left, 44, self._subtitle(), "start", 'fill="#555555"')
        yield from self._cells()
        yield from self._axes()
        yield from self._bar()
        yield "</svg>"

    def _subtitle(self) -> str:
        cells = self.map.cells
        if np.isnan(cells).all():
            return "no combination has this figure"
        return f"{self._place(int(np.nanargmin(cells)))} to {self._place(int(np.nanargmax(cells)))}"

    def _place(self, cell: int) -> str:
        row, column = divmod(cell, self.map.cells.shape[1])
        return (
            f"{number(float(self.map.cells[row, column]))} "
            f"({self.map.x} {self.x_texts[column]}, {self.map.y} {self.y_texts[row]})"
        )

    def _cells(self) -> Iterator[str]:
        cells, (width, height) = self.map.cells, self.cell
        noted = cells.size <= _MOST_NOTES
        texts = [[number(value, 3) for value in row] for row in cells.tolist()]
        longest = max((len(text) for row in texts for text in row), default=0)
        written = width >= _LETTER * longest and height >= 17.0
        yield '<g shape-rendering="crispEdges" font-size="11">'
        for row in range(cells.shape[0]):
            y = _TOP + self.plot[1] - height * (row + 1)
            for column in range(cells.shape[1]):
                x, value = self.left + width * column, float(cells[row, column])
                colour = self._colour(value)
                note = (
                    f"<title>{self.map.x} {self.x_texts[column]}, {self.map.y} "
                    f"{self.y_texts[row]}: {number(value)}</title>"
                )
                yield (
                    f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" '
                    f'fill="{colour}">{note if noted else ""}</rect>'
                )
                if written and not math.isnan(value):
                    ink = "#000000" if self._share(value) > 0.55 else "#ffffff"
                    yield _text(
                        x + width / 2, y + height / 2 + 4, texts[row][column], "middle",
                        f'fill="{ink}" pointer-events="none"',
                    )  # fmt: skip
        yield "</g>"

    def _axes(self) -> Iterator[str]:
        width, height = self.cell
        bottom = _TOP + self.plot[1]
        step = _step(max(map(len, self.x_texts)) * _LETTER + 8.0, width)
        for at in range(0, len(self.x_texts), step):
            x = self.left + width * (at + 0.5)
            yield _line(x, bottom, x, bottom + 4)
            yield _text(x, bottom + 17, self.x_texts[at], "middle")
        step = _step(16.0, height)
        for at in range(0, len(self.y_texts), step):
            y = bottom - height * (at + 0.5)
            yield _line(self.left - 4, y, self.left, y)
            yield _text(self.left - 8, y + 4, self.y_texts[at], "end")
        strong = 'font-weight="600"'
        yield _text(self.left + self.plot[0] / 2, bottom + 40, self.map.x, "middle", strong)
        turned = f'transform="rotate(-90 16 {_TOP + self.plot[1] / 2:.2f})" {strong}'
        yield _text(16, _TOP + self.plot[1] / 2, self.map.y, "middle", turned)

    def _bar(self) -> Iterator[str]:
        x, height = self.left + self.plot[0] + 22, self.plot[1]
        stops = len(_COLOURS) - 1
        yield '<defs><linearGradient id="scale" x1="0" y1="1" x2="0" y2="0">'
        for at, colour in enumerate(_COLOURS):
            yield f'<stop offset="{at / stops:.4f}" stop-color="{_hex(colour)}"/>'
        yield "</linearGradient></defs>"
        flat = self.low == self.high
        fill = self._colour(self.low) if flat else "url(#scale)"
        yield f'<rect x="{x:.2f}" y="{_TOP}" width="14" height="{height:.2f}" fill="{fill}"/>'
        for value in [self.low] if flat else _ticks(self.low, self.high):
            y = _TOP + height * (1.0 - self._share(value))
            yield _line(x + 14, y, x + 18, y)
            yield _text(x + 22, y + 4, number(value), "start")

    def _share(self, value: float) -> float:
        """How far up the scale a value lies, 0 to 1."""
        if not self.high > self.low:
            return 0.5
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def _colour(self, value: float) -> str:
        if math.isnan(value):
            return _MISSING
        place = self._share(value) * (len(_COLOURS) - 1)
        at = min(int(place), len(_COLOURS) - 2)
        pairs = zip(_COLOURS[at], _COLOURS[at + 1], strict=True)
        return _hex([round(one + (two - one) * (place - at)) for one, two in pairs])


def number(value: float, digits: int = 4) -> str:
    """A number in so many digits, without an exponent where it is of everyday size."""
    if isinstance(value, float) and math.isfinite(value) and 1e4 <= abs(value) < 1e7:
        return f"{value:.0f}"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two others, about five."""
    raw = (high - low) / 5.0
    if not 1e-300 < raw < math.inf:  # beyond what a step can be made of
        return [low, high]
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(size for size in (1.0, 2.0, 5.0, 10.0) if size * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [at * step for at in range(first, last + 1)]


def _side(room: float, count: int, largest: float, least: float) -> float:
    """Of a cell: as large as there is room, but not larger than is good for reading."""
    return min(room / count, max(largest, least / count))


def _step(needed: float, room: float) -> int:
    """Every how many labels one has room."""
    return max(1, math.ceil(needed / room))


def _hex(colour: Sequence[int]) -> str:
    red, green, blue = colour
    return f"#{red:02x}{green:02x}{blue:02x}"


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.2f} {y1:.2f}L{x2:.2f} {y2:.2f}" stroke="{_INK}"/>'


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}" {more}>{html.escape(text)}</text>'
