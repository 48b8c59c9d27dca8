"""Caches with a limit: least recently used, and the same with a time to live; both count."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from optimizer.errors import CacheError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Default = TypeVar("Default")

_MISSING = object()


@dataclass(frozen=True, slots=True)
class CacheCounters:
    """What a cache has done since it was made; a snapshot."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    expirations: int = 0

    @property
    def hit_rate(self) -> float:
        """Hits per look-up, 0.0 before the first."""
        return self.hits / max(1, self.hits + self.misses)


class LRUCache(Generic[Key, Value]):
    """The entries used last, at most `maxsize` of them.

    Promises: thread-safe; each call is one step to all others, but `get_or_compute` is a look-up
    and a store with the computation between them, outside the lock. A look-up that hits and a
    store both count as use; `in` and `len` neither count nor make an entry younger. Keys equal as
    dict keys are one key (1, 1.0 and True are): add the type to the key where that is wrong.

    A child forked in the middle of another thread's call begins with an empty cache.

    Cost: every operation takes constant time; `check` and `clear` look at all entries.
    """

    def __init__(self, maxsize: int) -> None:
        """Make an empty cache.

        Args:
            maxsize: entries held at most, at least 1.

        Raises:
            CacheError: maxsize is not a positive integer.
        """
        if isinstance(maxsize, bool) or not isinstance(maxsize, int) or maxsize < 1:
            raise CacheError(f"found maxsize {maxsize!r}, expected an integer of at least 1")
        self.maxsize = maxsize
        self._entries: OrderedDict[Key, Value] = OrderedDict()  # least recently used first
        # Reentrant: the garbage collector may run a finalizer anywhere, which may use this cache.
        self._lock = threading.RLock()
        self._hits = self._misses = self._evictions = self._expirations = 0
        _caches.add(self)

    def get(self, key: Key, default: Default | None = None) -> Value | Default | None:
        """The value of a key, else the default; counts a hit or a miss."""
        with self._lock:
            _dropped = self._drop_expired()  # dies after the lock is released, as everywhere here
            try:
                value = self._entries[key]
            except KeyError:
                self._misses += 1
                return default
            self._entries.move_to_end(key)
            self._hits += 1
            return value

    def get_batch(self, keys: Iterable[Key]) -> list[Value | None]:
        """`get` of each, in order, as one step to all others. Cost: less than one by one."""
        found: list[Value | None] = []
        with self._lock:
            _dropped = self._drop_expired()
            look_up, move_to_end = self._entries.get, self._entries.move_to_end
            misses = 0
            for key in keys:
                value = look_up(key, _MISSING)
                if value is _MISSING:
                    misses += 1
                    found.append(None)
                else:
                    move_to_end(key)
                    found.append(value)  # type: ignore[arg-type]  # only the default is no Value
            self._misses += misses
            self._hits += len(found) - misses
        return found

    def put(self, key: Key, value: Value) -> None:
        """Store or replace a value; the entry used longest ago makes room."""
        with self._lock:
            _dropped = self._drop_expired()
            _replaced = self._entries.get(key)
            self._entries[key] = value
            self._entries.move_to_end(key)
            self._stored(key)
            if len(self._entries) > self.maxsize:
                oldest = next(iter(self._entries))
                _evicted = self._remove(oldest)
                self._evictions += 1

    __setitem__ = put

    def get_or_compute(self, key: Key, compute: Callable[[], Value]) -> Value:
        """The value of a key; on a miss what `compute()` returns, stored first.

        Two threads that miss at the same time both compute, and the later one's value stays. What
        `compute` raises is passed on, and nothing is stored.
        """
        found = self.get(key, _MISSING)
        if found is not _MISSING:
            return found  # type: ignore[return-value]  # only the default is no Value
        value = compute()
        self.put(key, value)
        return value

    def clear(self) -> None:
        """Drop all entries; the counters stay, and nothing counts as evicted."""
        with self._lock:
            dropped = list(self._entries.items())
            for key, _ in dropped:
                self._remove(key)

    def counters(self) -> CacheCounters:
        """A snapshot of the counters."""
        with self._lock:
            _dropped = self._drop_expired()
            return CacheCounters(self._hits, self._misses, self._evictions, self._expirations)

    def __len__(self) -> int:
        with self._lock:
            _dropped = self._drop_expired()
            return len(self._entries)

    def __contains__(self, key: object) -> bool:
        with self._lock:
            _dropped = self._drop_expired()
            return key in self._entries

    def check(self) -> None:
        """Verify every invariant.

        Raises:
            CacheError: one is broken, which is a defect of this class.
        """
        with self._lock:
            if len(self._entries) > self.maxsize:
                raise CacheError(f"found {len(self._entries)} entries, expected {self.maxsize}")
            if min(self._hits, self._misses, self._evictions, self._expirations) < 0:
                raise CacheError("found a negative counter, expected none")

    def _drop_expired(self) -> Sequence[tuple[Key, Value]]:
        """What expired; nothing does here. Called under the lock before every operation.

        The caller holds it until the lock is released: a finalizer may use this cache, and must not
        find it between two steps of a call.
        """
        return ()

    def _stored(self, key: Key) -> None:
        """Called under the lock after an entry was stored."""

    def _remove(self, key: Key) -> Value:
        return self._entries.pop(key)

    def _restart_in_child(self) -> None:
        """Begin anew after a fork in the middle of another thread's call, which ends there."""
        self._lock = threading.RLock()
        self._entries = OrderedDict()


