"""When a storage writes by itself: soon after a change, and at the end of the process."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from contextlib import suppress
from typing import Protocol

from optimizer.errors import StoreError

_IDLE_NAPS = 5


class Keeping(Protocol):
    """Something that keeps changes for a while before it writes them."""

    _lock: threading.RLock

    def _has_pending(self) -> bool: ...

    def flush(self) -> None: ...

    def _begin_anew(self) -> None: ...


class Delay:
    """Writes what an owner keeps, from a thread that is there while something is kept.

    It wakes twice per delay, so nothing waits longer than one, and stays for a few naps with
    nothing to do: beginning a thread costs more. `wake` is called with the owner's lock held.
    """

    def __init__(self, delay_s: float) -> None:
        self._nap_s = delay_s / 2
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()
        # The owner, as long as something is kept: the thread has this list too, so that what is
        # kept is written even if nobody else has the owner.
        self._handed: list[Keeping] = []

    def wake(self, owner: Keeping) -> None:
        """Something is kept from now on. Cost: nothing while the thread is there."""
        if self._thread is not None:
            if not self._handed:
                self._handed.append(owner)
            return
        self._hurry, self._handed = threading.Event(), [owner]
        _flush_at_the_end_of_a_child()
        thread = threading.Thread(
            target=self._run,
            args=(weakref.ref(owner), self._handed, self._hurry),
            name="optimizer-flush",
            daemon=True,
        )
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # too many threads, or the interpreter is ending
            self._thread = None
            owner.flush()

    def hurry(self) -> None:
        """Let the thread look now."""
        self._hurry.set()

    def forget(self) -> None:
        """The thread is not in this process: it was forked."""
        self._thread = None

    def _run(
        self, known: weakref.ref[Keeping], handed: list[Keeping], hurry: threading.Event
    ) -> None:
        me = threading.current_thread()
        idle = 0
        try:
            while True:
                hurried = hurry.wait(self._nap_s)
                owner = known()
                if owner is None:
                    return
                with owner._lock:
                    if owner._has_pending():
                        idle = 0
                        hurry.clear()
                        # Locked or full: it is tried again, and the trial's end will say so.
                        with suppress(StoreError):
                            owner.flush()
                    else:
                        idle += 1
                        handed.clear()
                        if hurried or idle >= _IDLE_NAPS:
                            self._thread = None
                            return
                del owner
        finally:
            if self._thread is me:  # it failed in a way nobody thought of; the next one may not
                self._thread = None


_owners: weakref.WeakSet[Keeping] = weakref.WeakSet()
_promised_by = 0  # the process that will flush at its end, as far as multiprocessing goes


def enrol(owner: Keeping) -> None:
    """Flush it at the end of the process; let it begin anew in forked ones."""
    _owners.add(owner)


def _flush_all() -> None:
    for owner in list(_owners):
        with suppress(StoreError):
            owner.flush()


def _flush_at_the_end_of_a_child() -> None:
    """A child of multiprocessing ends without `atexit`, but not without its own finalizers."""
    global _promised_by  # noqa: PLW0603 - one end per process
    children = sys.modules.get("multiprocessing.util")  # loaded in each of them
    if children is not None and _promised_by != os.getpid():
        _promised_by = os.getpid()
        children.Finalize(None, _flush_all, exitpriority=0)


def _begin_anew_in_child() -> None:
    for owner in list(_owners):
        owner._begin_anew()


atexit.register(_flush_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew_in_child)
