"""A process and all that it starts, as they come and go: which run Python that can be read."""

from __future__ import annotations

import contextlib
import math
import os
import struct
import time
from dataclasses import dataclass, field

import _layouts
import _symbols
from _code_objects import Frame
from _looked_into import Ending, Process, Starting
from _remote import Forbidden, Gone, Torn
from _stacks import Stack

_YOUNG_S, _AGAIN_S = 1.0, 1.0
_BARE: dict[int, Stack] = {}


@dataclass
class Member:
    """One process of the tree.

    birth: tells it from a later one of the same id. program: tells what it was before it became
    another program. why: it cannot be read.
    """

    pid: int
    parent: int
    birth: str
    program: str = ""
    process: Process | None = None
    command: str = ""
    why: str = ""
    starting: bool = False
    read: bool = False  # at any time
    young_until: float = 0.0  # monotonic seconds: it may be loading its libraries
    again_at: float = math.inf  # when it is to be looked at again, for a Python


@dataclass
class Tree:
    """A root and all processes below it.

    torn: readings of processes that ended which did not fit together and were done again.
    """

    root: int
    numbers: dict[Frame, int]
    members: dict[int, Member] = field(default_factory=dict)
    ended: list[Member] = field(default_factory=list)
    torn: int = 0

    @property
    def starting(self) -> bool:
        return any(one.starting for one in self.members.values())

    def find(self) -> None:
        """See who has come, gone, or become another program.

        Cost: a few reads in /proc for each process and each of its threads.
        """
        found = dict(_family(self.root))
        for pid in [pid for pid in self.members if pid not in found]:
            if not _status(pid):  # else nobody's child any more: a daemon
                self._end(pid)
        for pid, parent in found.items():
            self._meet(pid, parent)
        for pid in [pid for pid in self.members if pid not in found]:
            self._meet(pid, self.members[pid].parent)

    def _meet(self, pid: int, parent: int) -> None:
        status = _status(pid)
        if not status:
            self._end(pid)
            return
        one = self.members.get(pid)
        if one is not None and one.birth != status[19]:
            self._end(pid)
            one = None
        if one is None:
            one = self.members[pid] = Member(pid, parent, status[19])
        program = " ".join(status[23:26])  # where its code begins and ends, and its stack
        now = time.monotonic()
        if one.program != program:
            one.program, one.young_until = program, now + _YOUNG_S
            self._open(one, now)
        elif one.starting or now >= one.again_at:
            self._open(one, now)

    def _open(self, one: Member, now: float) -> None:
        """Read a process from its beginning."""
        self._close(one)
        one.starting, one.why, one.again_at = False, "", math.inf
        try:
            above = self.members.get(one.parent)
            parent = above.process if above is not None else None
            one.process = Process(one.pid, self.numbers, parent)
        except Starting:
            one.starting = True
        except _layouts.Unknown as error:
            one.why = str(error)
        except Forbidden as error:
            one.why = f"forbidden: {error}"
        except _symbols.NoPython:  # its libraries may come only now, or later
            one.starting, one.again_at = now < one.young_until, now + _AGAIN_S
        except (Gone, Torn):
            one.again_at = now
        if one.process is not None:
            one.command, one.read = _command(one.pid), True

    def _close(self, one: Member) -> None:
        if one.process is not None:
            self.torn += one.process.torn
            one.process.close()
            one.process = None

    def _end(self, pid: int) -> None:
        one = self.members.pop(pid, None)
        if one is not None:
            self._close(one)
            self.ended.append(one)

    def look(self, one: Member) -> tuple[dict[int, Stack], int]:
        """(stack by thread, threads that could not be read) of a process that runs Python.

        An interpreter that ends has a stack without frames.
        """
        process = one.process
        if process is None:
            return _BARE, 0
        try:
            return process.look()
        except Ending:
            return {one.pid: ()}, 0
        except (Torn, ArithmeticError, LookupError, ValueError, struct.error):
            # Perhaps it has become another program, and what was read is anything.
            one.program = ""
            return _BARE, 1
        except Forbidden as error:
            one.why = f"forbidden: {error}"
        except Gone:
            pass
        self._close(one)
        return _BARE, 0

    def everybody(self) -> dict[int, Member]:
        """All that ever were, by their id; the last of those that shared one."""
        return {one.pid: one for one in (*self.ended, *self.members.values())}


def _family(root: int) -> list[tuple[int, int]]:
    """A process and its living descendants, each with its parent; the root comes first."""
    found, waiting = [], [(root, 0)]
    while waiting:
        pid, parent = waiting.pop()
        found.append((pid, parent))
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError):
                    children = _content(f"/proc/{pid}/task/{task}/children").split()
                    waiting += [(int(child), pid) for child in children]
    return found


def _content(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while part := os.read(descriptor, 65536):
            text += part
        return text
    finally:
        os.close(descriptor)


def _status(pid: int) -> list[str]:
    """What /proc/PID/stat says after the name; empty when the process has ended."""
    try:
        words = _content(f"/proc/{pid}/stat").rpartition(b")")[2].decode("ascii").split()
    except OSError:
        return []
    return [] if words[0] in "ZX" else words


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        text = _content(f"/proc/{pid}/cmdline").decode("utf-8", "replace")
        return " ".join(text.rstrip("\0").replace("\0", " ").split())
    return ""
