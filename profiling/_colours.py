"""The order and the colour class of every phase, so that page and pictures agree.

The colours themselves stand in `_page.css`, by family: blue searches, orange and yellow keep,
green is the study's own work, purple starts up, red passes data on, grey waits.
"""

from __future__ import annotations

import re
import zlib

# From the bottom of a stacked picture to its top: own work, then what could go, then waits.
ORDER = (
    "objective",
    "features",
    "data loading",
    "sampler",
    "pruner",
    "storage",
    "dedup",
    "cache",
    "trial records",
    "compile",
    "import",
    "transport",
    "garbage collection",
    "logging",
    "other",
    "wait for disk",
    "wait for workers",
)
WAITS = ("wait for disk", "wait for workers")
IDLE = "idle"  # a segment of this phase is drawn as what it is: nothing
NOTHING_TO_DO = (IDLE, "wait for workers")  # unlike a wait for the disk
OWN_WORK = ("objective", "features", "data loading")  # what a worker is there for
_UNKNOWN = 4  # classes for phases that this file does not know


def plain(phase: str) -> str:
    """The phase without what stands in brackets: `compile (JIT)` is `compile`."""
    return re.sub(r"\s*\(.*\)\s*$", "", phase).strip().lower()


def css_class(phase: str) -> str:
    """The class that gives a phase its colour; made of known words only, whatever the name."""
    name = plain(phase)
    if name in ORDER:
        return "ph-" + name.replace(" ", "-")
    return f"ph-unknown-{zlib.crc32(phase.encode('utf-8', 'replace')) % _UNKNOWN}"


def rank(phase: str) -> tuple[int, str]:
    """Sorts phases as stacked pictures show them."""
    name = plain(phase)
    return (ORDER.index(name) if name in ORDER else len(ORDER) - len(WAITS) - 1, phase)
