"""How far a long step came, said now and then."""

from __future__ import annotations

import time

from .outcome import Progress

EVERY_S = 20.0


class Ticker:
    """Says `"TITLE: 31 of ALL"`, at most every `EVERY_S` seconds; `all_` is "78 cases", say."""

    def __init__(self, progress: Progress, title: str, all_: str) -> None:
        self._progress = progress
        self._title = title
        self._all = all_
        self._begun = 0
        self._said_s = time.monotonic()

    def begin(self, done: int | None = None) -> None:
        """A case begins; before it `done` were, or as many as began here."""
        now_s = time.monotonic()
        if now_s - self._said_s >= EVERY_S:
            self._said_s = now_s
            shown = self._begun if done is None else done
            self._progress(f"{self._title}: {shown} of {self._all}")
        self._begun += 1
