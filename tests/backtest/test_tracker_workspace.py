"""A `Tracker` gives what `track_trades` gives, uses its memory again, and never a log's."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from optimizer._compat import available
from optimizer.backtest._workspace import LANES
from optimizer.backtest.prices import load_sp500, month_ends, synthetic_market
from optimizer.backtest.tracker import Tracker, TradeLog, track_trades
from optimizer.errors import PriceError

CLOSE = synthetic_market(60, 3, seed=7, nan_fraction=0.05, volatility=0.05).close
compiled_only = pytest.mark.skipif(not available("numba"), reason="the twin has no memory to keep")


def orders(seed: int, count: int = 20) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    bars = np.sort(rng.choice(60, count, replace=False))
    return bars, rng.normal(0.0, 0.3, (count, 3))


def parts(log: TradeLog) -> tuple[bytes, bytes, bytes]:
    return log.trades.tobytes(), log.equity.tobytes(), log.margin_load.tobytes()


def blocks(tracker: Tracker) -> list[int]:
    return [id(room._block) for room in tracker._workspaces]


SETTINGS: list[dict[str, Any]] = [
    {},
    {"fee_rate": 0.001, "slippage_rate": 0.0005, "capital": 1_000.0},
    {"fixed_fee": 1.0, "lag": 1, "capital_mode": "starting"},
    {"high": CLOSE * 1.02, "low": CLOSE * 0.98},
]


@pytest.mark.parametrize("chosen", SETTINGS)
def test_a_tracker_gives_the_bits_of_the_function(chosen: dict[str, Any]) -> None:
    tracker = Tracker(CLOSE, **chosen)
    for seed, count in enumerate([20, 5, 60, 0, 20]):
        log = tracker.track(*orders(seed, count))
        assert parts(log) == parts(track_trades(CLOSE, *orders(seed, count), **chosen))
        log.check()
        for array in (log.trades, log.equity, log.margin_load):
            assert not array.flags.writeable


@compiled_only
def test_a_log_that_is_let_go_gives_its_memory_back() -> None:
    tracker = Tracker(CLOSE)
    seen = set()
    for seed in range(10):
        log = tracker.track(*orders(seed))  # the log before is bound until this one is
        seen.add(
            log.equity.base.__array_interface__["data"][0] if log.equity.base is not None else 0
        )
    assert len(seen) == 2
    assert len(tracker._workspaces) == 2


@compiled_only
def test_from_the_third_trial_on_no_array_is_allocated() -> None:
    panel = load_sp500()
    bars = month_ends(panel.dates)
    weights = np.random.default_rng(3).normal(0.0, 0.1, (len(bars), 20))
    tracker = Tracker(panel)

    def trial() -> float:
        return tracker.track(bars, weights).statistics().all.net_pnl

    value = trial()
    trial()
    gc.collect()
    tracemalloc.start()
    try:
        again = trial()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert again == value
    # The views, the figures and what Python needs for calls; the records alone take 400 kB.
    assert peak_bytes < 10_000


@compiled_only
@pytest.mark.parametrize("part", ["trades", "equity", "margin_load"])
def test_an_array_that_is_kept_stays_as_it_is(part: str) -> None:
    tracker = Tracker(CLOSE)
    kept = []
    for seed in range(6):
        array = getattr(tracker.track(*orders(seed)), part)
        view = array["net_pnl"][::2] if part == "trades" else array[3:]  # a view of a view
        kept.append((view, view.tobytes()))
        del array
    for view, bytes_then in kept:
        assert view.tobytes() == bytes_then


@compiled_only
def test_more_rebalances_than_before_get_more_room() -> None:
    tracker = Tracker(CLOSE)
    tracker.track(*orders(0, 5))
    small = blocks(tracker)
    tracker.track(*orders(0, 50))
    assert len(blocks(tracker)) == 1
    large = blocks(tracker)
    tracker.track(*orders(1, 5))
    assert blocks(tracker) == large != small


@compiled_only
@pytest.mark.parametrize("n_assets", [1, 8, 9, 17])
def test_each_run_has_room_for_whole_blocks_from_a_cache_line_on(n_assets: int) -> None:
    tracker = Tracker(np.repeat(CLOSE[:, :1], n_assets, axis=1))
    for count in (3, 40):
        bars = np.arange(count)
        # Every asset changes sides at every bar: as many records as there can be.
        weights = np.where(bars[:, None] % 2 == 0, 0.01, -0.01).repeat(n_assets, axis=1)
        known = ~np.isnan(CLOSE[:count, 0])
        log = tracker.track(bars[known], weights[known])
        assert len(log) <= tracker._workspaces[-1].capacity
        log.check()
    for room in tracker._workspaces:
        assert room.book.size * LANES >= n_assets > (room.book.size - 1) * LANES
        assert room.book.ctypes.data % 64 == 0
        assert not np.shares_memory(room.trades, room.book)


@compiled_only
def test_a_refused_run_leaves_the_tracker_as_it_was() -> None:
    tracker = Tracker(CLOSE)
    bars, weights = orders(0)
    good = parts(tracker.track(bars, weights))
    wrong = weights.copy()
    wrong[4, 1] = np.inf
    with pytest.raises(PriceError, match=r"weights\[4, 1\] is inf"):
        tracker.track(bars, wrong)
    assert parts(tracker.track(bars, weights)) == good


class Trials(RuleBasedStateMachine):
    """Random runs, some of whose logs are kept: none of them ever changes."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = Tracker(CLOSE, fee_rate=0.001)
        self.kept: list[tuple[TradeLog, tuple[bytes, bytes, bytes]]] = []

    @rule(seed=st.integers(0, 50), count=st.integers(0, 60), keep=st.booleans())
    def track(self, seed: int, count: int, keep: bool) -> None:
        log = self.tracker.track(*orders(seed, count))
        expected = parts(track_trades(CLOSE, *orders(seed, count), fee_rate=0.001))
        assert parts(log) == expected
        if keep:
            self.kept.append((log, expected))

    @precondition(lambda self: self.kept)
    @rule(at=st.integers(0, 100))
    def let_go(self, at: int) -> None:
        self.kept.pop(at % len(self.kept))

    @invariant()
    def kept_logs_are_as_they_were(self) -> None:
        for log, then in self.kept:
            assert parts(log) == then
        assert len(self.tracker._workspaces) <= 2


