"""Small pieces of HTML: everything that comes from the study passes through `text` or `data`."""

from __future__ import annotations

import html
import math
import re

import _colours
import _words


def text(value: object, longest: int = 240) -> str:
    """Anything as harmless text: control characters as escapes, markup as entities."""
    return html.escape(_words.clean(str(value), longest), quote=True)


def prose(value: str) -> str:
    """A sentence of ours as HTML; `words in backquotes` become code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text(value, 2000))


def data(json_text: str) -> str:
    """JSON that may stand inside a script element: no `<`, so nothing can end it early."""
    for character in "<>&\u2028\u2029":
        json_text = json_text.replace(character, f"\\u{ord(character):04x}")
    return json_text


def phase(name: str) -> str:
    """A phase's colour and name."""
    return f'<span class="phase"><i class="{_colours.css_class(name)}"></i>{text(name, 40)}</span>'


def place(file: str, line: int, below: str) -> str:
    """Where a line of source lies, short; a long path may break after its slashes."""
    return text(_words.place(file, line, below)).replace("/", "/<wbr>")


def percent(part: float, whole: float) -> str:
    """A position for a style attribute, between 0% and 100%."""
    share = 0.0 if whole <= 0 or not math.isfinite(part / whole) else part / whole
    return f"{max(0.0, min(1.0, share)) * 100:.3f}".rstrip("0").rstrip(".") + "%"


def ticks(largest: float, count: int = 5) -> list[float]:
    """Round numbers from zero up to `largest`, about `count` of them."""
    if largest <= 0 or not math.isfinite(largest):
        return [0.0]
    step = 10.0 ** math.floor(math.log10(largest / count))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if largest / (step * factor) <= count)
    return [round(step * n, 12) for n in range(int(largest / step + 1e-9) + 1)]


def axis(places: list[tuple[str, str]], kind: str = "") -> str:
    """Labels under or above a picture: (position, text); the outer ones turn inwards."""
    spans = "".join(
        f'<span style="left:{where}"{_turned(where)}>{text(label)}</span>'
        for where, label in places
    )
    return f'<div class="axis {kind}">{spans}</div>'


def _turned(where: str) -> str:
    value = float(where.rstrip("%"))
    return ' class="first"' if value < 2 else ' class="last"' if value > 96 else ""


def step_area(tops: list[int], height: int = 100) -> str:
    """The path of a stepped area: `tops[i]` is how high it stands from i to i + 1."""
    parts, before = [f"M0 {height}"], None
    for index, top in enumerate(tops):
        if top != before:
            parts.append(f"H{index}V{height - top}" if index else f"V{height - top}")
            before = top
    return "".join(parts) + f"H{len(tops)}V{height}Z"
