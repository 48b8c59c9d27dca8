"""Stages shared between trials: what is found again, what is not, and what is counted."""

from __future__ import annotations

import enum
import functools
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from optimizer.backtest._memo import ENTRY_BYTES, Memo, MemoCounters, _Kept, size_of
from optimizer.backtest.features import rolling_mean, rsi
from optimizer.backtest.prices import load_sp500, month_ends
from optimizer.backtest.stages import StageCache
from optimizer.backtest.tracker import TRADE_DTYPE, TradeLog, track_trades
from optimizer.errors import CacheError, PriceError

BARS = month_ends(load_sp500().dates)[:60]
CLOSE = load_sp500().close[: BARS[-1] + 1]

calls: list[str] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


def features(close: Any, *, fast: int, slow: int) -> dict[str, Any]:
    calls.append("features")
    return {"fast": rolling_mean(close, fast), "slow": rolling_mean(close, slow)}


def signals(features: dict[str, Any], *, band: float) -> Any:
    calls.append("signals")
    return features["fast"] > features["slow"] * (1.0 + band)


def weights(signals: Any, *, exposure: float) -> Any:
    calls.append("weights")
    return np.where(signals[BARS], exposure / signals.shape[1], 0.0)


def trades(close: Any, weights: Any, *, fee: float) -> TradeLog:
    calls.append("trades")
    return track_trades(close, BARS, weights, fee_rate=fee)


def trial(cache: StageCache, close: Any, **chosen: Any) -> TradeLog:
    made = cache.run(features, close, fast=chosen["fast"], slow=chosen["slow"])
    signalled = cache.run(signals, made, band=chosen["band"])
    weighted = cache.run(weights, signalled, exposure=chosen["exposure"])
    return cache.run(trades, close, weighted, fee=chosen["fee"]).value


CHOICES: dict[str, list[Any]] = {
    "fast": [5, 10],
    "slow": [20, 50],
    "band": [0.0, 0.01],
    "exposure": [0.5, 1.0],
    "fee": [0.0, 0.001],
}


def test_any_order_of_trials_gives_what_computing_each_gives() -> None:
    draw = random.Random(3)
    cache = StageCache()
    close = cache.source(CLOSE)
    for _ in range(60):
        chosen = {name: draw.choice(values) for name, values in CHOICES.items()}
        comp = trial(cache, close, **chosen)
        fresh = StageCache()
        ref = trial(fresh, fresh.source(CLOSE), **chosen)
        assert comp.trades.tobytes() == ref.trades.tobytes()
        assert comp.equity.tobytes() == ref.equity.tobytes()
        cache.check()


def test_a_late_parameter_leaves_the_stages_before_it() -> None:
    cache = StageCache()
    close = cache.source(CLOSE)
    first: dict[str, Any] = {"fast": 5, "slow": 20, "band": 0.0, "exposure": 1.0, "fee": 0.0}
    trial(cache, close, **first)
    assert calls == ["features", "signals", "weights", "trades"]
    changes: list[tuple[dict[str, Any], list[str]]] = [
        ({}, []),
        ({"fee": 0.001}, ["trades"]),
        ({"exposure": 0.5}, ["weights", "trades"]),
        ({"band": 0.01}, ["signals", "weights", "trades"]),
        ({"fast": 10}, ["features", "signals", "weights", "trades"]),
    ]
    for change, again in changes:
        calls.clear()
        trial(cache, close, **{**first, **change})
        assert calls == again
    counters = cache.counters()
    assert (counters.misses, counters.hits) == (4 + 0 + 1 + 2 + 3 + 4, 4 + 3 + 2 + 1)
    assert counters.hit_rate == 10 / 24
    assert len(cache) == 14


def test_other_data_is_another_source_and_equal_data_the_same() -> None:
    cache = StageCache()
    first = {"fast": 5, "slow": 20, "band": 0.0, "exposure": 1.0, "fee": 0.0}
    trial(cache, cache.source(CLOSE), **first)
    trial(cache, cache.source(CLOSE.copy()), **first)
    assert len(calls) == 4
    trial(cache, cache.source(CLOSE * 1.01), **first)
    assert len(calls) == 8
    assert cache.source([1, 2]).key != cache.source([1.0, 2.0]).key
    assert cache.source([[1.0, 2.0]]).key != cache.source([1.0, 2.0]).key
    assert not cache.source(CLOSE).value.flags.writeable


