"""The exact instruments a worker process can be started with: one process, one instrument.

    counters       SQL, files, fsyncs, calls, bytecodes     (`counters.py`; strace for the fsyncs)
    instructions   machine instructions of the body alone   (`callgrind.py`; needs valgrind)
    memory         peak and number of allocations           (`memory.py`; needs memray)

What they count repeats from process to process, so a number may be stored and compared later,
where `identity` says that it was counted in the same way.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from .contract import Body

Counts = dict[str, int]  # counter -> value
Details = dict[str, dict[str, int]]  # kind of thing -> which one -> how often, or how much


class Kind(enum.StrEnum):
    """Which instrument."""

    COUNTERS = "counters"
    INSTRUCTIONS = "instructions"
    MEMORY = "memory"


COUNTED_BY = {
    "instructions": Kind.INSTRUCTIONS,
    "peak_bytes": Kind.MEMORY,
    "allocations": Kind.MEMORY,
}


def counted_by(counter: str) -> Kind:
    """The instrument that counts `counter`."""
    return COUNTED_BY.get(counter, Kind.COUNTERS)


class Instrument(Protocol):
    """An instrument, inside the worker; made before the code under test is imported."""

    def count(self, body: Body) -> Counts:
        """Counts of one `after` call from a fresh state."""

    def details(self, body: Body) -> Details:
        """What the counts are made of, to say what grew."""


def create(kind: Kind, log: Path | None) -> Instrument:
    """The instrument, in the worker; `log` is the file that `wrap` was given."""
    if kind is Kind.INSTRUCTIONS:
        from .callgrind import InstructionCounter

        if log is None:
            raise ValueError("callgrind needs a file to write to")
        return InstructionCounter(log)
    if kind is Kind.MEMORY:
        from .memory import MemoryTracker

        return MemoryTracker()
    from .counters import CallCounter

    return CallCounter(log)


def wrap(kind: Kind, command: Sequence[str], log: Path) -> list[str]:
    """The worker's command line, started so that the instrument can count."""
    if kind is Kind.INSTRUCTIONS:
        from . import callgrind

        return [*callgrind.prefix(log), *command, "--log", str(log)]
    if kind is Kind.COUNTERS:
        from . import strace

        if strace.unavailable() == "":
            log.touch()
            return [*strace.prefix(log), *command, "--log", str(log)]
    return list(command)


def unavailable(kind: Kind) -> str:
    """Why the instrument cannot be used here; empty if it can."""
    if kind is Kind.INSTRUCTIONS:
        from . import callgrind

        return callgrind.unavailable()
    if kind is Kind.MEMORY:
        from . import memory

        return memory.unavailable()
    return ""


def identity(kind: Kind) -> str:
    """What its numbers depend on besides Python and the packages; equal where they compare."""
    if kind is Kind.INSTRUCTIONS:
        from . import callgrind

        return callgrind.identity()
    if kind is Kind.MEMORY:
        from . import memory

        return memory.identity()
    from . import counters

    return counters.identity()
