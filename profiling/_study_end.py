"""How the study below its sampler begins and ends, by the two files that its shell leaves.

FOLDER/.pid   its process id, as soon as it begins
FOLDER/.code  its exit code, as soon as it has ended
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import _target

RUNNING_S = 2.0  # a study that outlives its sampler by this has not just ended
ENDED_S = 30.0  # the exit code of a study that ended may take
LINGER_S = 3.0  # py-spy may go on after the study's end before it is asked to write
_LOOK_S = 0.2


def number(path: Path) -> int | None:
    """The number in a file; None where there is none."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii"))
    return None


def code(folder: Path) -> int | None:
    """The exit code of the study; None while there is none."""
    return number(folder / ".code")


def who(folder: Path, sampler: int) -> int | None:
    """Who gets a signal: the study, the sampler before it has begun, nobody after it has ended."""
    if (folder / ".code").exists():
        return None
    return number(folder / ".pid") or sampler


def accompany(folder: Path, alone: Callable[[int], None]) -> int | None:
    """Wait for the end of a study whose sampler has ended; returns its exit code.

    alone: called once with its process id where it runs on.  None: it never began, or ended
    without leaving its code.
    """
    started = time.monotonic()
    gone = 0.0
    told = False
    while (found := code(folder)) is None:
        study, now = number(folder / ".pid"), time.monotonic()
        if study is None or (gone and now - gone >= ENDED_S):
            return None
        if not lives(study):
            gone = gone or now
        elif not told and now - started >= RUNNING_S:
            told = True
            alone(study)
        time.sleep(_LOOK_S if told else 0.01)
    return found


def lives(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _target.state(pid) not in ("Z", "X")


def ended_ns(folder: Path) -> int:
    """When the study ended, on the monotonic clock: py-spy writes for a while after that.

    The file of its code is as old as a file that is made now tells, by the clock of their disk.
    """
    now_ns = time.monotonic_ns()
    with contextlib.suppress(OSError):
        ended = (folder / ".code").stat().st_mtime_ns
        probe = folder / ".now.part"
        probe.touch()
        return now_ns - max(probe.stat().st_mtime_ns - ended, 0)
    return now_ns


class Finisher:
    """Asks py-spy to write a moment after the study has ended.

    By itself it looks on for as long as any Python lives that the study has left behind.
    """

    def __init__(self, folder: Path, ask: Callable[[], None]) -> None:
        self._folder = folder
        self._ask = ask
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="finisher", daemon=True)

    def __enter__(self) -> Finisher:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_LOOK_S):
            if code(self._folder) is not None:
                if not self._done.wait(LINGER_S):
                    self._ask()
                return