def kinds(*values: Any, **params: Any) -> int:
    calls.append("kinds")
    return len(values) + len(params)


class Side(enum.Enum):
    LONG = 1
    SHORT = 2


@dataclass(frozen=True)
class Costs:
    fee: float
    slippage: float = 0.0


def test_parameters_that_are_equal_but_not_the_same_are_told_apart() -> None:
    cache = StageCache()
    different: list[Any] = [
        *(1, 1.0, True, "1", b"1", None, 0.0, -0.0, False, float("nan"), 0.1 + 0.2, 0.3),
        *((1,), [1], (1.0,), ((1,),), (), Side.LONG, Side.SHORT, Costs(1.0), Costs(1)),
        *(np.float64(1.0), np.float32(1.0), np.int64(1)),
    ]
    for value in different:
        cache.run(kinds, value)
        cache.run(kinds, x=value)
        cache.run(kinds, y=value)
    assert len(calls) == 3 * len(different)
    for value in different:
        cache.run(kinds, value)
        cache.run(kinds, x=value)
    assert len(calls) == 3 * len(different)


def test_what_names_a_stage() -> None:
    cache = StageCache()
    cache.run(kinds, a=1, b=2)
    cache.run(kinds, b=2, a=1)
    assert len(calls) == 1
    cache.run(functools.partial(kinds, a=1), b=2)
    assert len(calls) == 2
    one, two = cache.run(kinds, 1), cache.run(kinds, 2)
    cache.run(kinds, one, two)
    cache.run(kinds, two, one)
    cache.run(kinds, one, x=two)
    assert len(calls) == 7


@dataclass
class Unhashable:
    def __call__(self, value: int) -> int:
        return value


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c.run(kinds, CLOSE), "found ndarray as argument 0 of kinds; expected a stage"),
        (lambda c: c.run(kinds, 1, x={"a": 1}), "found dict as x of kinds"),
        (lambda c: c.run(kinds, x=(1, {2})), "found set as x of kinds"),
        (lambda c: c.run(Unhashable(), 1), "expected a function"),
        (lambda c: c.source([object()]), "found a source of object"),
        (lambda c: c.source(np.ma.masked_array([1.0], [True])), "none of them masked"),
        (lambda c: StageCache(0), "found max_bytes 0, expected an integer"),
        (lambda c: StageCache(True), "found max_bytes True"),
        (lambda c: StageCache(1.5), "found max_bytes 1.5"),  # type: ignore[arg-type]  # on purpose
    ],
)
def test_refusals(call: Any, said: str) -> None:
    with pytest.raises(CacheError, match=said):
        call(StageCache())


def test_what_a_stage_raises_is_passed_on_and_not_kept() -> None:
    cache = StageCache()
    close = cache.source(CLOSE)
    for _ in range(2):
        with pytest.raises(PriceError, match="period of rsi is 0"):
            cache.run(rsi, close, period=0)
    assert len(cache) == 0
    assert cache.counters().misses == 2


