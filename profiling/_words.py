"""Figures, places and foreign text in words, the same on the page and in the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

_LIBRARY = re.compile(r"^.*/(?:site-packages|dist-packages|lib/python3\.\d+)/")
_OWN_PARTS = 3  # of the path of a file that lies neither in a library nor below the study
_LONGEST_SOURCE = 240  # characters of one foreign name; a generated one may have thousands


def clean(text: str, longest: int = _LONGEST_SOURCE) -> str:
    """Text that comes from the study, safe to print.

    Control characters, line ends, marks that turn the direction of writing and bytes that are no
    UTF-8 become escapes; the middle of what is longer than `longest` characters is left out.
    """
    if len(text) > longest:
        head = longest * 2 // 3
        text = f"{text[:head]}…{text[len(text) - (longest - head - 1) :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def seconds(value: float | None) -> str:
    """Three digits and a unit; a dash for nothing."""
    if value is None:
        return "-"
    size = abs(value)
    if size >= 3600 * 1.5:
        return f"{digits(value / 3600)} h"
    if size >= 1000:
        return f"{digits(value / 60)} min"
    if size >= 1 or value == 0:
        return f"{digits(value)} s"
    if size >= 0.9995e-3:
        return f"{digits(value * 1e3)} ms"
    return f"{digits(value * 1e6)} µs"


def milliseconds(value_ms: float | None) -> str:
    """Milliseconds with three digits, in seconds from a thousand; a dash for nothing."""
    return "-" if value_ms is None else seconds(value_ms / 1e3)


def digits(value: float, count: int = 3) -> str:
    """A number with so many digits, never in scientific notation; thousands apart."""
    if value == 0:
        return "0"
    size = abs(value)
    decimals = 0
    while decimals < 9 and round(size, decimals) < 10 ** (count - 1 - decimals):
        decimals += 1
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text and size < 0.1 else text


def share(value: float) -> str:
    """A share of a whole as a percentage; what is there but small is not called 0%."""
    if value <= 0:
        return "0%"
    if value < 0.001:
        return "<0.1%"
    return f"{value:.1%}" if value < 0.0995 else f"{value:.0%}"


def size(value: float) -> str:
    """Bytes in decimal units, three digits."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(value) >= one * 0.9995:
            return f"{digits(value / one)} {unit}"
    return f"{value:.0f} bytes"


def times(before: float | None, after: float | None) -> str:
    """How many times `before` fits into `after`; empty where that says nothing."""
    if not before or after is None or before <= 0:
        return ""
    ratio = after / before
    return f"x{ratio:.0f}" if ratio >= 9.95 else f"x{ratio:.2g}" if ratio < 1 else f"x{ratio:.1f}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 trial`, `1,200 trials`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"


def place(file: str, line: int, below: str = "") -> str:
    """Where a line of source lies, short: from its library, its folder `below`, or its end."""
    short = short_path(file, below)
    return f"{short}:{line}" if line > 0 else short


def short_path(file: str, below: str = "") -> str:
    """A path without what every path of its kind begins with."""
    path = file.replace("\\", "/")
    root = below.replace("\\", "/").rstrip("/") + "/"
    if len(root) > 1 and path.startswith(root):
        return clean(path[len(root) :])
    inside = _LIBRARY.sub("", path)
    if inside != path:
        return clean(inside)
    parts = PurePosixPath(path).parts
    return clean(path if len(parts) <= _OWN_PARTS + 1 else "/".join(parts[-_OWN_PARTS:]))
