"""Calls that Ctrl-C finds either not begun or ended."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

from optimizer.errors import OptimizerError, WorkerError

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
        cut: whether a block was left half way: by what the handler of another signal raised.
    """

    __slots__ = ("_before", "_held", "came", "cut", "waiting")

    def __init__(self) -> None:
        self.came = False
        self.waiting = False
        self.cut = False
        self._before: Any = None
        # Who is in the block: a lock that is taken and signed in one step.
        self._held: dict[str, tuple[int, FrameType]] = {}

    def __enter__(self) -> None:
        own = threading.get_ident(), sys._getframe(1)
        put = own[0] == threading.main_thread().ident and self._defer()
        holder = self._held.setdefault("by", own)
        if holder is not own:
            if holder[0] != own[0] or _runs(holder[1]):
                if put:
                    self._restore()
                raise WorkerError(
                    "this pool is in the middle of another call; expected one call at a time; use "
                    "it from one thread, and not from handlers of signals"
                )
            self._held["by"] = own
            self.cut = True  # at its very beginning or end
        self.waiting = False  # another signal's handler may have ended the last wait

    def _defer(self) -> bool:
        before = _raw.getsignal(signal.SIGINT)
        if not callable(before) or before == self._note:
            # Ignored, or of the system, or of another language; or of a block that was cut off.
            return False
        self.came = False
        self._before = before
        _raw.signal(signal.SIGINT, self._note)
        return True

    def _note(self, number: int, frame: FrameType | None) -> None:
        first = not self.came
        self.came = True
        if self.waiting and first:
            raise Interrupted

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not self.waiting and not issubclass(kind, OptimizerError):
            self.cut = True
        try:
            self._restore()
        finally:  # also when the handler, called or come back, raises
            self._held.clear()

    def _restore(self) -> None:
        before = self._before
        if before is not None and threading.get_ident() == threading.main_thread().ident:
            _raw.signal(signal.SIGINT, before)
            self._before = None
            if self.came:
                before(signal.SIGINT, None)

    def let_go(self) -> None:
        """In a forked copy of the process: SIGINT is what it was before the block."""
        if self._before is not None:
            _raw.signal(signal.SIGINT, self._before)


def _runs(frame: FrameType) -> bool:
    """Whether this thread is still in that call, or in one that it called."""
    at: FrameType | None = sys._getframe(1)
    while at is not None and at is not frame:
        at = at.f_back
    return at is not None