class TTLCache(LRUCache[Key, Value]):
    """An LRUCache whose entries also end `ttl_s` seconds after they were stored.

    Promises, beyond those of LRUCache: an entry is gone as soon as its age reaches `ttl_s`; reading
    it does not make it live longer, storing it again does. Expired entries never take the room of
    living ones and never count as evicted.

    Cost: constant time per operation, plus constant time once for each entry that expires.
    """

    def __init__(
        self, maxsize: int, ttl_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Make an empty cache.

        Args:
            maxsize: entries held at most, at least 1.
            ttl_s: seconds an entry lives, above 0; infinity is allowed.
            clock: seconds that never go back; only differences count.

        Raises:
            CacheError: maxsize is not a positive integer, or ttl_s not a positive number.
        """
        super().__init__(maxsize)
        if isinstance(ttl_s, bool) or not isinstance(ttl_s, (int, float)) or not ttl_s > 0:
            raise CacheError(f"found ttl_s {ttl_s!r}, expected a number of seconds above 0")
        self.ttl_s = ttl_s
        self._clock = clock
        self._stored_at: OrderedDict[Key, float] = OrderedDict()  # stored first comes first

    def _drop_expired(self) -> Sequence[tuple[Key, Value]]:
        if not self._stored_at:
            return ()
        dropped = []
        now = self._clock()
        while self._stored_at:
            oldest, stored_at = next(iter(self._stored_at.items()))
            if now - stored_at < self.ttl_s:
                break
            dropped.append((oldest, self._remove(oldest)))
            self._expirations += 1
        return dropped

    def _stored(self, key: Key) -> None:
        self._stored_at[key] = self._clock()
        self._stored_at.move_to_end(key)

    def _remove(self, key: Key) -> Value:
        del self._stored_at[key]
        return super()._remove(key)

    def _restart_in_child(self) -> None:
        super()._restart_in_child()
        self._stored_at = OrderedDict()

    def check(self) -> None:
        """Verify every invariant.

        Raises:
            CacheError: one is broken, which is a defect of this class or a clock that went back.
        """
        super().check()
        with self._lock:
            if self._stored_at.keys() != self._entries.keys():
                raise CacheError("found entries without a time, expected one for each")
            times = list(self._stored_at.values())
            if times != sorted(times):
                raise CacheError("found times out of order, expected a clock that never goes back")


_caches: weakref.WeakSet[LRUCache[Any, Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for cache in list(_caches):
        if cache._lock.acquire(blocking=False):
            cache._lock.release()
        else:  # held by a thread that is not there in the child
            cache._restart_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
