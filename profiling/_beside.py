"""How many processors other processes used while a study ran: what is slow then is not its own.

Counted from /proc at the beginning and at the end; where there is none (macOS) it is not known.
Processes of other containers are not seen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

USED, PROCESSORS = "beside_processors", "processors"  # of `run.json`
_DIFFERENT = 0.2  # of the machine's processors
_PROC = Path("/proc")
# Places in /proc/PID/stat, behind the name.
_PARENT, _SESSION, _OWN, _OF_CHILDREN = 1, 3, slice(11, 13), slice(13, 15)


class Beside:
    """Counts from the moment it is made."""

    def __init__(self) -> None:
        self._begun = time.monotonic(), _used_s(None)

    def facts(self, session: int | None) -> dict[str, Any]:
        """Processors that others used since then; empty where that is not known.

        session: whose processes are the study's own.
        """
        begun, before_s = self._begun
        passed_s, after_s = time.monotonic() - begun, _used_s(session)
        if before_s is None or after_s is None or passed_s <= 0:
            return {}
        used = max(after_s - before_s, 0.0) / passed_s
        return {USED: round(used, 2), PROCESSORS: os.cpu_count() or 1}


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[float, float] | None:
    """What was used beside each of two runs, where that differs; else None."""
    pair = [one.get(USED) for one in (before, after)]
    known = [float(one) for one in pair if isinstance(one, int | float)]
    counts = [one.get(PROCESSORS) for one in (before, after)]
    sizes = [one for one in counts if isinstance(one, int) and one > 0]
    if len(known) < 2 or not sizes or abs(known[1] - known[0]) < _DIFFERENT * max(sizes):
        return None
    return known[0], known[1]


def _used_s(session: int | None) -> float | None:
    """Processor seconds of all processes but this one and those of the session."""
    stats = {pid: fields for pid in _pids() if (fields := _stat(pid))}
    if os.getpid() not in stats:
        return None
    above = _above(os.getpid(), stats)
    ticks = 0
    for pid, fields in stats.items():
        if pid == os.getpid() or (session is not None and int(fields[_SESSION]) == session):
            continue
        ticks += sum(map(int, fields[_OWN]))
        if pid not in above:  # those inherit what the study leaves behind, and its time with it
            ticks += sum(map(int, fields[_OF_CHILDREN]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir(_PROC) if name.isdigit()]
    except OSError:
        return []


def _stat(pid: int) -> list[bytes]:
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:  # it has ended
        return []
    fields = text[text.rfind(b")") + 2 :].split()
    return fields if len(fields) >= _OF_CHILDREN.stop else []


def _above(pid: int, stats: Mapping[int, list[bytes]]) -> set[int]:
    found: set[int] = set()
    while pid in stats and (pid := int(stats[pid][_PARENT])) not in found:
        found.add(pid)
    return found
