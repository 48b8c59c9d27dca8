"""Updates gathered and written together: bounded in number and age, flushed at exit and SIGTERM.

Updates are written by the thread that makes the last one of a full batch, or by a thread of their
own once the oldest has waited long enough. One lock guards a batch.

A signal handler runs in the main thread between two bytecodes, maybe in the middle of a call here.
So the lock may be taken again by its holder, `owner` tells the handler that the call it interrupted
is not done, and the handler then leaves flushing and everything else to the end of that call.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from optimizer.errors import StoreArgumentError, StoreClosedError

SIGNAL_WAIT_S = 10.0  # how long the handler waits for another thread that is writing


class Target(Protocol):
    """Where updates are written; `optimizer.protocols.MetadataStore` is one."""

    def update(self, values: Mapping[str, Any], /) -> None:
        """Store all or none."""
        ...


class Batch:
    """Named values on their way to a target; the last value of a name wins.

    `max_updates` are written at once, and nothing waits longer than `max_age_s`, except while the
    target is slow or fails. Thread-safe. After a fork, the child has none of the parent's updates.
    `name` is what errors call it.
    """

    def __init__(self, target: Target, max_updates: int, max_age_s: float, name: str) -> None:
        if type(max_updates) is not int or max_updates < 1:
            raise StoreArgumentError(
                f"max_updates is {max_updates!r}, expected an integer from 1 (1 writes each)."
            )
        if not isinstance(max_age_s, int | float) or not 0.0 < max_age_s <= threading.TIMEOUT_MAX:
            raise StoreArgumentError(f"max_age_s is {max_age_s!r}, expected seconds above 0.")
        self.max_updates = max_updates
        self.max_age_s = float(max_age_s)
        self.closed = False
        self._target = target
        self.name = name
        self._begin()
        _all.add(self)
        _watch()

    def _begin(self) -> None:
        self.lock = threading.RLock()
        self.owner = 0  # the thread that is in the middle of a call
        self.waiting: dict[str, Any] = {}
        self._updates = 0  # of which the waiting are what is left
        self._oldest_s = 0.0
        self._timer: threading.Thread | None = None
        self._ended = threading.Event()

    @contextmanager
    def call(self, *, closed_too: bool = False) -> Iterator[None]:
        """Hold the lock; a signal that comes in between is acted upon at the end.

        Raises
        ------
        StoreClosedError
            It is closed, unless `closed_too`.
        """
        try:
            with self.lock:
                self.owner = threading.get_ident()
                try:
                    if self.closed and not closed_too:
                        raise self.refusal()
                    yield
                finally:
                    self.owner = 0
        finally:
            _deliver()

    def update(self, values: Mapping[str, Any]) -> None:
        """Take values, and write what waits if that makes a batch.

        If writing raises, everything waits on, and is tried again by the next update, by the clock
        and at the end.
        """
        if not values:
            return
        with self.call():
            if not self.waiting:
                self._oldest_s = time.monotonic()
                _unwritten.add(self)
            self.waiting.update(values)
            self._updates += len(values)
            # A thread that runs is seen here, as this line is passed for every update.
            if self._updates >= self.max_updates or (self._timer is None and not self._timed()):
                self.write()

    def flush(self) -> None:
        """Write what waits."""
        with self.call():
            self.write()

    def close(self) -> bool:
        """Write what waits, and take nothing more; False if it was closed already."""
        with self.call(closed_too=True):
            if self.closed:
                return False
            self.write()
            self.closed = True  # in the same block: no update can come in between
            self._ended.set()
            _all.discard(self)
        _unwatch()
        return True

    def refusal(self) -> StoreClosedError:
        """The error for using it after it was closed."""
        return StoreClosedError(
            f"the metadata of {self.name!r} cannot be used any more: it was closed. Expected an"
            " open one; open it anew."
        )

    def write(self) -> None:
        """Write what waits; call it inside `call`."""
        if self.waiting:
            self._target.update(self.waiting)
            # Only now: had writing raised, all of it would wait on.
            self.waiting, self._updates = {}, 0
        _unwritten.discard(self)

    def _timed(self) -> bool:
        """Start the thread that watches the age; False where none can be started any more."""
        timer = threading.Thread(target=self._watch_age, name="metadata", daemon=True)
        try:
            timer.start()
        except RuntimeError:  # the interpreter is shutting down
            return False
        self._timer = timer
        return True

    def _watch_age(self) -> None:
        wait_s = self.max_age_s
        while not self._ended.wait(wait_s):
            with self.lock:
                if not self.waiting:
                    self._timer = None
                    return
                wait_s = self._oldest_s + self.max_age_s - time.monotonic()
                if wait_s > 0.0:
                    continue
                self._write_by_age()
                wait_s = self.max_age_s

    def _write_by_age(self) -> None:
        try:
            self.write()
        except Exception as error:  # nobody above it; tried again after max_age_s
            _complain("could not be written yet", error)


def _complain(what: str, error: BaseException) -> None:
    sys.stderr.write(f"optimizer: metadata {what}: {error}\n")


# --- the end of the process

_all: weakref.WeakSet[Batch] = weakref.WeakSet()
_unwritten: set[Batch] = set()  # keeps alive what was dropped with updates still waiting
_previous: Any = None  # handler of SIGTERM before ours; None while ours is not installed
_interrupted: int | None = None  # a signal to be delivered when the call under way is done


def _flush_all(otherwise: str) -> bool:
    """Write what waits anywhere; whether all of it was written, else stderr says what was not."""
    for batch in list(_unwritten):
        if not batch.lock.acquire(timeout=SIGNAL_WAIT_S):
            _complain(otherwise, TimeoutError(f"a thread wrote for over {SIGNAL_WAIT_S:g} s"))
            continue
        try:
            batch.write()
        except Exception as error:  # the process ends, and the other batches must have their turn
            _complain(otherwise, error)
        finally:
            batch.lock.release()
    return not _unwritten


def _at_exit() -> None:
    _flush_all("was lost at exit")


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Flush, then do what would have been done without us."""
    global _interrupted  # noqa: PLW0603 - signals belong to the whole process
    me = threading.get_ident()
    if any(batch.owner == me for batch in list(_all)):
        _interrupted = number
        return
    written = _flush_all("could not be written at a signal")
    if callable(_previous):
        _previous(number, frame)
    elif _previous == signal.SIG_DFL:
        if not written:
            # What was interrupted may hold a lock that writing needs: leave it, then try at exit.
            raise SystemExit(128 + number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _deliver() -> None:
    global _interrupted
    if _interrupted is not None and threading.current_thread() is threading.main_thread():
        number, _interrupted = _interrupted, None
        signal.raise_signal(number)


def _watch() -> None:
    """Install the handler, if this is the main thread and nobody did."""
    global _previous  # noqa: PLW0603 - see above
    if _previous is None and threading.current_thread() is threading.main_thread():
        found = signal.getsignal(signal.SIGTERM)
        if found is not None:  # else not installed from Python: it cannot be called
            signal.signal(signal.SIGTERM, _on_signal)
            _previous = found


def _unwatch() -> None:
    """Give the handler back when the last batch is closed, unless somebody chained to it."""
    global _previous  # noqa: PLW0603 - see above
    if _all or _previous is None or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is _on_signal:
        signal.signal(signal.SIGTERM, _previous)
        _previous = None


def _after_fork_in_child() -> None:
    """What waits is the parent's, as are the threads; a lock may be held by one of them."""
    global _interrupted  # noqa: PLW0603 - see above
    _interrupted = None
    _unwritten.clear()
    for batch in list(_all):
        batch._begin()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
