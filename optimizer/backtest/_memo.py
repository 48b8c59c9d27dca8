"""Results that are kept within a number of bytes, each computed by one thread at a time."""

from __future__ import annotations

import os
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.caching import LRUCache
from optimizer.errors import CacheError

DEFAULT_BYTES = 256 * 1024 * 1024
MOST_ENTRIES = 1_000_000
ENTRY_BYTES = 500
"""What an entry takes beside its value: about the size of its key and of two dict slots."""


@dataclass(frozen=True, slots=True)
class MemoCounters:
    """What a memo has done since it was made; a snapshot.

    Attributes:
        hits: answers from memory.
        waits: answers that another thread was just computing.
        misses: computations.
        evictions: results dropped to make room.
        kept_bytes: what is kept now.
        saved_s: seconds that the results of hits and waits took when they were computed.
    """

    hits: int = 0
    waits: int = 0
    misses: int = 0
    evictions: int = 0
    kept_bytes: int = 0
    saved_s: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Hits and waits per question, 0.0 before the first."""
        asked = self.hits + self.waits + self.misses
        return (self.hits + self.waits) / max(1, asked)


@dataclass(frozen=True, slots=True)
class _Kept:
    value: Any
    size_bytes: int
    took_s: float


@dataclass(slots=True)
class _Flight:
    """A computation that is going on."""

    process: int = field(default_factory=os.getpid)
    thread: int = field(default_factory=threading.get_ident)
    done: threading.Event = field(default_factory=threading.Event)
    kept: _Kept | None = None  # None at the end: it raised


class Memo(LRUCache[Hashable, _Kept]):
    """Results by key, the least recently used dropped as soon as they take more than `max_bytes`.

    Promises, beyond those of LRUCache: of threads that ask for the same key at the same time one
    computes, the others wait for its result. What a computation raises is passed on to the one
    that computed, and another one that waits computes anew. A result larger than `max_bytes` is
    returned, not kept.

    Cost: a hit is one look-up.
    """

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        """Make an empty memo.

        Raises:
            CacheError: max_bytes is not a positive integer.
        """
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:
            raise CacheError(f"found max_bytes {max_bytes!r}, expected an integer of at least 1")
        super().__init__(MOST_ENTRIES)
        self.max_bytes = max_bytes
        self._kept_bytes = 0
        self._saved_s = 0.0
        self._waits = 0
        self._flights: dict[Hashable, _Flight] = {}

    def result(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """What is kept under a key; else what `compute()` returns, which is kept first.

        Raises:
            CacheError: `compute` asks for its own key.
        """
        kept = self.get(key)
        if kept is None:
            return self._fly(key, compute)
        with self._lock:
            self._saved_s += kept.took_s
        return kept.value

    def _fly(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        while True:
            mine = _Flight()
            flight = self._flights.setdefault(key, mine)  # one step: no lock, so none to fork with
            if flight is mine:
                return self._compute(key, compute, mine)
            if flight.process != mine.process:  # of a thread that a fork left behind
                self._flights.pop(key, None)
                continue
            if flight.thread == mine.thread:
                raise CacheError(f"found {key!a:.200}, which needs itself; expected other inputs")
            flight.done.wait()
            if flight.kept is not None:
                return self._waited(flight.kept)

    def _compute(self, key: Hashable, compute: Callable[[], Any], flight: _Flight) -> Any:
        try:
            with self._lock:
                kept = self._entries.get(key)
            if kept is not None:  # since this thread looked
                flight.kept = kept
                return self._waited(kept)
            start = time.perf_counter()
            value = compute()
            took_s = time.perf_counter() - start
            flight.kept = _Kept(value, ENTRY_BYTES + size_of(value), took_s)
            self.put(key, flight.kept)
            return value
        finally:
            self._flights.pop(key, None)
            flight.done.set()

    def _waited(self, kept: _Kept) -> Any:
        with self._lock:
            self._waits += 1
            self._saved_s += kept.took_s
        return kept.value

    def put(self, key: Hashable, value: _Kept) -> None:
        """Keep a result; those used longest ago make room."""
        dropped = []  # dies after the lock is released: a finalizer may use this memo
        with self._lock:
            if key in self._entries:
                dropped.append(self._remove(key))
            if value.size_bytes > self.max_bytes:
                return
            while self._kept_bytes + value.size_bytes > self.max_bytes:
                dropped.append(self._remove(next(iter(self._entries))))
                self._evictions += 1
            super().put(key, value)

    __setitem__ = put

    def memo_counters(self) -> MemoCounters:
        """A snapshot of the counters."""
        with self._lock:
            return MemoCounters(
                hits=self._hits,
                waits=self._waits,
                misses=self._misses - self._waits,
                evictions=self._evictions,
                kept_bytes=self._kept_bytes,
                saved_s=self._saved_s,
            )

    def check(self) -> None:
        """Verify every invariant.

        Raises:
            CacheError: one is broken, which is a defect of this class.
        """
        super().check()
        with self._lock:
            kept = sum(entry.size_bytes for entry in self._entries.values())
            if not kept == self._kept_bytes <= self.max_bytes:
                raise CacheError(
                    f"found {kept} bytes counted as {self._kept_bytes}, expected the same, at most "
                    f"{self.max_bytes}"
                )

    def _stored(self, key: Hashable) -> None:
        self._kept_bytes += self._entries[key].size_bytes

    def _remove(self, key: Hashable) -> _Kept:
        kept = super()._remove(key)
        self._kept_bytes -= kept.size_bytes
        return kept

    def _restart_in_child(self) -> None:
        super()._restart_in_child()
        self._kept_bytes = 0


def size_of(value: Any) -> int:
    """About the bytes that a result keeps alive; what is there twice counts once.

    Arrays count with what they are a part of. Containers count what they hold, and so do objects
    whose class is written in Python; what says its own size is believed, as pandas' tables, texts
    included. Functions, classes and modules are there anyway.
    """
    if type(value) is np.ndarray and not value.dtype.hasobject:
        return _owner_bytes(_owner(value))
    total = 0
    seen: dict[int, Any] = {}  # kept, so that no number is given out again
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, np.ndarray):
            one = _owner(one)
        if id(one) in seen or isinstance(one, _THERE_ANYWAY):
            continue
        seen[id(one)] = one
        total += _owner_bytes(one) if isinstance(one, np.ndarray) else sys.getsizeof(one)
        todo.extend(_held(one))
    return total


_THERE_ANYWAY = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


def _owner(array: NDArray[Any]) -> NDArray[Any]:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _owner_bytes(owner: NDArray[Any]) -> int:
    return sys.getsizeof(owner) + (0 if owner.flags.owndata else owner.nbytes)


def _held(one: Any) -> Iterable[Any]:
    """What an object holds that its own size does not tell."""
    if isinstance(one, np.ndarray):
        return one.reshape(-1).tolist() if one.dtype == np.object_ else ()
    if isinstance(one, (tuple, list, set, frozenset, deque)):
        return one
    if isinstance(one, dict):
        return [*one, *one.values()]
    plain: Any = object.__sizeof__
    if type(one).__sizeof__ is not plain:
        return ()
    held = list(getattr(one, "__dict__", {}).values())
    for kind in type(one).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            full = f"_{kind.__name__.lstrip('_')}{name}" if private else name
            held.append(getattr(one, full, None))
    return held
