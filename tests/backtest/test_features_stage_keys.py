"""What a stage's key costs, and what a cache counts as kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from optimizer.backtest._memo import size_of
from optimizer.backtest.prices import synthetic_market
from optimizer.backtest.stages import StageCache
from optimizer.backtest.tracker import Tracker


class Joined:
    """A stage's function that counts how often it is hashed and compared."""

    asked = 0

    def __call__(self, one: Any, two: Any) -> float:
        return float(np.mean([one, two]))

    def __hash__(self) -> int:
        self.asked += 1
        return 7

    def __eq__(self, other: object) -> bool:
        self.asked += 1
        return isinstance(other, Joined)


def test_keys_of_stages_that_are_used_twice_cost_the_same_in_long_chains() -> None:
    joined, cache = Joined(), StageCache()
    costs = []
    for _ in range(3):  # computed, then found
        before = joined.asked
        stage: Any = cache.source(np.arange(4.0))
        for _ in range(16):
            stage = cache.run(joined, stage, stage)
        costs.append(joined.asked - before)
        assert stage.value == 1.5
    assert max(costs) < 16 * 16 * 4
    assert (cache.counters().misses, cache.counters().hits) == (16, 32)


def test_a_stage_that_is_found_brings_the_key_it_was_kept_with() -> None:
    cache = StageCache()
    first = cache.run(sum, (1.0, 2.0))
    assert cache.run(sum, (1.0, 2.0)).key is first.key
    assert cache.run(sum, (1.0, 3.0)).key != first.key
    assert StageCache().run(sum, (1.0, 2.0)).key == first.key


def test_large_parameters_count() -> None:
    cache = StageCache()
    cache.run(sum, tuple(range(50_000)))
    assert cache.counters().kept_bytes > 50_000 * 8
    small = StageCache(10_000)
    small.run(sum, tuple(range(50_000)))
    assert len(small) == 0


class _Slotted:
    __slots__ = ("__private", "shown")

    def __init__(self) -> None:
        self.__private, self.shown = np.zeros(1_000), np.zeros(1_000)


class _Plain:
    def __init__(self) -> None:
        self.own, self.slotted, self.itself = np.zeros(1_000), _Slotted(), self


def test_what_objects_hold_counts_once() -> None:
    assert 16_000 <= size_of(_Slotted()) < 17_000
    assert 24_000 <= size_of(_Plain()) < 26_000
    assert 24_000 <= size_of([_Plain()] * 3) < 26_000
    mixed = np.array([np.zeros(1_000), None], dtype=object)
    assert 8_000 <= size_of(mixed) < 9_000
    cache = StageCache()
    cache.run(_Plain)
    assert 24_000 <= cache.counters().kept_bytes < 27_000


def test_the_shared_memory_of_a_trackers_log_counts_once() -> None:
    close = synthetic_market(500, 3, seed=2).close
    log = Tracker(close).track(range(0, 500, 10), np.full((50, 3), 0.3))
    assert size_of(log.equity) <= size_of(log) < size_of(log.equity) + 2_000
