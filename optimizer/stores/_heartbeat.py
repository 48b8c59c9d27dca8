"""One thread renews the claims that this process is working on, while there are any."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from optimizer.errors import StoreError
from optimizer.protocols import Claim

RENEWALS = 3  # per lease
LONGEST_NAP_S = 0.5


class Heartbeat:
    """Renews each claim three times per lease, from a background thread.

    The thread starts with the first claim and ends by itself when it finds none. So a fork soon
    after a claim has a second thread beside it, which holds nothing then.
    """

    def __init__(self, renew: Callable[[Claim], bool]) -> None:
        self._renew = renew
        self._lock = threading.Lock()
        self._due_s: dict[Claim, float] = {}  # by the monotonic clock
        self._thread: threading.Thread | None = None
        _heartbeats.add(self)

    @contextmanager
    def beating(self, claim: Claim) -> Iterator[None]:
        """Renew the claim until the block ends. Cost: at most the start of a thread."""
        try:
            with self._lock:
                self._due_s[claim] = time.monotonic() + claim.lease_s / RENEWALS
                if self._thread is None:
                    nap_s = min(LONGEST_NAP_S, claim.lease_s / RENEWALS / 2)
                    thread = threading.Thread(target=self._run, args=(nap_s,), daemon=True)
                    thread.start()  # may be refused, where there are too many
                    self._thread = thread
            yield
        finally:
            with self._lock:
                self._due_s.pop(claim, None)

    def _run(self, nap_s: float) -> None:
        while True:
            time.sleep(nap_s)
            with self._lock:
                if not self._due_s:
                    self._thread = None
                    return
                now_s = time.monotonic()
                due = [claim for claim, due_s in self._due_s.items() if due_s <= now_s]
                shortest_s = min(claim.lease_s for claim in self._due_s)
            nap_s = min(LONGEST_NAP_S, shortest_s / RENEWALS / 2)
            for claim in due:
                self._renew_one(claim)

    def _renew_one(self, claim: Claim) -> None:
        try:
            held = self._renew(claim)
        except StoreError:  # locked, say: the next nap is short
            return
        with self._lock:
            if claim in self._due_s:
                next_s = time.monotonic() + claim.lease_s / RENEWALS
                self._due_s[claim] = next_s if held else float("inf")

    def _restart_in_child(self) -> None:
        """The claims are the parent's, and its thread is not here."""
        self._lock = threading.Lock()
        self._due_s = {}
        self._thread = None


_heartbeats: weakref.WeakSet[Heartbeat] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for heartbeat in list(_heartbeats):
        heartbeat._restart_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
