"""CPU clocks of a body: of its thread, of its process, or of the tree of its processes."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError

CLOCKS = ("thread", "process", "tree")

_TRIES = 5  # of a reading during which a process was reaped
_NS = 10**9


def clock(name: str) -> Callable[[], int]:
    """A clock of CPU time in nanoseconds; only differences of its readings mean anything.

    `"thread"` sees the calling thread, `"process"` every thread of this process, `"tree"` also its
    children and theirs, living or reaped. A tree clock keeps state: read one from one thread only.
    Raises `UsageError` for another name.
    """
    if name == "thread":
        return time.thread_time_ns
    if name == "process":
        return time.process_time_ns
    if name == "tree":
        return TreeClock() if sys.platform == "linux" else _reaped_tree_ns
    raise UsageError(f"no clock {name!r}, expected one of {', '.join(CLOCKS)}")


def _reaped_tree_ns() -> int:
    """Outside Linux: this process and the children it has waited for.

    It loses the work of a child that lives on (a persistent pool) until that child is reaped, and
    on Windows the work of every child.
    """
    return time.process_time_ns() + _reaped_ns()


class TreeClock:
    """CPU nanoseconds of this process and all its descendants (Linux); never goes backwards.

    A child counts while it lives by its own process clock, which keeps the time of threads that
    ended; as a zombie likewise; once reaped as part of its parent's account of reaped children.
    A reading during which that account changed is repeated, so nobody is lost or counted twice.

    The clock leaves out what its readings cost: with children one pass over `/proc`, without
    any a few system calls.

    What it cannot see: a process whose parent ended (a daemon); children of a process that ignores
    SIGCHLD, once they end. What a living child has reaped is known in whole ticks
    (`SC_CLK_TCK`), rounded down, so its grandchildren's last hundredths of a second may be missing.
    """

    def __init__(self) -> None:
        self._last_ns = 0
        self._readings_ns = 0

    def __call__(self) -> int:
        started = time.thread_time_ns()
        self._last_ns = max(self._last_ns, tree_ns() - self._readings_ns)
        self._readings_ns += time.thread_time_ns() - started
        return self._last_ns


def tree_ns() -> int:
    """One reading, its own cost included."""
    own = time.process_time_ns()
    for _ in range(_TRIES):
        reaped = _reaped_ns()
        living = _descendants()
        children = sum(process.cpu_ns() + process.reaped_ns for process in living)
        if _reaped_ns() == reaped and all(_process(p.pid) == p for p in living):
            break
    return own + reaped + children


@dataclass(frozen=True)
class _Process:
    """A line of `/proc/PID/stat`; equal while it is the same process and has reaped no more."""

    pid: int
    parent: int
    started: int  # ticks since boot: another process may get the same number
    reaped_ns: int

    def cpu_ns(self) -> int:
        """Of all its threads, ended ones too; 0 if it is gone."""
        clock_id = (~self.pid << 3) | 2  # clock_getcpuclockid(3), which Python does not offer
        with contextlib.suppress(OSError):
            return time.clock_gettime_ns(clock_id)
        return 0


def _descendants() -> list[_Process]:
    """Living processes and zombies below this one. (Not every kernel lists a task's children.)"""
    if not _has_children():
        return []
    numbers = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal()]
    children: dict[int, list[_Process]] = {}
    for process in map(_process, numbers):
        if process is not None:
            children.setdefault(process.parent, []).append(process)
    found = list(children.get(os.getpid(), ()))
    for process in found:  # grows while it is read
        found += children.get(process.pid, ())
    return found


def _has_children() -> bool:
    """Whether there is any child, without reaping one."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _process(pid: int) -> _Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # it ended
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # the name before it may hold anything
    tick_ns = _NS // os.sysconf("SC_CLK_TCK")
    ticks = int(fields[13]) + int(fields[14])  # cutime, cstime
    return _Process(pid, int(fields[1]), int(fields[19]), ticks * tick_ns)


def _reaped_ns() -> int:
    """Of the children this process has waited for, and of those that they had waited for."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round((usage.ru_utime + usage.ru_stime) * _NS)
