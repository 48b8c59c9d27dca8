"""What a cache counted, and the uses it has yet to write; safe for threads and forks."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable

from optimizer.protocols import EvaluationCounters, Signature


class Tally:
    """Counters, and the signatures used, latest last, until their uses are written.

    Uses that could not be written are kept apart: what is counted is those since the last attempt,
    so that a file that stays locked is not tried again at every use.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(EvaluationCounters.__slots__, 0)
        self._uses: dict[Signature, None] = {}
        self._given_back: dict[Signature, None] = {}  # older than those
        _tallies.add(self)

    def count(self, **more: int) -> None:
        """Add to the counters of these names."""
        with self._lock:
            for name, number in more.items():
                self._counts[name] += number

    def use(self, signatures: Iterable[Signature]) -> int:
        """Note that these were used, in order; how many were since the last attempt to write."""
        with self._lock:
            for signature in signatures:
                self._uses.pop(signature, None)
                self._uses[signature] = None
            return len(self._uses)

    def has_uses(self) -> bool:
        """Whether uses are yet to be written."""
        with self._lock:
            return bool(self._uses or self._given_back)

    def take_uses(self) -> list[Signature]:
        """The uses to write, oldest first; they are forgotten here."""
        with self._lock:
            uses, self._uses = self._uses, {}
            if self._given_back:
                older, self._given_back = self._given_back, {}
                uses = {**{s: None for s in older if s not in uses}, **uses}
        return list(uses)

    def give_back(self, uses: list[Signature]) -> None:
        """Uses that could not be written: older than any noted since."""
        with self._lock:
            kept = self._given_back
            self._given_back = {**dict.fromkeys(s for s in uses if s not in kept), **kept}

    def snapshot(self) -> EvaluationCounters:
        """The counters now."""
        with self._lock:
            return EvaluationCounters(**self._counts)

    def _restart_in_child(self) -> None:
        self._lock = threading.Lock()


_tallies: weakref.WeakSet[Tally] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for tally in list(_tallies):
        tally._restart_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
