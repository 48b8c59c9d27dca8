"""Ctrl-C at the right moment: at once while an objective runs or is waited for, else soon."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupts:
    """While it is entered, a KeyboardInterrupt of Ctrl-C arrives only where the study can bear it.

    Between the start of a trial and its dispatch, and while a trial is told, it waits: so no trial
    is left running behind it. A second Ctrl-C does not wait. In another thread than the main one,
    and where the program ignores SIGINT, nothing is changed; a handler of the program's own is
    still called, and only the KeyboardInterrupt that it raises waits.
    """

    def __init__(self) -> None:
        self.came = False
        self._welcome = False
        self._held = False
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):
                self._before = before
                signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        try:
            self._before(number, frame)
        except KeyboardInterrupt:
            again, self.came = self.came, True  # raised or not: libraries swallow some
            if not self._held and (self._welcome or again):
                raise

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
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
