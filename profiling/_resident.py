"""The resident memory of processes over time, read from /proc: from outside, whatever they run."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

EVERY_S = 0.1
_MOST_POINTS = 4000
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Resident:
    """What was seen of one process; times are monotonic nanoseconds."""

    pid: int
    parent: int | None
    python: bool
    command: str
    points: list[tuple[int, int]] = field(default_factory=list)  # (ns, bytes)


class ResidentWatcher:
    """Follows a process and all its descendants, ten times a second.

    Where there is no /proc, nothing is seen.  Costs a few file reads for each look and process.
    """

    def __init__(self, root: int, with_root: bool = True) -> None:
        self.seen: dict[int, Resident] = {}
        self.highest_bytes = 0  # of all Pythons together, at one look
        self._root, self._with_root = root, with_root
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="resident", daemon=True)

    def __enter__(self) -> ResidentWatcher:
        if Path("/proc/self/statm").exists():
            self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while True:
            together = sum(
                self._look(pid, parent)
                for pid, parent in family(self._root)
                if pid != self._root or self._with_root
            )
            self.highest_bytes = max(self.highest_bytes, together)
            if self._stop.wait(EVERY_S):
                return

    def _look(self, pid: int, parent: int | None) -> int:
        """What a process holds now, if it is a Python."""
        size = resident_bytes(pid)
        if size is None:
            return 0
        one = self.seen.get(pid)
        if one is None:
            one = self.seen[pid] = Resident(pid, parent, False, "")
        if len(one.points) < 3:  # it may still be the process that forked it
            one.python, one.command = is_python(pid), command_of(pid)
        one.points.append((time.monotonic_ns(), size))
        if len(one.points) > _MOST_POINTS:
            one.points[:] = [
                max(pair, key=lambda point: point[1])
                for pair in zip(one.points[::2], one.points[1::2], strict=False)
            ]
        return size if one.python else 0


def family(root: int) -> Iterator[tuple[int, int | None]]:
    """A process and its living descendants, each with its parent (None for the root)."""
    waiting: list[tuple[int, int | None]] = [(root, None)]
    while waiting:
        pid, parent = waiting.pop()
        yield pid, parent
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError):
                    children = Path(f"/proc/{pid}/task/{task}/children").read_text("ascii")
                    waiting += [(int(child), pid) for child in children.split()]


def resident_bytes(pid: int) -> int | None:
    """The resident memory of a process; None when it has ended."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        size = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE_BYTES
        return size or None  # a process that ended and was not waited for holds nothing
    return None


def is_python(pid: int) -> bool:
    """Whether the program of a process is a Python, or has one loaded.

    Of another user's process only the command line can be read: its first word then decides.
    """
    with contextlib.suppress(PermissionError):
        return _runs_python(pid)
    return Path(command_of(pid).partition(" ")[0]).name.startswith("python")


def _runs_python(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if Path(os.readlink(f"/proc/{pid}/exe")).name.startswith("python"):
            return True
        with Path(f"/proc/{pid}/maps").open(encoding="utf-8", errors="replace") as maps:
            return any("/libpython" in line for line in maps)
    return False


def command_of(pid: int) -> str:
    """The command line of a process, in one line; empty when it has ended."""
    return " ".join(" ".join(words_of(pid)).split())


def words_of(pid: int) -> list[str]:
    """The words of the command line of a process; none when it has ended."""
    with contextlib.suppress(OSError):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
        return line.rstrip("\0").split("\0") if line else []
    return []
