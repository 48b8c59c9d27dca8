"""Caches against their plain twins, step by step."""

from __future__ import annotations

import math
import operator
import os
import signal
import threading
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from optimizer.caching import CacheCounters, LRUCache, TTLCache
from optimizer.errors import CacheError
from optimizer.reference import caching as reference

KEYS = st.one_of(st.integers(0, 6), st.sampled_from(["a", "b", True, 1.0, None, (1, "x")]))
VALUES = st.one_of(st.none(), st.integers())


class CacheMachine(RuleBasedStateMachine):
    """Random actions on a TTLCache, an LRUCache and the twins of both."""

    @initialize(maxsize=st.integers(1, 5), ttl_s=st.sampled_from([1, 2.5, 10.0, math.inf]))
    def make(self, maxsize: int, ttl_s: float) -> None:
        self.now_s = 0.0
        self.pairs: list[tuple[Any, Any]] = [
            (LRUCache(maxsize), reference.LRUCache(maxsize)),
            (
                TTLCache(maxsize, ttl_s, clock=lambda: self.now_s),
                reference.TTLCache(maxsize, ttl_s, clock=lambda: self.now_s),
            ),
        ]

    @rule(key=KEYS)
    def get(self, key: Any) -> None:
        for comp, ref in self.pairs:
            assert comp.get(key, "default") == ref.get(key, "default")

    @rule(keys=st.lists(KEYS, max_size=4))
    def get_batch(self, keys: list[Any]) -> None:
        for comp, ref in self.pairs:
            assert comp.get_batch(keys) == [ref.get(key) for key in keys]

    @rule(key=KEYS, value=VALUES)
    def put(self, key: Any, value: Any) -> None:
        for comp, ref in self.pairs:
            comp[key] = value
            ref[key] = value

    @rule(key=KEYS, value=VALUES)
    def get_or_compute(self, key: Any, value: Any) -> None:
        for comp, ref in self.pairs:
            assert comp.get_or_compute(key, lambda: value) == ref.get_or_compute(key, lambda: value)

    @rule(key=KEYS)
    def contains(self, key: Any) -> None:
        for comp, ref in self.pairs:
            assert (key in comp) == (key in ref)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def clear(self) -> None:
        for comp, ref in self.pairs:
            comp.clear()
            ref.clear()

    @invariant()
    def same(self) -> None:
        for comp, ref in getattr(self, "pairs", ()):
            comp.check()
            assert len(comp) == len(ref)
            mine, theirs = comp.counters(), ref.counters()
            for name in ("hits", "misses", "evictions", "expirations", "hit_rate"):
                assert getattr(mine, name) == getattr(theirs, name)


TestCacheMachine = CacheMachine.TestCase


def test_evicts_the_entry_used_longest_ago_not_the_one_stored_first() -> None:
    cache: LRUCache[str, int] = LRUCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert "a" in cache
    assert "b" not in cache
    assert cache.counters() == CacheCounters(hits=1, evictions=1)


def test_asking_with_in_neither_counts_nor_makes_younger() -> None:
    cache: LRUCache[str, int] = LRUCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert "a" in cache
    cache.put("c", 3)
    assert "a" not in cache
    assert cache.counters() == CacheCounters(evictions=1)


def test_an_entry_ends_at_its_time_even_if_read_before() -> None:
    now_s = 0.0
    cache: TTLCache[str, int] = TTLCache(2, ttl_s=10, clock=lambda: now_s)
    cache.put("a", 1)
    now_s = 9.9
    assert cache.get("a") == 1
    now_s = 10.0
    assert cache.get("a") is None
    assert cache.counters() == CacheCounters(hits=1, misses=1, expirations=1)


def test_an_expired_entry_never_pushes_out_a_living_one() -> None:
    now_s = 0.0
    cache: TTLCache[str, int] = TTLCache(2, ttl_s=10, clock=lambda: now_s)
    cache.put("old", 1)
    now_s = 5.0
    cache.put("young", 2)
    assert cache.get("old") == 1  # so that "young" is the least recently used
    now_s = 12.0
    cache.put("new", 3)
    assert "young" in cache
    assert cache.counters().evictions == 0


def test_a_stored_none_is_a_hit() -> None:
    cache: LRUCache[str, None] = LRUCache(2)
    cache.put("a", None)
    cache.get_or_compute("a", lambda: pytest.fail("computed again"))
    assert cache.counters() == CacheCounters(hits=1)
    assert cache.counters().hit_rate == 1.0


