"""Calls that Ctrl-C finds either not begun or ended."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from optimizer.errors import WorkerError

# The functions behind those of `signal`, which turn numbers into enumerations at each call: that
# takes longer than the rest of a submit.
_raw: Any = getattr(signal, "_signal", signal)


class Interrupted(BaseException):
    """Ctrl-C came while nothing but waiting went on."""


class WholeCalls:
    """While it is entered, SIGINT waits; at the end its handler is called.

    Entered by one thread at a time, and not again from within: that is an error, and no dead
    lock. Python tells signals to the main thread only; in another one only that is looked at.

    Attributes:
        came: whether SIGINT came since the block began.
        waiting: set while the block only waits; then SIGINT ends that by `Interrupted`.
    """

    __slots__ = ("_before", "_lock", "came", "waiting")

    def __init__(self) -> None:
        self.came = False
        self.waiting = False
        self._before: Any = None
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        before = None
        if threading.get_ident() == threading.main_thread().ident:
            before = _raw.getsignal(signal.SIGINT)
            if callable(before):  # neither ignored, nor of the system, nor of another language
                self.came = False
                _raw.signal(signal.SIGINT, self._note)
            else:
                before = None
        if not self._lock.acquire(blocking=False):
            self._restore(before)
            raise WorkerError(
                "this pool is in the middle of another call; expected one call at a time; use it "
                "from one thread, and not from handlers of signals"
            )
        self._before = before

    def _note(self, number: int, frame: FrameType | None) -> None:
        first = not self.came
        self.came = True
        if self.waiting and first:
            raise Interrupted

    def __exit__(self, *_: object) -> None:
        try:
            self._restore(self._before)
        finally:  # also when the handler, called or come back, raises
            self._before = None
            self._lock.release()

    def _restore(self, before: Any) -> None:
        if before is not None:
            _raw.signal(signal.SIGINT, before)
            if self.came:
                before(signal.SIGINT, None)
