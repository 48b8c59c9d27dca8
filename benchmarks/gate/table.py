"""Plain tables and readable units, for terminals, logs and Markdown code blocks alike."""

from __future__ import annotations

from collections.abc import Collection, Sequence

Cells = Sequence[str]


def table(head: Cells, rows: Sequence[Cells], *, right: Collection[int] = ()) -> list[str]:
    """Lines of a table; columns in `right` are aligned to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row: Cells) -> str:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return [line(head), "  ".join("─" * width for width in widths), *map(line, rows)]


def counted(number: int, what: str) -> str:
    """A number of things: "1 case", "2 cases"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def some(names: Sequence[str], most: int = 8) -> str:
    """The names in one line; of many the first, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def seconds(value: float | None) -> str:
    """Three digits and a unit; a dash for nothing."""
    if value is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"


def percent(value: float | None, form: str) -> str:
    """A share as a percentage; a dash for nothing."""
    return "-" if value is None else format(value, form)
