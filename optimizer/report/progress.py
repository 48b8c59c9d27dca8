"""One live line about a run; nothing where nobody looks."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

_PAUSE_S = 0.1


class ProgressLine:
    """A line that is rewritten in place: trials, rate, time left, best, hits, workers at work.

    Shown at most ten times a second, and only on a terminal; elsewhere all calls do nothing. A
    stream that fails is left alone from then on: progress never ends a run.

    Args:
        total: trials to be done; None where nobody knows, as under a time limit.
        stream: where it is written; None: stderr.
    """

    def __init__(self, total: int | None = None, stream: TextIO | None = None) -> None:
        self._total = total
        self._stream = sys.stderr if stream is None else stream
        self._shown = _is_terminal(self._stream)
        self._started_s = time.monotonic()
        self._next_s = 0.0
        self._length = 0
        self._last = ""

    def show(
        self, done: int, best: float | None, hits: int, busy: int = 0, workers: int = 1
    ) -> None:
        """Tell how far the run is.

        Args:
            done: trials told in this run.
            best: value up to now; None: there is none, or there are several objectives.
            hits: trials served from the cache.
            busy: workers at work.
            workers: all of them.
        """
        if not self._shown:
            return
        now_s = time.monotonic()
        self._last = self._line(now_s - self._started_s, done, best, hits, busy, workers)
        if now_s >= self._next_s:
            self._next_s = now_s + _PAUSE_S
            self._write(self._last)

    def end(self) -> None:
        """Write the last state and go to the next line; repeatable."""
        if self._shown and self._last:
            self._write(self._last, "\n")
        self._last, self._length = "", 0

    def _line(
        self, passed_s: float, done: int, best: float | None, hits: int, busy: int, workers: int
    ) -> str:
        rate = done / passed_s if passed_s > 0.0 else 0.0
        # In the order of what a narrow terminal may cut off.
        parts = [f"{done} trials" if self._total is None else f"{done}/{self._total} trials"]
        if done:
            parts.append(f"{rate:.1f}/s")
        if self._total is not None and rate > 0.0:
            parts.append(f"{_duration(max(0, self._total - done) / rate)} left")
        if best is not None:
            parts.append(f"best {best:.6g}")
        parts += [f"{hits} served", f"{busy}/{workers} workers busy"]
        return " · ".join(parts)

    def _write(self, line: str, end: str = "") -> None:
        # The last column is left free: terminals wrap there.
        line = line[: max(1, shutil.get_terminal_size().columns - 1)]
        padding = " " * max(0, self._length - len(line))
        self._length = len(line)
        try:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            text = f"\r{line}{padding}{end}".encode(encoding, "replace").decode(encoding)
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._shown = False


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):
        return False


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, whole = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"
