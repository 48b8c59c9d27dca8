"""The plain twins of `optimizer.caching`: lists, linear searches, no lock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CacheCounters:
    """What a cache has done since it was made; a snapshot."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    expirations: int = 0

    @property
    def hit_rate(self) -> float:
        """Hits per look-up, 0.0 before the first."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else 0.0


class TTLCache:
    """At most `maxsize` entries, each for `ttl_s` seconds, as a list of [key, value, stored at].

    The list is in order of use, latest last. Not thread-safe. Cost: linear in the entries.
    """

    def __init__(
        self, maxsize: int, ttl_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Make an empty cache; the arguments are those of the fast one, and are not checked."""
        self.maxsize = maxsize
        self.ttl_s = ttl_s
        self.clock = clock
        self.entries: list[tuple[Any, Any, float]] = []
        self.hits = self.misses = self.evictions = self.expirations = 0

    def _drop_expired(self) -> None:
        now = self.clock()
        living = [entry for entry in self.entries if now - entry[2] < self.ttl_s]
        self.expirations += len(self.entries) - len(living)
        self.entries = living

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key, else the default; counts a hit or a miss."""
        self._drop_expired()
        for entry in self.entries:
            if entry[0] == key:
                self.entries.remove(entry)
                self.entries.append(entry)
                self.hits += 1
                return entry[1]
        self.misses += 1
        return default

    def put(self, key: Any, value: Any) -> None:
        """Store or replace a value; the entry used longest ago makes room."""
        self._drop_expired()
        self.entries = [entry for entry in self.entries if entry[0] != key]
        self.entries.append((key, value, self.clock()))
        if len(self.entries) > self.maxsize:
            self.entries.pop(0)
            self.evictions += 1

    __setitem__ = put

    def get_or_compute(self, key: Any, compute: Callable[[], Any]) -> Any:
        """The value of a key; on a miss what `compute()` returns, stored first."""
        missing = object()
        found = self.get(key, missing)
        if found is missing:
            found = compute()
            self.put(key, found)
        return found

    def clear(self) -> None:
        """Drop all entries; the counters stay, and nothing counts as evicted."""
        self.entries = []

    def counters(self) -> CacheCounters:
        """A snapshot of the counters."""
        self._drop_expired()
        return CacheCounters(self.hits, self.misses, self.evictions, self.expirations)

    def __len__(self) -> int:
        self._drop_expired()
        return len(self.entries)

    def __contains__(self, key: Any) -> bool:
        self._drop_expired()
        return any(entry[0] == key for entry in self.entries)


class LRUCache(TTLCache):
    """At most `maxsize` entries, for ever."""

    def __init__(self, maxsize: int) -> None:
        """Make an empty cache; the argument is that of the fast one, and is not checked."""
        super().__init__(maxsize, ttl_s=float("inf"), clock=lambda: 0.0)
