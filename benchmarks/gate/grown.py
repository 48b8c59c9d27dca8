"""What grew: the parts of which a worse number is made, largest growth first."""

from __future__ import annotations

from .instruments import Details
from .outcome import SecondLook

Grown = dict[str, list[tuple[str, int, int]]]  # kind of thing -> (which one, before, now)

SHOWN = 10
NOISE = 0.001  # of all: counts of machine instructions are not exact to the last one


def grown(look: SecondLook) -> Grown:
    """Every kind of thing of which some grew."""
    found: Grown = {}
    for kind in sorted({*look.details_before, *look.details_now}):
        rows = _rows(look.details_before.get(kind, {}), look.details_now.get(kind, {}))
        if rows:
            found[kind] = rows
    return found


def _rows(before: dict[str, int], now: dict[str, int]) -> list[tuple[str, int, int]]:
    rows = [(name, before.get(name, 0), value) for name, value in now.items()]
    least = NOISE * sum(before.values())
    larger = [row for row in rows if row[2] - row[1] > least]
    return sorted(larger, key=lambda row: row[1] - row[2])[:SHOWN]


def merge(into: Details, more: Details) -> None:
    """Add another instrument's details."""
    for kind, things in more.items():
        into.setdefault(kind, {}).update(things)


def sentence(found: Grown) -> str:
    """The first of each kind, for a terminal; empty if nothing grew."""
    firsts = [
        f"{kind}: {rows[0][0]} {rows[0][1]:,} → {rows[0][2]:,}" for kind, rows in found.items()
    ]
    return "; ".join(firsts)