Trials.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestTrials = Trials.TestCase


def test_threads_share_a_tracker() -> None:
    tracker = Tracker(CLOSE)
    expected = {seed: parts(track_trades(CLOSE, *orders(seed))) for seed in range(8)}
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda n: (n % 8, parts(tracker.track(*orders(n % 8)))), range(400))
        for seed, comp in found:
            assert comp == expected[seed]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="without fork there is no child")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("again", [lambda t: t, copy.deepcopy])
def test_a_child_does_not_wait_for_the_parents_threads(again: Any) -> None:
    tracker = again(Tracker(CLOSE))
    expected = parts(tracker.track(*orders(0)))
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with tracker._lock:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(5)  # instead of waiting for ever
        os._exit(0 if parts(tracker.track(*orders(0))) == expected else 1)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert parts(tracker.track(*orders(0))) == expected


@pytest.mark.parametrize("again", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_tracker_travels_without_its_memory(again: Any) -> None:
    tracker = Tracker(CLOSE, high=CLOSE * 1.1, low=CLOSE * 0.9, assets="abc", fee_rate=0.001)
    log = tracker.track(*orders(0))
    other = again(tracker)
    assert other._workspaces == []
    assert parts(other.track(*orders(0))) == parts(log)
    assert other.labels.assets == ("a", "b", "c")
    if available("numba") and not os.environ.get("NUMBA_DISABLE_JIT"):
        from optimizer.backtest import _kernels

        compiled = [*_kernels.track_trades.signatures]
        again(tracker).track(*orders(1))
        assert _kernels.track_trades.signatures == compiled


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"close": [[1.0], [0.0]]}, r"close\[1, 0\] is 0.0"),
        ({"close": [[1.0], [np.inf]]}, r"close\[1, 0\] is inf"),
        ({"close": np.empty((0, 1))}, r"close has shape \(0, 1\)"),
        ({"close": [1.0, 2.0]}, r"close has shape \(2,\)"),
        ({"capital": -1.0}, "capital is -1.0"),
        ({"lag": 2}, "lag is 2"),
        ({"assets": ["a", "b"]}, "2 dates and 2 assets beside a close of shape"),
        ({"dates": ["2020-01-01"]}, "1 dates and 1 assets beside a close of shape"),
        ({"dates": ["2020-01-02", "2020-01-01"]}, r"dates\[1\] is 2020-01-01 after 2020-01-02"),
        ({"dates": ["2020-01-02", "NaT"]}, r"dates\[1\] is NaT"),
        ({"dates": ["a", "b"]}, "dates cannot be read as dates"),
        (
            {"assets": ["a", "a"], "close": [[1.0, 1.0], [1.0, 1.0]]},
            "assets holds 'a' twice",
        ),
        ({"close": load_sp500(), "assets": ["a"]}, "close has labels of its own"),
    ],
)
def test_what_is_wrong_is_said_when_it_is_made(change: dict[str, Any], message: str) -> None:
    with pytest.raises(PriceError, match=message):
        Tracker(**{"close": [[1.0], [2.0]], **change})
