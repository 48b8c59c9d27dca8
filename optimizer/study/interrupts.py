"""Ctrl-C at the right moment: at once while an objective runs or is waited for, else soon."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

COMPILERS = frozenset({"numba", "llvmlite"})
"""Packages that swallow a KeyboardInterrupt in a callback from C, or stay half made by it."""
AGAIN_S = 0.05
"""How long until a Ctrl-C that came to one of them is tried again."""


class Interrupts:
    """While it is entered, a KeyboardInterrupt of Ctrl-C arrives only where the study can bear it.

    Between the start of a trial and its dispatch, and while a trial is told, it waits: so no trial
    is left running behind it. It waits, too, for a compilation to come to its end. A second Ctrl-C
    does not wait. In another thread than the main one, and where the program ignores SIGINT,
    nothing is changed; a handler of the program's own is still called, and only the
    KeyboardInterrupt that it raises waits.
    """

    def __init__(self) -> None:
        self.came = False
        self._welcome = False
        self._held = False
        self._before: Any = None
        self._is_ours = False  # the next signal is the one that waited
        self._sending = threading.Lock()

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):
                self._before = before
                signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._is_ours:
            self._is_ours = False
            self._raise_or_wait(frame)
            return
        try:
            self._before(number, frame)
        except KeyboardInterrupt:
            again, self.came = self.came, True  # raised or not: libraries swallow some
            if again and not self._held:
                raise
            self._raise_or_wait(frame)

    def _raise_or_wait(self, frame: FrameType | None) -> None:
        if self._held or not self._welcome:
            return
        if not _compiles(frame):
            raise KeyboardInterrupt from None
        # Not by `threading`, whose locks the interrupted code may hold.
        _thread.start_new_thread(self._send_later, ())

    def _send_later(self) -> None:
        time.sleep(AGAIN_S)
        with self._sending:
            if self._before is not None:
                self._is_ours = True
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    @contextmanager
    def welcome(self) -> Iterator[None]:
        """A block that Ctrl-C may end at any point; one that came before ends it at once.

        While it is held, nothing ends the block.
        """
        try:
            if not self._held:
                self._welcome = True
                self.check()
            yield
        finally:
            self._welcome = False

    def check(self) -> None:
        """Raise the KeyboardInterrupt that waits, if one does."""
        if self.came:
            raise KeyboardInterrupt

    def hold(self) -> None:
        """From here on no Ctrl-C ends the block: the study is being brought to its end.

        `check` tells of one afterwards.
        """
        self._welcome, self._held = False, True

    def __exit__(self, *_: Any) -> None:
        with self._sending:
            if self._before is not None:
                signal.signal(signal.SIGINT, self._before)
            self._before = None


def _compiles(frame: FrameType | None) -> bool:
    """Whether a compiler is at work below this frame."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in COMPILERS:
            return True
        frame = frame.f_back
    return False
