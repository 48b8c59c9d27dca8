"""Sees the study's threads come and go, from outside: samples do not tell when.

Reads /proc every tenth of a second; the end of a process is told at once by its descriptor.  Where
there is no /proc (macOS), nothing is seen.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from pathlib import Path

from _clock import Life

EVERY_S = 0.1


class Watcher:
    """Follows the processes that have a file of marks in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._born: dict[tuple[int, int], int] = {}
        self._seen: dict[tuple[int, int], int] = {}
        self._living: dict[int, int] = {}  # a process by its descriptor
        self._ends = select.poll()
        self._ended: set[tuple[int, int]] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def __enter__(self) -> Watcher:
        if Path("/proc/self/task").is_dir():
            self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def lives(self, origin_ns: int) -> dict[tuple[int, int], Life]:
        """By (process, thread): when it was born and last seen, in seconds since the origin."""
        return {
            key: Life((self._born[key] - origin_ns) / 1e9, (seen - origin_ns) / 1e9)
            for key, seen in self._seen.items()
        }

    def _watch(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError):
                for name in os.listdir(self._folder):
                    pid = name.partition("-")[0]
                    if name.endswith(".marks") and pid.isdigit():
                        self._look(int(pid))
            self._rest()
        for descriptor in self._living:
            os.close(descriptor)

    def _rest(self) -> None:
        """Wait for the next look, but note at once who ends."""
        until = time.monotonic() + EVERY_S
        while (left_s := until - time.monotonic()) > 0 and not self._stop.is_set():
            ended = self._ends.poll(max(left_s, 0.001) * 1e3)
            now = time.monotonic_ns()
            for descriptor, _ in ended:
                pid = self._living.pop(descriptor)
                self._ends.unregister(descriptor)
                os.close(descriptor)
                self._ended.add((pid, pid))
                for key in [key for key in self._seen if key[0] == pid]:
                    if key[1] == pid or now - self._seen[key] < 2e9 * EVERY_S:
                        self._seen[key] = now

    def _look(self, pid: int) -> None:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            return
        if (pid, pid) not in self._born and hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                descriptor = os.pidfd_open(pid)
                self._living[descriptor] = pid
                self._ends.register(descriptor, select.POLLIN)
        if (pid, pid) in self._ended:  # a zombie that nobody has waited for
            return
        now = time.monotonic_ns()
        for thread in threads:
            key = pid, int(thread)
            if key not in self._born:
                with contextlib.suppress(OSError, ValueError, IndexError):
                    self._born[key] = _born_ns(f"/proc/{pid}/task/{thread}/stat")
            if key in self._born:
                self._seen[key] = now


def _born_ns(stat: str) -> int:
    """When a thread was born, on the monotonic clock."""
    ticks = int(Path(stat).read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    age_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - ticks * 1_000_000_000 // os.sysconf(
        "SC_CLK_TCK"
    )
    return time.monotonic_ns() - max(age_ns, 0)
