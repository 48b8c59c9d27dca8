"""How closely a storage watches its file while a trial runs here."""

from __future__ import annotations

import time

from optimizer.stores._one_connection import Moment

ALONE_AFTER_S = 5.0
"""After so long without a commit of anyone else, a process is taken to be alone for now."""


class Attention:
    """Looks at every call while others write to the file too; once per delay while nobody does.

    Only changes of a running trial ask it. All else looks at every call.
    """

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._moment: Moment | None = None
        self._rests_until_s = 0.0
        self._alone_from_s = 0.0

    def looked(self, moment: Moment) -> None:
        """The file was looked at, and this was its moment."""
        now_s = time.monotonic()
        if moment != self._moment:
            if self._moment is not None:
                self._alone_from_s = now_s + ALONE_AFTER_S
            self._moment = moment
        self._rests_until_s = now_s + self._delay_s

    def rests(self) -> bool:
        """Whether the next change may go without a look."""
        return self._alone_from_s <= time.monotonic() < self._rests_until_s
