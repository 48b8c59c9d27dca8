"""What a study costs on disk and in memory, in bytes; sizes do not depend on the machine."""

from __future__ import annotations

import gc
import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract_opening import ONE, sig

from optimizer.signature import SignatureCache
from optimizer.stores.evaluations import EvaluationCache
from optimizer.stores.guard import NoDupeGuard
from optimizer.stores.remembering import RememberingGuard
from optimizer.stores.sqlite import SqliteStore

MB = 1_000_000


def on_disk(folder: Path) -> int:
    return sum(os.path.getsize(folder / name) for name in os.listdir(folder))


def grown(call: Callable[[], object]) -> int:
    """Bytes that Python holds more after the call than before."""
    gc.collect()
    tracemalloc.start()
    try:
        call()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def add_each(guard: NoDupeGuard, signatures: list[bytes]) -> None:
    for signature in signatures:
        guard.add(signature)


@pytest.mark.parametrize("add", [NoDupeGuard.add_batch, add_each])
def test_a_guard_of_10_000_trials_takes_less_than_a_megabyte(
    path: Path, add: Callable[[NoDupeGuard, list[bytes]], object]
) -> None:
    rng = random.Random(1)
    with NoDupeGuard(path) as guard:
        add(guard, [rng.randbytes(16) for _ in range(10_000)])
        # The log beside an open file holds at most 1,000 pages, and goes with the last to close.
        assert on_disk(path.parent) < MB + 1_100 * 4_120
        assert len(guard) == 10_000
    assert os.listdir(path.parent) == [path.name]
    assert on_disk(path.parent) < MB


def test_a_file_whose_data_change_daily_does_not_grow(path: Path) -> None:
    sizes = []
    for day in range(30):
        with SqliteStore(path) as store:
            today = day.to_bytes(16, "big")
            store.evaluations(today).put_batch((sig(i), float(i)) for i in range(300))
            assert store.forget_others(today) == (300 if day else 0)
        sizes.append(on_disk(path.parent))
    assert sizes[-1] == sizes[2]


def test_5_000_remembered_signatures_take_less_than_2_megabytes(path: Path) -> None:
    rng = random.Random(2)
    with RememberingGuard(path, remember=5_000) as guard:
        guard.seen(sig(1))
        took = grown(lambda: [guard.seen(rng.randbytes(16)) for _ in range(4_999)])
        assert len(guard._memory.answers) == 5_000
    assert took < 2 * MB


def test_5_000_evaluations_in_memory_take_less_than_2_megabytes(path: Path) -> None:
    with EvaluationCache(path, ONE, front=5_000) as cache:
        cache.put_batch((sig(i), float(i)) for i in range(5_000))
        cache.get(sig(0))
        took = grown(lambda: [cache.get(sig(i)) and None for i in range(5_000)])
        cache.get_batch(map(sig, range(5_000)))
        assert cache.counters().front_hits == 5_001
    assert took < 2 * MB


def took_of_signatures(parameters: int, make: Callable[[random.Random], Any]) -> int:
    """Bytes of a full SignatureCache that has seen as many sets again as it holds."""
    rng, cache = random.Random(3), SignatureCache(maxsize=5_000)
    names = [f"p{i}" for i in range(parameters)]

    def sign() -> None:
        for _ in range(10_000):
            cache.signature({name: make(rng) for name in names})

    took = grown(sign)
    assert len(cache) == 5_000
    return took


def large(rng: random.Random) -> int:
    return rng.randrange(2**59, 2**60)


def text(rng: random.Random) -> str:
    return f"{rng.getrandbits(32):08x}"


@pytest.mark.parametrize("make", [text, random.Random.random])
def test_5_000_cached_signatures_take_less_than_2_megabytes(
    make: Callable[[random.Random], Any],
) -> None:
    assert took_of_signatures(10, make) < 2 * MB


def test_cached_signatures_of_large_numbers_and_what_a_further_one_adds() -> None:
    three, ten = took_of_signatures(3, large), took_of_signatures(10, large)
    assert max(three, ten) < 2 * MB
    assert (ten - three) / (5_000 * 7) == pytest.approx(13, abs=0.5)  # as its docstring says