def test_a_failed_computation_stores_nothing() -> None:
    cache: LRUCache[str, float] = LRUCache(2)
    with pytest.raises(ZeroDivisionError):
        cache.get_or_compute("a", lambda: 1 / 0)
    assert len(cache) == 0


def test_a_computation_may_use_the_cache() -> None:
    cache: LRUCache[int, int] = LRUCache(100)

    def fibonacci(n: int) -> int:
        return cache.get_or_compute(n, lambda: n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2))

    assert fibonacci(50) == 12_586_269_025


@pytest.mark.parametrize("maxsize", [0, -1, True, 1.5, "5", None])
def test_a_senseless_size_is_refused(maxsize: Any) -> None:
    with pytest.raises(CacheError, match="expected an integer of at least 1"):
        LRUCache(maxsize)


@pytest.mark.parametrize("ttl_s", [0, -1, math.nan, True, "5", None])
def test_a_senseless_time_to_live_is_refused(ttl_s: Any) -> None:
    with pytest.raises(CacheError, match="expected a number of seconds above 0"):
        TTLCache(1, ttl_s)


def test_check_sees_what_is_broken() -> None:
    cache: TTLCache[int, int] = TTLCache(2, ttl_s=1)
    cache._entries[1] = 1
    with pytest.raises(CacheError, match="without a time"):
        cache.check()
    lru: LRUCache[int, int] = LRUCache(1)
    lru._entries.update({1: 1, 2: 2})
    with pytest.raises(CacheError, match="found 2 entries"):
        lru.check()
    back = iter([5.0, 3.0, 3.0, 3.0])
    cache = TTLCache(2, ttl_s=10, clock=lambda: next(back))
    cache.put(1, 1)
    cache.put(2, 2)
    with pytest.raises(CacheError, match="clock"):
        cache.check()


def hammer(rounds: int, cache: LRUCache[int, int]) -> int:
    """Eight threads use one cache; how many look-ups they made."""
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for i in range(rounds):
                key = (i * 7 + seed) % 50
                assert cache.get_or_compute(key, partial(operator.mul, key, 2)) == key * 2
                if i % 97 == 0:
                    cache.check()
                    assert len(cache) <= cache.maxsize
                    _ = key in cache
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return 8 * rounds


@pytest.mark.parametrize("cache", [LRUCache(20), TTLCache(20, ttl_s=0.001)], ids=["lru", "ttl"])
@pytest.mark.parametrize("rounds", [500, pytest.param(50_000, marks=pytest.mark.stress)])
def test_threads_share_a_cache(cache: LRUCache[int, int], rounds: int) -> None:
    before = cache.counters()
    lookups = hammer(rounds, cache)
    after = cache.counters()
    assert after.hits + after.misses - before.hits - before.misses == lookups
    cache.check()


class Meddler:
    """A value whose end uses the cache it was in."""

    def __init__(self, cache: Any, ends: list[Any]) -> None:
        self.cache, self.ends = cache, ends

    def __del__(self) -> None:
        self.cache.clear()
        self.cache.check()
        self.ends.append(self.cache._lock._is_owned())


@pytest.mark.parametrize("make", [LRUCache, partial(TTLCache, ttl_s=5.0)])
@pytest.mark.parametrize("how", ["replace", "evict", "clear", "expire"])
def test_a_finalizer_may_use_the_cache(make: Any, how: str) -> None:
    now_s = [0.0]
    cache = TTLCache(1, 5.0, clock=lambda: now_s[0]) if how == "expire" else make(1)
    ends: list[Any] = []
    cache.put("a", Meddler(cache, ends))
    if how == "clear":
        cache.clear()
    elif how == "expire":
        now_s[0] = 9.0
        assert cache.get("a") is None
    else:
        cache.put("a" if how == "replace" else "b", 1)
    assert ends == [False]  # it ended, after the lock was released
    cache.check()
    for key in "xyz":
        cache.put(key, 1)
    assert cache.get("z") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="without fork there is no child")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_does_not_wait_for_the_parents_threads() -> None:
    busy, quiet = TTLCache[str, int](4, 5.0), LRUCache[str, int](4)
    for cache in (busy, quiet):
        cache.put("a", 1)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with busy._lock:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(5)  # instead of waiting for ever
        fine = busy.get("a") is None and quiet.get("a") == 1
        busy.put("b", 2)
        os._exit(0 if fine and busy.get("b") == 2 else 1)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert busy.get("a") == 1
