"""The features of a study: whatever is chosen, the same bits; only what is computed differs."""

from __future__ import annotations

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from optimizer.backtest import _feature_state, feature_study, features
from optimizer.backtest._memo import Memo
from optimizer.backtest.feature_study import (
    FAST_WINDOW,
    PRECOMPUTE_FEATURES,
    FeatureConfig,
    StudyFeatures,
)
from optimizer.backtest.prices import synthetic_market
from optimizer.errors import ConfigurationError, PriceError

MODES = [FeatureConfig(*chosen) for chosen in itertools.product((True, False), repeat=2)]
CLOSE = synthetic_market(200, 5, seed=7, nan_fraction=0.02).close


def bits(array: Any) -> bytes:
    found: bytes = np.where(np.isnan(array), np.nan, array).tobytes()
    return found


@pytest.fixture(name="advanced")
def _advanced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Feature and number of bars, for each time that a state is advanced."""
    calls: list[tuple[str, int]] = []
    begin = _feature_state.begin

    class Counted:
        def __init__(self, name: str, bars: int, n_assets: int) -> None:
            self.name, self.state = name, begin(name, bars, n_assets)

        def advance(self, columns: Any, out: Any) -> None:
            calls.append((self.name, len(out)))
            self.state.advance(columns, out)

    monkeypatch.setattr(feature_study, "begin", Counted)
    return calls


def walk(study: StudyFeatures, name: Any, bars: int = 10) -> list[bytes]:
    return [bits(study.get(name, bars, stop)) for stop in range(50, 201, 50)]


@pytest.mark.parametrize("config", MODES, ids=str)
def test_every_mode_gives_the_bits_of_the_features(config: FeatureConfig) -> None:
    high, low = CLOSE * 1.01, CLOSE * 0.98
    study = StudyFeatures(CLOSE, high=high, low=low, config=config, memo=Memo())
    for name in _feature_state.NAMES:
        columns = [high, low, CLOSE] if name == "atr" else [CLOSE]
        for bars in (3, 30, 1_000):
            whole = getattr(features, name)(*columns, bars)
            for stop in (0, 7, 120, 119, None, 60, 200):
                comp = study.get(name, bars, stop)  # type: ignore[arg-type]  # one of the names
                assert bits(comp) == bits(whole[:stop])
                assert not comp.flags.writeable


@pytest.mark.parametrize(
    ("config", "rows"),
    [
        (FeatureConfig(True, True), [50] * 4),
        (FeatureConfig(False, True), [200]),
        (FeatureConfig(True, False), [50] * 8),
        (FeatureConfig(False, False), [50, 100, 150, 200] * 2),
    ],
    ids=str,
)
def test_what_is_computed(
    config: FeatureConfig, rows: list[int], advanced: list[tuple[str, int]]
) -> None:
    """Two trials of four windows each; fields are fast_window and precompute."""
    study = StudyFeatures(CLOSE, config=config, memo=Memo())
    assert walk(study, "rsi") == walk(study, "rsi")
    assert advanced == [("rsi", count) for count in rows]


def test_objects_of_equal_data_share_what_is_precomputed(advanced: list[Any]) -> None:
    memo = Memo()
    for _ in range(3):
        walk(StudyFeatures(CLOSE.copy(), memo=memo), "ewma")
    assert advanced == [("ewma", 50)] * 4
    changed = CLOSE.copy()
    changed[17, 2] += 1e-9
    walk(StudyFeatures(changed, memo=memo), "ewma")
    walk(StudyFeatures(CLOSE, high=CLOSE, low=CLOSE, memo=memo), "ewma")
    assert len(advanced) == 12
    assert memo.memo_counters().misses == 3


def test_a_process_shares_one_memo_unless_told_otherwise(advanced: list[Any]) -> None:
    close = synthetic_market(60, 2, seed=12345).close
    StudyFeatures(close).get("rsi", 5)
    StudyFeatures(close).get("rsi", 5)
    assert len(advanced) == 1
    StudyFeatures(close, memo=Memo()).get("rsi", 5)
    assert len(advanced) == 2


def test_precompute_fills_it_before_trials(advanced: list[Any]) -> None:
    study = StudyFeatures(CLOSE, memo=Memo())
    study.precompute("zscore", range(5, 9))
    assert advanced == [("zscore", 200)] * 4
    walk(study, "zscore", 6)
    assert len(advanced) == 4
    counters = study.counters()
    assert (counters.misses, counters.hits) == (4, 4)
    StudyFeatures(CLOSE, config=FeatureConfig(precompute=False)).precompute("zscore", [5])
    assert len(advanced) == 4


def test_changes_of_the_callers_array_do_no_harm() -> None:
    close = CLOSE.copy()
    study = StudyFeatures(close, memo=Memo())
    first = bits(study.get("rolling_mean", 5, 100))
    close[:] = 1.0
    assert bits(study.get("rolling_mean", 5))[: len(first)] == first


def test_memory_is_bounded() -> None:
    one = CLOSE.nbytes
    memo = Memo(4 * one)
    study = StudyFeatures(CLOSE, memo=memo)
    for bars in range(2, 30):
        study.get("rolling_mean", bars)
        memo.check()
    counters = study.counters()
    assert 2 * one < counters.kept_bytes <= 4 * one
    assert counters.evictions >= 24
    ref = features.rolling_mean(CLOSE, 2)
    assert bits(study.get("rolling_mean", 2)) == bits(ref)  # one that was dropped
    assert bits(StudyFeatures(CLOSE, memo=Memo(1)).get("rolling_mean", 2)) == bits(ref)


@pytest.mark.parametrize("config", MODES, ids=str)
def test_threads_get_the_same(config: FeatureConfig, advanced: list[Any]) -> None:
    study = StudyFeatures(CLOSE, config=config, memo=Memo())
    stops = list(range(10, 201, 10))
    ref = features.volatility(CLOSE, 12)
    start = threading.Barrier(4)

    def trial(seed: int) -> None:
        start.wait(30)
        for stop in np.random.default_rng(seed).permutation(stops).tolist():
            assert bits(study.get("volatility", 12, stop)) == bits(ref[:stop])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(trial, range(4)))
    if config.precompute:
        assert sum(count for _, count in advanced) == 200  # each bar by one of them


def test_what_was_given_out_stays_as_it_was() -> None:
    study = StudyFeatures(CLOSE, config=FeatureConfig(True, False))
    early = study.get("ewma", 4, 150)
    kept = bits(early)
    study.get("ewma", 4, 20)  # a new trial
    study.get("ewma", 4, 200)
    assert bits(early) == kept


def test_an_interrupted_computation_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    study = StudyFeatures(CLOSE, memo=Memo())
    study.get("rsi", 5, 100)
    key = (study._fingerprint, "rsi", 5)
    growing = study._memo.result(key, list)
    state = growing._state

    class Interrupted:
        def advance(self, columns: Any, out: Any) -> None:
            state.advance([column[:20] for column in columns], out[:20])
            raise KeyboardInterrupt

    growing._state = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        study.get("rsi", 5)
    assert bits(study.get("rsi", 5)) == bits(features.rsi(CLOSE, 5))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_during_a_computation_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    study = StudyFeatures(CLOSE, memo=Memo())
    study.get("rsi", 5, 100)
    growing = study._memo.result((study._fingerprint, "rsi", 5), list)
    state, begun, go_on = growing._state, threading.Event(), threading.Event()

    class Slow:
        def advance(self, columns: Any, out: Any) -> None:
            begun.set()
            go_on.wait(30)
            state.advance(columns, out)

    growing._state = Slow()
    thread = threading.Thread(target=study.get, args=("rsi", 5))
    thread.start()
    begun.wait(30)
    ref = bits(features.rsi(CLOSE, 5))
    child = os.fork()
    if child == 0:
        asking = threading.Thread(target=lambda: study.get("rsi", 5), daemon=True)
        asking.start()
        asking.join(20)
        fine = not asking.is_alive() and bits(study.get("rsi", 5)) == ref
        os._exit(0 if fine else 1)
    go_on.set()
    thread.join(30)
    assert os.waitpid(child, 0)[1] == 0
    assert bits(study.get("rsi", 5)) == ref


def test_tables_come_back_with_their_labels() -> None:
    pandas = pytest.importorskip("pandas")
    dates = pandas.date_range("2020-01-01", periods=200)
    frame = pandas.DataFrame(CLOSE, index=dates, columns=list("ABCDE"))
    study = StudyFeatures(frame, memo=Memo())
    ref = features.rsi(frame, 5)
    pandas.testing.assert_frame_equal(study.get("rsi", 5), ref, check_exact=True)
    pandas.testing.assert_frame_equal(study.get("rsi", 5, 90), ref.iloc[:90], check_exact=True)
    series = StudyFeatures(frame["C"], memo=Memo()).get("rsi", 5, 90)
    pandas.testing.assert_series_equal(series, ref["C"].iloc[:90], check_exact=True)


# --- how it is chosen


@pytest.mark.parametrize(
    ("word", "found"),
    [
        *(("1", True), ("TRUE", True), (" on ", True), ("yes", True), ("", True), ("0", False)),
        *(("false", False), ("No", False), ("off", False)),
    ],
)
def test_the_environment_chooses(word: str, found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert FAST_WINDOW == "OPTIMIZER_FAST_WINDOW"
    assert PRECOMPUTE_FEATURES == "OPTIMIZER_PRECOMPUTE_FEATURES"
    monkeypatch.setenv(FAST_WINDOW, word)
    assert StudyFeatures(CLOSE).config == FeatureConfig(found, True)
    monkeypatch.delenv(FAST_WINDOW)
    monkeypatch.setenv(PRECOMPUTE_FEATURES, word)
    assert StudyFeatures(CLOSE).config == FeatureConfig(True, found)


def test_the_configuration_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (FAST_WINDOW, PRECOMPUTE_FEATURES):
        monkeypatch.setenv(name, "0")
    assert StudyFeatures(CLOSE, config=FeatureConfig(fast_window=True)).config == FeatureConfig(
        True, False
    )
    for config in MODES:
        assert StudyFeatures(CLOSE, config=config).config == config


def test_another_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAST_WINDOW, "maybe")
    with pytest.raises(ConfigurationError, match="OPTIMIZER_FAST_WINDOW is 'maybe'; set it to 1"):
        StudyFeatures(CLOSE)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: StudyFeatures(CLOSE, high=CLOSE), "only one of high and low"),
        (lambda: StudyFeatures([1.0, np.inf]), r"close\[1\] is inf"),
        (lambda: StudyFeatures(CLOSE).get("atr", 3), "atr needs high and low"),
        (lambda: StudyFeatures(CLOSE).get("macd", 3), "no feature 'macd'"),  # type: ignore[arg-type]  # on purpose
        (lambda: StudyFeatures(CLOSE).get("rsi", 0), "period of rsi is 0"),
        (lambda: StudyFeatures(CLOSE).get("rsi", 3, 201), "stop is 201; expected 0 to 200"),
        (lambda: StudyFeatures(CLOSE).get("rsi", 3, -1), "stop is -1"),
        (lambda: StudyFeatures(CLOSE).get("rsi", 3, 2.0), "stop is 2.0; pass a number"),  # type: ignore[arg-type]  # on purpose
        (lambda: StudyFeatures([1.0, -2.0]).get("momentum", 1), r"close\[1\] is -2.0; expected"),
    ],
)
def test_refusals(call: Any, said: str) -> None:
    with pytest.raises(PriceError, match=said):
        call()


def test_only_features_of_returns_need_prices() -> None:
    spread = StudyFeatures([1.0, -2.0, 0.5])
    np.testing.assert_array_equal(spread.get("rolling_mean", 2), [np.nan, -0.5, -0.75])