def test_results_are_read_only() -> None:
    cache = StageCache()
    close = cache.source(CLOSE)
    made = cache.run(features, close, fast=3, slow=5).value
    for array in (close.value, *made.values(), cache.run(rsi, close, period=3).value):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def zeros(close: Any, *, size: int) -> Any:
    calls.append("zeros")
    return np.zeros(size // 8)


def test_bytes_are_bounded_and_what_is_used_stays() -> None:
    cache = StageCache(max_bytes=100_000)
    close = cache.source(CLOSE[:2])
    for size in range(10_000, 50_000, 1_000):
        cache.run(zeros, close, size=8_000)  # used by every trial
        cache.run(zeros, close, size=size)
        cache.check()
        assert cache.counters().kept_bytes <= 100_000
    assert len(calls) == 1 + 40
    assert cache.counters().evictions == 41 - len(cache) > 30
    assert cache.run(zeros, close, size=1_000_000).value.nbytes == 1_000_000  # given, not kept
    assert cache.counters().kept_bytes <= 100_000
    cache.clear()
    assert (len(cache), cache.counters().kept_bytes) == (0, 0)


def slow(*, tag: int) -> int:
    calls.append("slow")
    time.sleep(0.05)  # what a hit saves, far above what a look into the cache takes
    return tag


def test_seconds_saved_are_those_it_took() -> None:
    cache = StageCache()
    for _ in range(4):
        cache.run(slow, tag=1)
    assert 0.15 <= cache.counters().saved_s < 10.0
    assert len(calls) == 1


def test_of_threads_that_need_the_same_stage_one_computes() -> None:
    cache = StageCache()
    start = threading.Barrier(8)

    def work(number: int) -> int:
        start.wait(30)
        return cache.run(slow, tag=number % 2).value

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [0, 1] * 4
    assert len(calls) == 2
    counters = cache.counters()
    assert counters.misses == 2
    assert counters.hits + counters.waits == 6
    assert counters.saved_s >= 6 * 0.05


def test_one_that_waited_for_a_failure_computes_anew() -> None:
    memo = Memo()
    begun, go_on = threading.Event(), threading.Event()

    def failing() -> Any:
        begun.set()
        go_on.wait(30)
        raise ValueError("on purpose")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(memo.result, "key", failing)
        begun.wait(30)
        second = pool.submit(memo.result, "key", lambda: 7)
        go_on.set()
        assert second.result(30) == 7
        with pytest.raises(ValueError, match="on purpose"):
            first.result(30)


def test_a_result_that_needs_itself_is_refused() -> None:
    memo = Memo()
    with pytest.raises(CacheError, match="which needs itself"):
        memo.result("key", lambda: memo.result("key", lambda: 1))
    assert memo.result("key", lambda: 2) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_during_a_computation_does_not_wait_for_it() -> None:
    memo = Memo()
    begun, go_on = threading.Event(), threading.Event()

    def computing() -> int:
        begun.set()
        go_on.wait(30)
        return 1

    thread = threading.Thread(target=memo.result, args=("key", computing))
    thread.start()
    begun.wait(30)
    child = os.fork()
    if child == 0:
        os._exit(0 if memo.result("key", lambda: 2) == 2 else 1)
    go_on.set()
    thread.join(30)
    assert os.waitpid(child, 0)[1] == 0
    assert memo.result("key", lambda: 3) == 1


def test_sizes() -> None:
    array = np.zeros((100, 10))
    assert 8_000 <= size_of(array) < 8_300
    assert 8_000 <= size_of(array[:2]) < 8_300  # the whole is kept alive by its part
    assert 8_000 <= size_of(np.frombuffer(bytes(8_000))) < 8_300
    assert 8_000 <= size_of({"a": (array, [array, array[1:]])}) < 9_000  # there once
    assert 16_000 <= size_of({"a": (array, [array.copy()])}) < 17_000
    log = TradeLog(np.zeros(1, TRADE_DTYPE), array, array.copy(), 1.0)
    assert 16_000 <= size_of(log) < 17_000
    pandas = pytest.importorskip("pandas")
    assert size_of(pandas.DataFrame(array)) >= 8_000


def test_a_memo_of_random_actions_stays_whole() -> None:
    draw = random.Random(11)
    memo = Memo(20 * ENTRY_BYTES)
    for _ in range(2_000):
        key = draw.randrange(40)
        if draw.random() < 0.2:
            memo.put(key, _Kept(key, draw.randrange(8 * ENTRY_BYTES), 0.5))
        elif draw.random() < 0.02:
            memo.clear()
        else:
            assert memo.result(key, lambda key=key: key) == key  # type: ignore[misc]  # bound now
        memo.check()
    counters = memo.memo_counters()
    assert min(counters.hits, counters.misses, counters.evictions) > 50
    memo._kept_bytes += 1
    with pytest.raises(CacheError, match="bytes counted as"):
        memo.check()


def test_counters_before_the_first_question() -> None:
    assert StageCache().counters() == MemoCounters()
    assert MemoCounters().hit_rate == 0.0
